"""The errors that a user can repair.

Raise one where the cause is known, worded as `where: what is wrong; what would be right`.
`cli.py` catches them in one place and ends with exit status 1.
"""


class S2SError(Exception):
    """Something in the user's hands is wrong; the message says where, what, and the remedy."""

    status = 1
    """Exit status of a command that it ends."""


class ConfigError(S2SError):
    """A recipe, an override or an option asks for something that cannot be."""


class UsageError(S2SError):
    """The command line itself is wrong, whatever its options mean."""

    status = 2


class DataError(S2SError):
    """A text file is missing, malformed, or does not fit its partner."""


class NotFiniteError(S2SError):
    """Losses or gradients are not finite, again and again; the weights are still those before."""

    def __init__(self, message: str, pairs: list[int]) -> None:
        super().__init__(message)
        self.pairs = pairs
        """Indices of the training pairs that gave them."""


class SaveError(S2SError):
    """The state of a training could not be saved; it is still in memory."""


class CheckpointError(S2SError):
    """A model folder or a training checkpoint is missing, damaged, or belongs elsewhere."""


class DeviceError(S2SError):
    """The device asked for is not there."""


class StoppedError(S2SError):
    """A signal asked a run to stop, and it did, in good order."""

    def __init__(self, message: str, signal_number: int) -> None:
        super().__init__(message)
        self.status = 128 + signal_number
        """Exit status; 0 among several processes, as `torchrun` begins anew after any other."""


class LostError(S2SError):
    """Another process of the same job does not answer any more."""


class ReaderGoneError(S2SError):
    """The program that reads our stdout has closed it, as `head` does; no reason to complain."""

    status = 0


class ReportedElsewhereError(S2SError):
    """An error that another process of the same job tells; this one ends without a word."""

    def __init__(self, status: int) -> None:
        super().__init__("told by another process")
        self.status = status


NO_MEMORY = ("out of memory", "DefaultCPUAllocator", "bad_alloc", "could not create a memory")
"""What PyTorch's devices and oneDNN say when they get no memory."""


def is_out_of_memory(error: BaseException) -> bool:
    """Whether an error says that there is no more memory."""
    if isinstance(error, MemoryError):
        return True
    return isinstance(error, RuntimeError) and any(sign in str(error) for sign in NO_MEMORY)
