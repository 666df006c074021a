"""The rank of this process and its peers, from the environment that `torchrun` sets."""

import os
from collections.abc import Mapping
from typing import NamedTuple, Protocol

from s2s_cli.errors import ConfigError

REMEDY = "start the processes with `torchrun`, which sets it, or unset WORLD_SIZE"


class Marks(Protocol):
    """Names that are remembered when `torchrun` restarts the processes."""

    def note(self, name: str) -> None:
        """Remember that something is done."""
        ...

    def has(self, name: str) -> bool:
        """Whether a name is remembered."""
        ...


class Launch(NamedTuple):
    """One process of a job."""

    rank: int = 0
    """Number of the process among those of all machines, from 0."""
    size: int = 1
    """Number of processes."""
    local_rank: int = 0
    """Number of the process on its machine, which is also the number of its GPU."""
    num_restarts: int = 0
    """How often `torchrun` has restarted all processes after one failed."""
    local_size: int = 1
    """Number of processes on this machine; 1 if it is not known."""
    marks: "Marks | None" = None
    """What these processes and those before a restart have finished; None for one process."""

    @property
    def is_first(self) -> bool:
        """Whether this process writes the files and the messages."""
        return self.rank == 0


def read_launch(environment: Mapping[str, str] = os.environ) -> Launch:
    """Read the environment; without `torchrun`, there is one process.

    Raises:
        ConfigError: the environment has several processes, but a variable is missing or wrong.
    """
    size = _read(environment, "WORLD_SIZE", "1")
    num_restarts = _read(environment, "TORCHELASTIC_RESTART_COUNT", "0")
    if size <= 1:
        return Launch(num_restarts=num_restarts)
    for name in ("MASTER_ADDR", "MASTER_PORT"):
        if not environment.get(name):
            raise ConfigError(f"{name}: missing, though WORLD_SIZE is {size}; {REMEDY}")
    rank, local_rank = (_read(environment, name) for name in ("RANK", "LOCAL_RANK"))
    if rank >= size:
        raise ConfigError(f"RANK: {rank} is not below WORLD_SIZE, which is {size}; {REMEDY}")
    local_size = _read(environment, "LOCAL_WORLD_SIZE", "1")
    return Launch(rank, size, local_rank, num_restarts, local_size)


def _read(environment: Mapping[str, str], name: str, default: str | None = None) -> int:
    text = environment.get(name) or default
    if text is None:
        raise ConfigError(f"{name}: missing, though WORLD_SIZE is set; {REMEDY}")
    if not (text.isascii() and text.isdigit()):
        raise ConfigError(f"{name}: {text!r} is not a number; {REMEDY}")
    return int(text)
