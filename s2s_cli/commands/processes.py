"""Commands that `torchrun` starts in several processes: of what all would say, one says it."""

from collections.abc import Iterator
from contextlib import contextmanager

from s2s_cli.errors import ConfigError, ReportedElsewhereError
from s2s_cli.launch import Launch, read_launch
from s2s_cli.signals import wait_for_sigterm

DISTRIBUTED = ("train", "translate")
"""The commands that several processes can share."""


@contextmanager
def join_processes(launch: Launch) -> Iterator[Launch]:
    """Join the other processes, if there are any; all but the first are silent meanwhile.

    Returns:
        The same, knowing what was noted before torchrun began anew.

    Raises:
        ReportedElsewhereError: instead of an error that another process tells.
    """
    if launch.size == 1:
        yield launch
        return
    from s2s_cli.console import quiet
    from s2s_cli.parallel import process_group

    with process_group(launch) as known:
        if launch.is_first:
            yield known
        else:
            with quiet():
                yield known


def refuse_several_processes(command: str | None) -> None:
    """Refuse several processes where one does the work.

    Raises:
        ConfigError: there are several.
        ReportedElsewhereError: instead, in all but the first of them.
    """
    launch = read_launch()
    if launch.size == 1 or command in DISTRIBUTED:
        return
    if not launch.is_first:
        wait_for_sigterm()
        raise ReportedElsewhereError(1)
    names = " and ".join(f"`s2s {name}`" for name in DISTRIBUTED)
    raise ConfigError(
        f"s2s {command}: is the work of one process, and torchrun started {launch.size}; run it "
        f"without torchrun, which is for {names}"
    )
