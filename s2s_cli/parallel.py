"""Several processes that work together, and the few things that they say to each other.

What they say here goes from processor to processor (gloo), some bytes at a time, so that it never
waits for a GPU. Gradients go their own way (`training/gradients.py`).
"""

import json
import secrets
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import timedelta
from typing import Any, NamedTuple, TypeVar

import torch
import torch.distributed as dist
from torch import Tensor
from torch.distributed.rendezvous import rendezvous

from s2s_cli.errors import ConfigError, LostError, ReportedElsewhereError, S2SError, StoppedError
from s2s_cli.launch import Launch
from s2s_cli.signals import wait_for_sigterm

T = TypeVar("T")

LONGEST_WAIT = timedelta(hours=2)
"""The others wait while the first builds vocabularies or validates. A process that ends is noticed
at once, by its closed connection; a machine that falls silent, after this time."""

LONGEST_MEETING = timedelta(minutes=10)
"""Until all processes have found each other."""

POLL_SECONDS = 0.02

STATUS = 1

STOPPED = "s2s/stopped"
"""Counts the processes that a signal stopped in good order."""


class Ranks(NamedTuple):
    """This process among its fellows; every method is called by all of them, in the same order."""

    rank: int = 0
    size: int = 1

    @property
    def is_first(self) -> bool:
        """Whether it is the one that writes files and speaks to people."""
        return self.rank == 0

    def total(self, number: float) -> float:
        """The sum of what each process has."""
        return self._reduce(number, dist.ReduceOp.SUM)

    def most(self, number: float) -> float:
        """The greatest of what each process has."""
        return self._reduce(number, dist.ReduceOp.MAX)

    def from_first(self, compute: Callable[[], T]) -> T:
        """What the first process computes, for all.

        Args:
            compute: gives something that JSON can hold; called by the first process only.
        """
        if self.size == 1:
            return compute()
        content = json.dumps(compute()).encode() if self.is_first else b""
        length = torch.tensor(len(content))
        text = _as_tensor(content)
        with noticing_loss():
            dist.broadcast(length, 0)
            if not self.is_first:
                text = torch.empty(int(length), dtype=torch.uint8)
            dist.broadcast(text, 0)
        return json.loads(_as_bytes(text))  # type: ignore[no-any-return]

    def gather(self, content: bytes) -> list[bytes]:
        """What each process has, in the order of their numbers."""
        if self.size == 1:
            return [content]
        lengths = [torch.tensor(0) for _ in range(self.size)]
        with noticing_loss():
            dist.all_gather(lengths, torch.tensor(len(content)))
            longest = max(map(int, lengths))
            padded = _as_tensor(content.ljust(longest, b"\0"))
            found = [torch.empty_like(padded) for _ in lengths]
            dist.all_gather(found, padded)
        return [_as_bytes(part[: int(n)]) for part, n in zip(found, lengths, strict=True)]

    @contextmanager
    def in_turn(self) -> Iterator[None]:
        """Let the first process do the block before all others, who find what it wrote."""
        if not self.is_first:
            self.total(0)
        yield
        if self.is_first:
            self.total(0)

    def _reduce(self, number: float, how: Any) -> float:
        if self.size == 1:
            return number
        tensor = torch.tensor(number, dtype=torch.float64)
        with noticing_loss():
            dist.all_reduce(tensor, how)
        return tensor.item()


ALONE = Ranks()


def present_ranks() -> Ranks:
    """This process among those that `joined` has brought together, if any."""
    if not (dist.is_available() and dist.is_initialized()):
        return ALONE
    return Ranks(dist.get_rank(), dist.get_world_size())


@contextmanager
def joined(launch: Launch) -> Iterator[Launch]:
    """Work with the other processes while the block runs; all know what earlier starts noted.

    An error that one process meets ends all, and many errors are met by all of them alike. The
    first that reports one tells it; the others end without a word.

    Raises:
        ConfigError: there is no way to the other processes.
        ReportedElsewhereError: instead of an error that another process tells.
    """
    common, store = _join(launch)
    try:
        yield launch._replace(marks=_StoredMarks(common))
    except StoppedError as error:
        _may_speak(store)  # Nobody else is to take the end of this process for a loss.
        store.add(STOPPED, 1)
        error.status = 0
        if launch.is_first:
            raise
        raise ReportedElsewhereError(0) from error
    except (S2SError, OSError) as error:
        if _may_speak(store):
            raise
        if store.add(STOPPED, 0):
            raise ReportedElsewhereError(0) from error
        wait_for_sigterm()
        raise ReportedElsewhereError(STATUS) from error
    except BaseException:
        _may_speak(store)  # A bug shows its traceback; what follows from it elsewhere is no news.
        raise
    dist.destroy_process_group()


