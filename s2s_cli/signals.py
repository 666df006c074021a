"""The one place that handles signals.

The first SIGINT or SIGTERM asks a long job to stop in good order; the second ends it at once.
"""

import signal
from types import FrameType, TracebackType


class StopRequest:
    """A context in which signals become a request that the work inside can look at."""

    def __init__(self) -> None:
        self.signal_number: int | None = None
        self._former: dict[int, signal.Handlers] = {}

    def __enter__(self) -> "StopRequest":
        for number in (signal.SIGINT, signal.SIGTERM):
            self._former[number] = signal.getsignal(number)  # type: ignore[assignment]
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

    def _restore(self) -> None:
        for number, handler in self._former.items():
            signal.signal(number, handler)
