"""Checks of the command line that every command shares and Typer does not make."""

import sys
from collections import Counter
from collections.abc import Iterable
from typing import Any

from typer.core import TyperCommand

from s2s_cli.errors import ConfigError, UsageError


class Command(TyperCommand):
    """A command that refuses an option given twice, unless it may be."""

    def parse_args(self, ctx: Any, args: list[str]) -> list[str]:
        """Parse the command line.

        Raises:
            UsageError: an option that counts once is given more than once.
        """
        values, _, order = self.make_parser(ctx).parse_args(args=list(args))
        for parameter, count in Counter(order).items():
            if count > 1 and _counts_once(parameter):
                name = "/".join([*parameter.opts, *parameter.secondary_opts])
                raise UsageError(f"{name}: given {count} times; give it once")
        _refuse_double_keys(values.get("sets", ()))
        return super().parse_args(ctx, args)


def _refuse_double_keys(settings: Iterable[str]) -> None:
    """Refuse a key that `--set` gives twice."""
    for key, count in Counter(text.partition("=")[0].strip() for text in settings).items():
        if count > 1:
            raise UsageError(f"--set {key}: given {count} times; give it once")


def _counts_once(parameter: Any) -> bool:
    return (
        parameter.param_type_name == "option"
        and not parameter.multiple
        and not parameter.is_eager  # as --help is
    )


def refuse_undecoded_arguments() -> None:
    """Refuse arguments that hold bytes which are not UTF-8.

    Raises:
        ConfigError: one does.
    """
    for argument in sys.argv[1:]:
        try:
            argument.encode()
        except UnicodeEncodeError as error:
            raw = argument.encode("utf-8", "surrogateescape")
            shown = raw.decode("utf-8", "backslashreplace")
            raise ConfigError(
                f"argument '{shown}': is not UTF-8; type it in a UTF-8 terminal, or put text into "
                "a file and rename files whose names are not UTF-8"
            ) from error
