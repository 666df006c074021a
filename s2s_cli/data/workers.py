"""Work on chunks of a long text by several processes, in order."""

import multiprocessing
import os
import threading
from collections import deque
from collections.abc import Callable, Generator, Iterable, Iterator
from concurrent.futures import Future, ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from itertools import islice
from typing import Any, Generic, NamedTuple, TypeVar, cast

from s2s_cli.errors import DataError
from s2s_cli.signals import ignore_interrupts

Chunk = TypeVar("Chunk")
Result = TypeVar("Result")

ALONE_CHUNKS = 10
"""So many chunks are worked on before other processes are begun, which takes a second."""

AHEAD = 2
"""Chunks on their way for each process."""


class Work(NamedTuple, Generic[Chunk, Result]):
    """What is done with every chunk."""

    make: Callable[..., Callable[[Chunk], Result]]
    """Makes ready to work; called once in each process."""
    settings: tuple[Any, ...]
    """Its arguments, which must be plain values."""


def count_cores() -> int:
    """The cores that this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def map_in_order(
    work: Work[Chunk, Result], chunks: Iterable[Chunk], workers: int
) -> Generator[Result, None, None]:
    """The results of chunks, in their order, whatever the number of processes.

    A short text, and any text if there is one worker, is worked on here. Who does not take all
    results closes the generator, which ends the processes.

    Args:
        work: what to do.
        chunks: taken only as far as the processes are busy.
        workers: processes at most.

    Raises:
        DataError: a process ended before its work was done.
    """
    rest = iter(chunks)
    do = work.make(*work.settings)
    yield from map(do, rest if workers == 1 else islice(rest, ALONE_CHUNKS))
    first = next(rest, None)
    if first is not None:
        del do
        yield from _map_in_processes(work, first, rest, workers)


def _map_in_processes(
    work: Work[Chunk, Result], first: Chunk, rest: Iterator[Chunk], workers: int
) -> Generator[Result, None, None]:
    # Begun anew, not forked: the libraries of this process may have threads.
    context = multiprocessing.get_context("spawn")
    pool = ProcessPoolExecutor(workers, context, initializer=_begin, initargs=work)
    waiting: deque[Future[Any]] = deque([pool.submit(_do, first)])
    try:
        while waiting:
            while len(waiting) < AHEAD * workers and (chunk := next(rest, None)) is not None:
                waiting.append(pool.submit(_do, chunk))
            yield cast("Result", waiting.popleft().result())
    except BrokenProcessPool as error:
        raise DataError(
            "a process that tokenises or encodes ended before its work was done (out of memory?); "
            "--workers 1 does without, and needs least memory"
        ) from error
    finally:
        pool.shutdown(cancel_futures=True)


_work: Callable[[Any], Any] | None = None
"""What this process does with a chunk, if it is one of ours."""


def _begin(make: Callable[..., Callable[[Any], Any]], settings: tuple[Any, ...]) -> None:
    global _work  # noqa: PLW0603 (a process has one work, and is told of it before any chunk)
    ignore_interrupts()
    threading.Thread(target=_end_with_parent, daemon=True).start()
    _work = make(*settings)


def _end_with_parent() -> None:
    """Do not wait for ever for chunks of a process that was killed."""
    parent = multiprocessing.parent_process()
    if parent is not None:
        parent.join()
        os._exit(1)


def _do(chunk: Any) -> Any:
    if _work is None:
        raise RuntimeError("not begun")
    return _work(chunk)
