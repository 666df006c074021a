"""The errors that a user can fix.

Raise one where the cause is known, worded as `where: what is wrong; what to do`. `cli.py` catches
all of them and exits with their status.
"""


class S2SError(Exception):
    """Something that the user can fix; the message says where, what is wrong, and what to do."""

    status = 1
    """Exit status of the command."""


class ConfigError(S2SError):
    """A recipe, an override or an option asks for something impossible."""


class UsageError(S2SError):
    """The command line itself is wrong, whatever its options mean."""

    status = 2


class DataError(S2SError):
    """A text file is missing, malformed, or does not match its other side."""


class NotFiniteError(S2SError):
    """Too many losses or gradients are not finite; no such update changed the weights."""

    def __init__(self, message: str, pairs: list[int]) -> None:
        super().__init__(message)
        self.pairs = pairs
        """Indices of the training pairs that caused them."""


class SaveError(S2SError):
    """The training state could not be saved; it is still in memory."""


class CheckpointError(S2SError):
    """A model folder or a training checkpoint is missing, damaged, or not of this run."""


class DeviceError(S2SError):
    """The requested device is not available."""


class StoppedError(S2SError):
    """A signal stopped the command, which left everything in a consistent state."""

    def __init__(self, message: str, signal_number: int) -> None:
        super().__init__(message)
        self.status = 128 + signal_number
        """Exit status; 0 under `torchrun`, which restarts all processes after any other."""


class LostError(S2SError):
    """Another process of the same job no longer responds."""


class ReaderGoneError(S2SError):
    """The program that reads stdout has closed it, as `head` does; nothing is wrong."""

    status = 0


class ReportedElsewhereError(S2SError):
    """An error that another process of the same job reports; this one ends silently."""

    def __init__(self, status: int) -> None:
        super().__init__("reported by another process")
        self.status = status


NO_MEMORY = ("out of memory", "DefaultCPUAllocator", "bad_alloc", "could not create a memory")
"""Parts of the messages of PyTorch and oneDNN when an allocation fails."""


def is_out_of_memory(error: BaseException) -> bool:
    """Whether an error means that an allocation failed."""
    if isinstance(error, MemoryError):
        return True
    return isinstance(error, RuntimeError) and any(sign in str(error) for sign in NO_MEMORY)
