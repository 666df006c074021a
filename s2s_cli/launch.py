"""Which of several processes this one is, as `torchrun` tells it in the environment."""

import os
from collections.abc import Mapping
from typing import NamedTuple, Protocol

from s2s_cli.errors import ConfigError

REMEDY = "start several processes with `torchrun`, which sets it, or unset WORLD_SIZE"


class Marks(Protocol):
    """Names that stay noted when `torchrun` begins anew."""

    def note(self, name: str) -> None:
        """Note that something is done."""
        ...

    def has(self, name: str) -> bool:
        """Whether it was noted."""
        ...


class Launch(NamedTuple):
    """One process among those that were started together."""

    rank: int = 0
    """Its number, from 0, on all machines."""
    size: int = 1
    """How many there are."""
    local_rank: int = 0
    """Its number on its machine: which GPU is its own."""
    num_restarts: int = 0
    """How often `torchrun` has begun anew after a process ended badly."""
    local_size: int = 1
    """How many there are on its machine, as far as is known."""
    marks: "Marks | None" = None
    """What these processes, and those before them, have done for good; None of a single one."""

    @property
    def is_first(self) -> bool:
        """Whether it is the one that writes files and speaks to people."""
        return self.rank == 0


def read_launch(environment: Mapping[str, str] = os.environ) -> Launch:
    """Who this process is; without `torchrun`, the only one.

    Raises:
        ConfigError: the environment tells of several processes, but not all that is needed.
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
