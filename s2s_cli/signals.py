"""All signal handling.

During a training, the first SIGINT, SIGTERM, SIGHUP (the terminal is gone) or SIGUSR1 (Slurm's
warning) requests a stop after the current update, and the second ends the process at once.
Elsewhere these signals raise an exception, as SIGINT does, so that no half-written file is left
behind. A signal that is ignored, as under nohup, stays ignored.
"""

import signal
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import FrameType, TracebackType

from s2s_cli.errors import StoppedError

GRACE_SECONDS = 5.0
"""How long a process whose error another one reports waits for `torchrun` to end it."""


TERMINATION_SIGNALS = tuple(
    getattr(signal, name) for name in ("SIGTERM", "SIGHUP", "SIGUSR1") if hasattr(signal, name)
)
"""Signals that end a process, besides SIGINT; not every system has all of them."""


def unwind_on_signals() -> None:
    """Let signals raise a `StoppedError` instead of ending the process immediately."""

    def stop(number: int, _frame: FrameType | None) -> None:
        raise StoppedError(f"stopped by {signal.Signals(number).name}", number)

    for number in TERMINATION_SIGNALS:
        if signal.getsignal(number) != signal.SIG_IGN:
            signal.signal(number, stop)


def ignore_interrupts() -> None:
    """Ignore SIGINT, which the whole process group receives: the parent process handles it."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)


@contextmanager
def holding_signals() -> Iterator[None]:
    """Delay signals until the block ends; processes started in it never see SIGINT.

    Only in the main thread, which is the one that runs signal handlers.
    """
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    held: list[int] = []
    numbers = [
        number
        for number in (signal.SIGINT, *TERMINATION_SIGNALS)
        if signal.getsignal(number) not in {signal.SIG_IGN, None}
    ]
    previous = {number: signal.signal(number, lambda n, _: held.append(n)) for number in numbers}
    # A new process inherits blocked signals, but not handlers.
    has_masks = hasattr(signal, "pthread_sigmask")
    mask = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT}) if has_masks else set()
    try:
        yield
    finally:
        if has_masks:
            signal.pthread_sigmask(signal.SIG_SETMASK, mask)
        for number, handler in previous.items():
            signal.signal(number, handler)
        if held:
            signal.raise_signal(held[0])


def wait_for_sigterm() -> None:
    """Wait for SIGTERM from `torchrun`, because another process reports what is wrong."""
    signal.signal(signal.SIGTERM, signal.SIG_DFL)
    time.sleep(GRACE_SECONDS)


class StopRequest:
    """A context in which the first signal becomes a request that the code inside can check."""

    def __init__(self, on_request: Callable[[], None]) -> None:
        """Set up a context; `on_request` is called when the first signal arrives."""
        self.signal_number: int | None = None
        self._on_request = on_request
        self._previous: dict[int, signal.Handlers] = {}

    def __enter__(self) -> "StopRequest":
        for number in (signal.SIGINT, *TERMINATION_SIGNALS):
            previous = signal.getsignal(number)
            if previous != signal.SIG_IGN:
                self._previous[number] = previous  # type: ignore[assignment]
                signal.signal(number, self._request)
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._restore()

    def is_set(self) -> bool:
        """Whether a signal has arrived."""
        return self.signal_number is not None

    def _request(self, number: int, _frame: FrameType | None) -> None:
        self.signal_number = number
        self._restore()  # so that the next signal ends the process at once
        self._on_request()

    def _restore(self) -> None:
        for number, handler in self._previous.items():
            signal.signal(number, handler)