class _StoredMarks:
    """Marks in the common store, which `torchrun` keeps; `has` is asked by all, `note` by one."""

    def __init__(self, common: Any) -> None:
        self._common = common

    def note(self, name: str) -> None:
        self._common.add(f"s2s/mark/{name}", 1)

    def has(self, name: str) -> bool:
        return bool(
            present_ranks().from_first(lambda: int(self._common.add(f"s2s/mark/{name}", 0)))
        )


@contextmanager
def noticing_loss() -> Iterator[None]:
    """Say in words when another process does not answer.

    Raises:
        LostError: it has ended, or its machine is out of reach.
    """
    try:
        yield
    except RuntimeError as error:
        if isinstance(error, dist.DistError) or "gloo" in str(error):
            raise LostError(
                "another process of this job has ended, or cannot be reached; torchrun tells which"
            ) from error
        raise


def _join(launch: Launch) -> tuple[Any, Any]:
    """The store of all times, and the part of it that is of these processes."""
    if not dist.is_available():
        raise ConfigError("this PyTorch cannot join several processes; start s2s without torchrun")
    has_nccl = torch.cuda.is_available() and dist.is_nccl_available()
    backend = "cpu:gloo,cuda:nccl" if has_nccl else "gloo"
    try:
        common, _, _ = next(rendezvous("env://", timeout=LONGEST_MEETING))
        store = dist.PrefixStore(_meet(common, launch), common)  # type: ignore[attr-defined]
        dist.init_process_group(
            backend,
            store=store,
            rank=launch.rank,
            world_size=launch.size,
            timeout=LONGEST_WAIT,
        )
    except (RuntimeError, ValueError) as error:
        reason = " ".join(str(error).split())[:200]
        raise ConfigError(
            f"the {launch.size} processes of this job do not find each other ({reason}); check "
            "the host and port given to torchrun, and the firewall between the machines"
        ) from error
    return common, store


def _meet(store: Any, launch: Launch) -> str:
    """The name of a part of the common store that belongs to these processes alone.

    `torchrun` keeps the store when it begins anew, and in it the addresses of processes that are
    gone. So each process calls the first by a word of its own and is answered where to look.

    Raises:
        RuntimeError: somebody does not come.
    """
    word, deadline = secrets.token_hex(8), time.monotonic() + LONGEST_MEETING.total_seconds()
    call, answer = "s2s/call/{}", "s2s/answer/{}"
    place = f"s2s/{word}" if launch.is_first else ""
    if not launch.is_first:
        store.set(call.format(launch.rank), word)
    while time.monotonic() < deadline:
        if not launch.is_first and store.check([answer.format(word)]):
            place = str(store.get(answer.format(word)).decode())
            store.add(f"{place}/met", 1)
            return place
        if launch.is_first and store.add(f"{place}/met", 0) == launch.size - 1:
            return place
        for rank in range(1, launch.size) if launch.is_first else ():
            if store.check([call.format(rank)]):
                store.set(answer.format(store.get(call.format(rank)).decode()), place)
        time.sleep(POLL_SECONDS)
    raise RuntimeError("not all of them came in time")


def _may_speak(store: Any) -> bool:
    """Whether no other process has reported an error before."""
    try:
        return bool(store.add("s2s/errors", 1) == 1)
    except RuntimeError:
        return True  # Who kept the count is gone: better twice than never.


def _as_tensor(content: bytes) -> Tensor:
    return torch.frombuffer(bytearray(content), dtype=torch.uint8) if content else _NOTHING


def _as_bytes(tensor: Tensor) -> bytes:
    return tensor.numpy().tobytes()


_NOTHING = torch.empty(0, dtype=torch.uint8)
