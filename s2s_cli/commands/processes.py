"""Commands under `torchrun`: only the first process prints messages."""

from collections.abc import Iterator
from contextlib import contextmanager

from s2s_cli.errors import ConfigError, ReportedElsewhereError
from s2s_cli.launch import Launch, read_launch
from s2s_cli.signals import wait_for_sigterm

DISTRIBUTED = ("train", "translate")
"""Commands that can run in several processes."""


@contextmanager
def join_processes(launch: Launch) -> Iterator[Launch]:
    """Join the other processes of the job, if any; all but the first are silent meanwhile.

    Yields:
        The launch, with the marks that were left before a restart by torchrun.

    Raises:
        ReportedElsewhereError: in place of an error that another process reports.
    """
    if launch.size == 1:
        yield launch
        return
    from s2s_cli.console import quiet
    from s2s_cli.parallel import process_group

    with process_group(launch) as launch_with_marks:
        if launch.is_first:
            yield launch_with_marks
        else:
            with quiet():
                yield launch_with_marks


def refuse_several_processes(command: str | None) -> None:
    """Refuse several processes for a command that runs in one.

    Raises:
        ConfigError: there are several.
        ReportedElsewhereError: instead, in all processes but the first.
    """
    launch = read_launch()
    if launch.size == 1 or command in DISTRIBUTED:
        return
    if not launch.is_first:
        wait_for_sigterm()
        raise ReportedElsewhereError(1)
    names = " and ".join(f"`s2s {name}`" for name in DISTRIBUTED)
    raise ConfigError(
        f"s2s {command}: runs in one process, but torchrun started {launch.size}; run it without "
        f"torchrun, which is for {names}"
    )
