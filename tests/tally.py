"""The table of the fault suite: the number of trials and failures for each row of the matrix.

`make test` runs a sample; with `S2S_FAULTS=all`, as `make faults` sets it, all trials are run.
"""

import os
import time
from collections import defaultdict
from collections.abc import Generator, Iterator
from contextlib import contextmanager

import pytest

IS_FULL = os.environ.get("S2S_FAULTS") == "all"


def trials(sampled: int, full: int) -> int:
    """Return the number of trials."""
    return full if IS_FULL else sampled


class Tally:
    """Counts the trials of one test, which fails only after all of them."""

    def __init__(self, row: str) -> None:
        self.row = row
        self.num_trials = 0
        self.failures: list[str] = []
        self.seconds = 0.0

    @contextmanager
    def trial(self, name: object = "") -> Iterator[None]:
        """Run one trial: a failed assertion is counted; any other exception is a bug."""
        self.num_trials += 1
        try:
            yield
        except AssertionError as error:
            self.failures.append(f"{name}: {error}")

    def count(self, number: int) -> None:
        """Add successful trials that were made elsewhere."""
        self.num_trials += number


@pytest.fixture
def tally(request: pytest.FixtureRequest) -> Iterator[Tally]:
    """Count trials for the row that the mark of the test names: `@pytest.mark.fault("A1")`."""
    mark = request.node.get_closest_marker("fault")
    assert mark is not None, "a test of the fault suite names its row"
    found = Tally(mark.args[0])
    started = time.monotonic()
    yield found
    seconds = time.monotonic() - started
    request.node.user_properties.append(
        ("fault", (found.row, found.num_trials, len(found.failures), seconds))
    )
    assert found.num_trials, "no trial was made"
    assert not found.failures, f"{len(found.failures)} of {found.num_trials}: " + "\n".join(
        found.failures[:5]
    )


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(
    item: pytest.Item, call: pytest.CallInfo[None]
) -> Generator[None, pytest.TestReport, pytest.TestReport]:
    """Count a test that names a row, but uses no tally, as one trial."""
    mark = item.get_closest_marker("fault")
    if mark and call.when == "call" and "tally" not in getattr(item, "fixturenames", ()):
        failed = int(call.excinfo is not None)
        item.user_properties.append(("fault", (mark.args[0], 1, failed, call.duration)))
    return (yield)


def table(reports: list[pytest.TestReport]) -> list[str]:
    """Format the trials, failures and seconds of each row as a table."""
    sums: defaultdict[str, list[float]] = defaultdict(lambda: [0, 0, 0.0])
    for report in reports:
        # All reports of a test have its properties, and the last one has all of them.
        for name, value in report.user_properties if report.when == "teardown" else ():
            if name == "fault":
                row, num_trials, num_failures, seconds = value  # type: ignore[misc]
                for place, number in enumerate((num_trials, num_failures, seconds)):
                    sums[str(row)][place] += float(number)
    if not sums:
        return []
    lines = ["| row | trials | failures | seconds |", "|---|---|---|---|"]
    for row in sorted(sums, key=lambda name: (name[0], int(name[1:] or 0))):
        num_trials, num_failures, seconds = sums[row]
        lines.append(f"| {row} | {num_trials:,.0f} | {num_failures:,.0f} | {seconds:,.0f} |")
    totals = [sum(values[place] for values in sums.values()) for place in range(3)]
    lines.append(f"| all | {totals[0]:,.0f} | {totals[1]:,.0f} | {totals[2]:,.0f} |")
    return lines
