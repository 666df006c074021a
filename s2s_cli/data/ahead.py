"""The next item made in a thread while the present one is worked with elsewhere, as on a GPU."""

from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from typing import TypeVar

T = TypeVar("T")
U = TypeVar("U")


def one_ahead(make: Callable[[T], U], items: Iterable[T]) -> Iterator[U]:
    """What `make` gives for each item, in order; one is made before it is asked for.

    Args:
        make: called in one other thread, for one item at a time; what it raises is raised where
            its item is asked for.
        items: taken one ahead as well.
    """
    with ThreadPoolExecutor(max_workers=1) as pool:
        waiting: Future[U] | None = None
        for item in items:
            upcoming = pool.submit(make, item)
            if waiting is not None:
                yield waiting.result()
            waiting = upcoming
        if waiting is not None:
            yield waiting.result()
