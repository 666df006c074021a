"""Ranks and collectives: processes that torchrun starts and that train one model together.

These collectives use gloo between CPUs, a few bytes at a time, so that they never wait for a GPU.
DistributedDataParallel exchanges gradients by itself (`training/step.py`).
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

COLLECTIVE_TIMEOUT = timedelta(hours=2)
"""The other ranks wait while rank 0 builds vocabularies or validates. A process that ends closes
its connection, which is noticed at once; a silent machine is noticed after this time."""

RENDEZVOUS_TIMEOUT = timedelta(minutes=10)
"""Until all processes have found each other."""

POLL_SECONDS = 0.02

FAILURE_STATUS = 1

STOPPED_KEY = "s2s/stopped"
"""Counts the processes that a signal stopped in good order."""


class Ranks(NamedTuple):
    """The rank of this process among all; all ranks call the same methods in the same order."""

    rank: int = 0
    size: int = 1

    @property
    def is_first(self) -> bool:
        """Whether this is rank 0, which writes files and messages."""
        return self.rank == 0

    def sum(self, number: float) -> float:
        """Sum over all ranks."""
        return self._reduce(number, dist.ReduceOp.SUM)

    def max(self, number: float) -> float:
        """Maximum over all ranks."""
        return self._reduce(number, dist.ReduceOp.MAX)

    def broadcast(self, compute: Callable[[], T]) -> T:
        """Compute a value on rank 0 and send it to all ranks.

        Args:
            compute: returns something that JSON can represent; called on rank 0 only.
        """
        if self.size == 1:
            return compute()
        content = json.dumps(compute()).encode() if self.is_first else b""
        length = torch.tensor(len(content))
        text = _as_tensor(content)
        with report_lost_ranks():
            dist.broadcast(length, 0)
            if not self.is_first:
                text = torch.empty(int(length), dtype=torch.uint8)
            dist.broadcast(text, 0)
        return json.loads(_as_bytes(text))  # type: ignore[no-any-return]

    def gather(self, content: bytes) -> list[bytes]:
        """Collect the content of every rank, in the order of ranks, on all ranks."""
        if self.size == 1:
            return [content]
        lengths = [torch.tensor(0) for _ in range(self.size)]
        with report_lost_ranks():
            dist.all_gather(lengths, torch.tensor(len(content)))
            longest = max(map(int, lengths))
            padded = _as_tensor(content.ljust(longest, b"\0"))
            found = [torch.empty_like(padded) for _ in lengths]
            dist.all_gather(found, padded)
        return [_as_bytes(part[: int(n)]) for part, n in zip(found, lengths, strict=True)]

    def barrier(self) -> None:
        """Wait until all ranks are here."""
        self.sum(0)

    @contextmanager
    def rank_zero_first(self) -> Iterator[None]:
        """Run the block on rank 0 before all others, which then find what it wrote."""
        if not self.is_first:
            self.barrier()
        yield
        if self.is_first:
            self.barrier()

    def _reduce(self, number: float, operation: Any) -> float:
        if self.size == 1:
            return number
        tensor = torch.tensor(number, dtype=torch.float64)
        with report_lost_ranks():
            dist.all_reduce(tensor, operation)
        return tensor.item()


SINGLE_PROCESS = Ranks()


def current_ranks() -> Ranks:
    """The rank of this process among those of `process_group`; a single one outside of it."""
    if not (dist.is_available() and dist.is_initialized()):
        return SINGLE_PROCESS
    return Ranks(dist.get_rank(), dist.get_world_size())


@contextmanager
def process_group(launch: Launch) -> Iterator[Launch]:
    """Connect to the other processes while the block runs.

    An error on one rank ends all of them, and many errors occur on all ranks alike. The rank that
    registers its error first reports it; the others end silently.

    Returns:
        The same launch, with the marks that earlier starts by torchrun left.

    Raises:
        ConfigError: the other processes cannot be reached.
        ReportedElsewhereError: instead of an error that another process reports.
    """
    common, store = _connect(launch)
    try:
        yield launch._replace(marks=_StoredMarks(common))
    except StoppedError as error:
        _is_first_error(store)  # No other rank should report that this one is lost.
        store.add(STOPPED_KEY, 1)
        error.status = 0
        if launch.is_first:
            raise
        raise ReportedElsewhereError(0) from error
    except (S2SError, OSError) as error:
        if _is_first_error(store):
            raise
        if store.add(STOPPED_KEY, 0):
            raise ReportedElsewhereError(0) from error
        wait_for_sigterm()
        raise ReportedElsewhereError(FAILURE_STATUS) from error
    except BaseException:
        _is_first_error(store)  # A bug shows its traceback; its consequences elsewhere do not.
        raise
    dist.destroy_process_group()


class _StoredMarks:
    """Marks in the store that torchrun keeps; all ranks call `has`, one calls `note`."""

    def __init__(self, common: Any) -> None:
        self._common = common

    def note(self, name: str) -> None:
        self._common.add(f"s2s/mark/{name}", 1)

    def has(self, name: str) -> bool:
        return bool(current_ranks().broadcast(lambda: int(self._common.add(f"s2s/mark/{name}", 0))))


@contextmanager
def report_lost_ranks() -> Iterator[None]:
    """Turn errors of collectives into one that says that another process is lost.

    Raises:
        LostError: another process has ended, or its machine cannot be reached.
    """
    try:
        yield
    except RuntimeError as error:
        if isinstance(error, dist.DistError) or "gloo" in str(error):
            raise LostError(
                "another process of this job has ended, or cannot be reached; see the output of "
                "torchrun"
            ) from error
        raise


def _connect(launch: Launch) -> tuple[Any, Any]:
    """Create the process group.

    Returns:
        The store that torchrun keeps over restarts, and the part of it for these processes alone.
    """
    if not dist.is_available():
        raise ConfigError(
            "this PyTorch does not support several processes; start s2s without torchrun"
        )
    has_nccl = torch.cuda.is_available() and dist.is_nccl_available()
    backend = "cpu:gloo,cuda:nccl" if has_nccl else "gloo"
    try:
        common, _, _ = next(rendezvous("env://", timeout=RENDEZVOUS_TIMEOUT))
        store = dist.PrefixStore(_agree_on_prefix(common, launch), common)  # type: ignore[attr-defined]
        dist.init_process_group(
            backend,
            store=store,
            rank=launch.rank,
            world_size=launch.size,
            timeout=COLLECTIVE_TIMEOUT,
        )
    except (RuntimeError, ValueError) as error:
        reason = " ".join(str(error).split())[:200]
        raise ConfigError(
            f"the {launch.size} processes of this job do not find each other ({reason}); check "
            "the host and port given to torchrun, and the firewall between the machines"
        ) from error
    return common, store


def _agree_on_prefix(store: Any, launch: Launch) -> str:
    """Agree on a prefix of the common store that belongs to these processes alone.

    torchrun keeps the store when it restarts the processes, and with it the addresses of processes
    that have ended. So rank 0 draws a random prefix, and each other rank sets a key with a random
    word of its own, to which rank 0 answers with the prefix. A word left by an earlier start gets
    an answer that nobody reads.

    Raises:
        RuntimeError: not all processes arrived in time.
    """
    word, deadline = secrets.token_hex(8), time.monotonic() + RENDEZVOUS_TIMEOUT.total_seconds()
    call, answer = "s2s/call/{}", "s2s/answer/{}"
    prefix = f"s2s/{word}" if launch.is_first else ""
    if not launch.is_first:
        store.set(call.format(launch.rank), word)
    while time.monotonic() < deadline:
        if not launch.is_first and store.check([answer.format(word)]):
            prefix = str(store.get(answer.format(word)).decode())
            store.add(f"{prefix}/met", 1)
            return prefix
        if launch.is_first and store.add(f"{prefix}/met", 0) == launch.size - 1:
            return prefix
        for rank in range(1, launch.size) if launch.is_first else ():
            if store.check([call.format(rank)]):
                store.set(answer.format(store.get(call.format(rank)).decode()), prefix)
        time.sleep(POLL_SECONDS)
    raise RuntimeError("not all of them arrived in time")


def _is_first_error(store: Any) -> bool:
    """Register an error; whether no other process has registered one before."""
    try:
        return bool(store.add("s2s/errors", 1) == 1)
    except RuntimeError:
        return True  # The store is gone: reported twice is better than never.


def _as_tensor(content: bytes) -> Tensor:
    return torch.frombuffer(bytearray(content), dtype=torch.uint8) if content else _EMPTY


def _as_bytes(tensor: Tensor) -> bytes:
    return tensor.numpy().tobytes()


_EMPTY = torch.empty(0, dtype=torch.uint8)
