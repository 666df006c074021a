"""Apply a function to the chunks of a long text in several processes, in order.

The first chunks are processed here, so a short text starts no other process. For the rest, a few
chunks per process are in the queue at any time, so memory does not grow with the text.
"""

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
from s2s_cli.signals import holding_signals, ignore_interrupts

Chunk = TypeVar("Chunk")
Result = TypeVar("Result")

LOCAL_CHUNKS = 10
"""Chunks processed here before other processes are started, which takes a second."""

QUEUED_CHUNKS = 2
"""Chunks in the queue for each process."""


class WorkerTask(NamedTuple, Generic[Chunk, Result]):
    """The function to apply to every chunk, described so that any process can make it."""

    make_function: Callable[..., Callable[[Chunk], Result]]
    """Makes the function; called once in each process."""
    settings: tuple[Any, ...]
    """Arguments of `make_function`; they must be plain values."""


def count_cores() -> int:
    """Count the cores that this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def map_in_order(
    task: WorkerTask[Chunk, Result], chunks: Iterable[Chunk], workers: int
) -> Generator[Result, None, None]:
    """Yield the result of each chunk, in order, with any number of processes.

    With one worker, or a short text, no process is started. A caller that does not take all results
    must close the generator, which stops the processes.

    Args:
        task: the function to apply.
        chunks: taken only when there is room in the queue.
        workers: maximum number of processes.

    Raises:
        DataError: a process ended unexpectedly.
    """
    rest = iter(chunks)
    function = task.make_function(*task.settings)
    yield from map(function, rest if workers == 1 else islice(rest, LOCAL_CHUNKS))
    first = next(rest, None)
    if first is not None:
        del function  # It may be large, and is not needed here any more.
        yield from _map_in_processes(task, first, rest, workers)


def _map_in_processes(
    task: WorkerTask[Chunk, Result], first: Chunk, rest: Iterator[Chunk], workers: int
) -> Generator[Result, None, None]:
    # Spawned, not forked: libraries may have started threads in this process.
    context = multiprocessing.get_context("spawn")
    pool = ProcessPoolExecutor(workers, context, initializer=_start, initargs=task)
    waiting = deque[Future[Any]]()

    def submit(chunk: Chunk) -> None:
        # This may start a process, which must not be interrupted while it starts.
        with holding_signals():
            waiting.append(pool.submit(_apply, chunk))

    try:
        submit(first)
        while waiting:
            while (
                len(waiting) < QUEUED_CHUNKS * workers and (chunk := next(rest, None)) is not None
            ):
                submit(chunk)
            yield cast("Result", waiting.popleft().result())
    except BrokenProcessPool as error:
        raise DataError(
            "a worker process ended unexpectedly, perhaps because memory ran out; use --workers 1, "
            "which starts no processes and needs the least memory"
        ) from error
    finally:
        with holding_signals():  # An interrupted shutdown would wait forever at exit.
            pool.shutdown(cancel_futures=True)


_function: Callable[[Any], Any] | None = None
"""The function that this process applies to chunks, if it is a worker."""


def _start(make_function: Callable[..., Callable[[Any], Any]], settings: tuple[Any, ...]) -> None:
    """Prepare this worker process."""
    global _function  # noqa: PLW0603 (a worker has one function, which is set before any chunk)
    ignore_interrupts()
    threading.Thread(target=_end_with_parent, daemon=True).start()
    _function = make_function(*settings)


def _end_with_parent() -> None:
    """End this process when its parent ends, even if the parent was killed."""
    parent = multiprocessing.parent_process()
    if parent is not None:
        parent.join()
        os._exit(1)


def _apply(chunk: Any) -> Any:
    if _function is None:
        raise RuntimeError("not a worker process")
    return _function(chunk)
