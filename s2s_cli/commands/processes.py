"""Commands that `torchrun` starts in several processes: of what all would say, one says it."""

from collections.abc import Iterator
from contextlib import contextmanager

from s2s_cli.errors import ConfigError, EchoedError
from s2s_cli.launch import Launch, read_launch
from s2s_cli.signals import stand_back

COMPANY = ("train", "translate")
"""The commands that several processes can share."""


@contextmanager
def together(launch: Launch) -> Iterator[Launch]:
    """Join the other processes, if there are any; all but the first are silent meanwhile.

    Returns:
        The same, knowing what was noted before torchrun began anew.

    Raises:
        EchoedError: instead of an error that another process tells.
    """
    if launch.size == 1:
        yield launch
        return
    from s2s_cli.console import hushed
    from s2s_cli.parallel import joined

    with joined(launch) as known:
        if launch.is_first:
            yield known
        else:
            with hushed():
                yield known


def refuse_company(command: str | None) -> None:
    """Refuse several processes where one does the work.

    Raises:
        ConfigError: there are several.
        EchoedError: instead, in all but the first of them.
    """
    launch = read_launch()
    if launch.size == 1 or command in COMPANY:
        return
    if not launch.is_first:
        stand_back()
        raise EchoedError(1)
    names = " and ".join(f"`s2s {name}`" for name in COMPANY)
    raise ConfigError(
        f"s2s {command}: is the work of one process, and torchrun started {launch.size}; run it "
        f"without torchrun, which is for {names}"
    )
