"""The one place that handles signals.

In a training the first SIGINT, SIGTERM, SIGHUP (the terminal is gone) or SIGUSR1 (Slurm's warning)
asks to stop in good order, and the second ends it at once. Elsewhere they unwind like SIGINT, so
that nothing half-written is left behind. A signal that is ignored, as under nohup, stays ignored.
"""

import signal
import time
from collections.abc import Callable
from types import FrameType, TracebackType

from s2s_cli.errors import StoppedError

GRACE_SECONDS = 5.0
"""For how long a process that has nothing to say waits until `torchrun` ends it."""


TERMINATION_SIGNALS = tuple(
    getattr(signal, name) for name in ("SIGTERM", "SIGHUP", "SIGUSR1") if hasattr(signal, name)
)
"""What ends a process beside SIGINT; not every system has them all."""


def unwind_on_signals() -> None:
    """Let signals raise a `StoppedError` rather than end the process where it stands."""

    def stop(number: int, _frame: FrameType | None) -> None:
        raise StoppedError(f"ended by {signal.Signals(number).name}", number)

    for number in TERMINATION_SIGNALS:
        if signal.getsignal(number) != signal.SIG_IGN:
            signal.signal(number, stop)


def ignore_interrupts() -> None:
    """Leave SIGINT, which the whole process group gets, to the process that this one works for."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)


def wait_for_sigterm() -> None:
    """Leave it to another process to say what is wrong, and to SIGTERM to end this one."""
    signal.signal(signal.SIGTERM, signal.SIG_DFL)
    time.sleep(GRACE_SECONDS)


class StopRequest:
    """A context in which signals become a request that the work inside can look at."""

    def __init__(self, on_request: Callable[[], None]) -> None:
        """Begin without a request; `on_request` is called when the first signal comes."""
        self.signal_number: int | None = None
        self._on_request = on_request
        self._former: dict[int, signal.Handlers] = {}

    def __enter__(self) -> "StopRequest":
        for number in (signal.SIGINT, *TERMINATION_SIGNALS):
            former = signal.getsignal(number)
            if former != signal.SIG_IGN:
                self._former[number] = former  # type: ignore[assignment]
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
        """Whether a signal has come."""
        return self.signal_number is not None

    def _request(self, number: int, _frame: FrameType | None) -> None:
        self.signal_number = number
        self._restore()  # so that the next signal ends the process at once
        self._on_request()

    def _restore(self) -> None:
        for number, handler in self._former.items():
            signal.signal(number, handler)
