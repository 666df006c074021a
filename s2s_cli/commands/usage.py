"""Checks of the command line that all commands share and Typer lacks."""

import os
import stat
import sys
from collections import Counter
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from typer.core import TyperCommand, TyperGroup, TyperOption

from s2s_cli.errors import ConfigError, UsageError

PANELS = {
    "Data": (
        *("--src-lang", "--tgt-lang", "--data-dir", "--train-src", "--train-tgt", "--valid-src"),
        *("--valid-tgt", "--test-src", "--test-tgt", "--test", "--ref", "--src", "--hyp", "--text"),
        *("--lang", "--on-bad-utf8", "--back", "--max-ratio", "--min-score"),
    ),
    "Model": ("--model", "--from", "--to", "--device", "--precision"),
    "Search": (
        *("--beam-size", "--length-penalty", "--sample", "--batch-size", "--keep-unk"),
        *("--dictionary", "--prefix", "--prefix-file"),
    ),
    "Scores": (
        *("--bleu", "--chrf", "--ter", "--tokenize", "--tokenized", "--lowercase", "--accuracy"),
        *("--score-pairs", "--tune"),
    ),
    "Output": (
        *("--output", "--n-best", "--json", "--alignments", "--attention", "--attention-file"),
        *("--report", "--format"),
    ),
    "Run": ("--config", "--run", "--epochs", "--fresh", "--set", "--workers"),
}
"""The options of each panel in the help of a command; others are in a panel of their own."""

_PANEL_OF = {option: panel for panel, options in PANELS.items() for option in options}


class Commands(TyperGroup):
    """The commands in the order in which people meet them."""

    ORDER = ("vocab", "train", "translate", "eval", "compare", "results", "augment")

    def list_commands(self, ctx: Any) -> list[str]:
        """The names of the commands, those that are not in the order last."""
        names = super().list_commands(ctx)
        first = [name for name in self.ORDER if name in names]
        return [*first, *(name for name in names if name not in first)]


class Command(TyperCommand):
    """A command that refuses an option given twice, unless the option may be repeated.

    Its help shows options in panels, and says in words what they take.
    """

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        """Make the command as Typer does, and describe its options."""
        super().__init__(*args, **kwargs)
        for parameter in self.params:
            if not isinstance(parameter, TyperOption):
                continue
            parameter.rich_help_panel = _PANEL_OF.get(parameter.opts[0], "Options")
            if parameter.metavar is None:
                # Options that take anything else than a number say what.
                parameter.metavar = " " if parameter.is_flag else "NUMBER"

    def parse_args(self, ctx: Any, args: list[str]) -> list[str]:
        """Parse the command line.

        Raises:
            UsageError: an option that may be given once is given more than once.
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


OPTION_NAMES = {
    "data.folder": "--data-dir",
    "decoding.search": "--sample",
    "training.init_from": "--from",
}
"""Options that are not called like the keys that they set."""


def name_given(
    options: Mapping[str, object],
    overrides: Iterable[tuple[str, object]],
    sets: Iterable[str] = (),
) -> dict[str, str]:
    """List what the command line gives, each key or option with how it is written there.

    Args:
        options: options that set no key, by their names; None stands for one that is not given.
        overrides: keys that options set, as `given` has them.
        sets: `--set`.
    """
    from s2s_cli.recipe import parse_override

    keys = [key for key, _ in overrides]
    return {
        **{name: name for name, value in options.items() if value is not None},
        **{key: OPTION_NAMES.get(key, f"--{key.split('.')[1].replace('_', '-')}") for key in keys},
        **{key: f"--set {key}" for key, _ in map(parse_override, sets)},
    }


def refuse_undecoded_arguments() -> None:
    """Refuse arguments with bytes that are not UTF-8.

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
                f"argument '{shown}': is not UTF-8; use a UTF-8 terminal, put text into a file, or "
                "rename the file"
            ) from error


File = tuple[str, Path | None]
"""An option or argument as it is written on the command line, and its file if it is given."""


def refuse_clashes(inputs: Iterable[File], outputs: Iterable[File]) -> None:
    """Refuse an output that is also an input, two outputs in one file, and stdin read twice.

    Raises:
        ConfigError: files clash, or an output is a folder.
    """
    read: dict[str, str] = {}
    for option, path in inputs:
        key = _identify(path, is_output=False)
        if key == "stdin" and key in read:
            raise ConfigError(
                f"{option} {path}: {read[key]} reads stdin as well, which can be read only once; "
                "name a file for one of them"
            )
        if key is not None:
            read[key] = option
    written: dict[str, str] = {}
    for option, path in outputs:
        if path is not None and path.is_dir():
            raise ConfigError(f"{option} {path}: is a folder; name a file in it")
        key = _identify(path, is_output=True)
        if key is None:
            continue
        for others, does in ((read, "is read"), (written, "is written")):
            if key in others:
                raise ConfigError(
                    f"{option} {path}: the same file {does} by {others[key]}; name another"
                )
        written[key] = option


def _identify(path: Path | None, *, is_output: bool) -> str | None:
    """Identify a file whatever its name; None for devices such as `/dev/null`."""
    from s2s_cli.data.file_kinds import STDIN
    from s2s_cli.storage.atomic import is_stdout

    if path is None:
        return None
    if is_output and is_stdout(path):
        return "stdout"
    if not is_output and (path == STDIN or str(path) in {"/dev/stdin", "/dev/fd/0"}):
        return "stdin"
    try:
        found = path.stat()
    except OSError:
        return os.path.realpath(path)
    return None if stat.S_ISCHR(found.st_mode) else f"{found.st_dev}:{found.st_ino}"
