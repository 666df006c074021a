"""Options that commands share, and the recipe that they make."""

import difflib
from collections.abc import Collection, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, NamedTuple

import typer

from s2s_cli.commands.usage import File, name_given, refuse_clashes
from s2s_cli.errors import ConfigError, DataError

if TYPE_CHECKING:
    from s2s_cli.config import Config
    from s2s_cli.recipe import Recipe
    from s2s_cli.run import RunFolder


def list_keys() -> list[str]:
    """The sections of a recipe and their keys, with dots."""
    from s2s_cli.config import Config

    names = []
    for section, field in Config.model_fields.items():
        keys = getattr(field.annotation, "model_fields", {})
        names += [section, *(f"{section}.{key}" for key in keys)]
    return names


def _complete_recipe(incomplete: str) -> list[str]:
    """Shipped recipes that begin like this."""
    from s2s_cli.recipe import shipped_recipes

    return [name for name in shipped_recipes() if name.startswith(incomplete)]


def _complete_set(incomplete: str) -> list[str]:
    """Keys that begin like this, with an equals sign."""
    return [f"{key}=" for key in list_keys() if "." in key and key.startswith(incomplete)]


ConfigOption = Annotated[
    str | None,
    typer.Option(
        "--config",
        "-c",
        metavar="NAME_OR_FILE",
        help="Recipe: a shipped name, or a YAML file.",
        autocompletion=_complete_recipe,
    ),
]
RunOption = Annotated[
    Path | None,
    typer.Option("--run", metavar="DIR", help="Run folder (default: runs/<recipe>)."),
]
ModelOption = Annotated[
    list[Path] | None,
    typer.Option(
        "--model",
        "-m",
        metavar="DIR",
        help="Model folder, or a run folder with a model; repeat for an ensemble.",
    ),
]
SetOption = Annotated[
    list[str] | None,
    typer.Option(
        "--set",
        metavar="SECTION.KEY=VALUE",
        help="Override any key of the recipe.",
        autocompletion=_complete_set,
    ),
]
DeviceOption = Annotated[
    str | None,
    typer.Option("--device", metavar="NAME", help="auto, cpu, cuda, cuda:N or mps."),
]


def check_language(value: str | None, parameter: typer.CallbackParam) -> str | None:
    """Refuse the name of a language where its code belongs.

    Raises:
        ConfigError: with the code of that language.
    """
    from s2s_cli.text.language import suggest_code

    if value is not None and (code := suggest_code(value)) is not None:
        raise ConfigError(
            f"{parameter.opts[0]} {value}: languages are named by their codes; did you mean {code}?"
        )
    return value


SrcLangOption = Annotated[
    str | None,
    typer.Option(
        "--src-lang", metavar="CODE", help="Source language, such as zh.", callback=check_language
    ),
]
TgtLangOption = Annotated[
    str | None,
    typer.Option(
        "--tgt-lang", metavar="CODE", help="Target language, such as en.", callback=check_language
    ),
]
DataDirOption = Annotated[
    Path | None,
    typer.Option(
        "--data-dir", metavar="DIR", help="Folder of the data files that the recipe names."
    ),
]
TrainSrcOption = Annotated[
    Path | None, typer.Option("--train-src", metavar="FILE", help="Training text, source side.")
]
TrainTgtOption = Annotated[
    Path | None, typer.Option("--train-tgt", metavar="FILE", help="Training text, target side.")
]
ValidSrcOption = Annotated[
    Path | None, typer.Option("--valid-src", metavar="FILE", help="Validation text, source side.")
]
ValidTgtOption = Annotated[
    Path | None, typer.Option("--valid-tgt", metavar="FILE", help="Validation text, target side.")
]
TestSrcOption = Annotated[
    Path | None, typer.Option("--test-src", metavar="FILE", help="Test text, source side.")
]
TestTgtOption = Annotated[
    list[Path] | None,
    typer.Option(
        "--test-tgt", metavar="FILE", help="Test text, target side; repeat for more references."
    ),
]
OnBadUtf8Option = Annotated[
    str | None,
    typer.Option(
        "--on-bad-utf8",
        metavar="NAME",
        help="Training pairs that are not UTF-8: error, or skip to leave them out.",
    ),
]
BeamSizeOption = Annotated[
    int | None,
    typer.Option("--beam-size", min=1, help="Hypotheses per sentence; 1 is greedy search."),
]
LengthPenaltyOption = Annotated[
    float | None, typer.Option("--length-penalty", min=0.0, help="Alpha of the length penalty.")
]
SampleOption = Annotated[
    bool,
    typer.Option("--sample", help="Sample translations instead of searching for the best."),
]
SampleSeedOption = Annotated[int | None, typer.Option("--seed", min=0, help="Seed of --sample.")]
BatchSizeOption = Annotated[
    int | None, typer.Option("--batch-size", min=1, help="Sentences per batch.")
]
SearchPrecisionOption = Annotated[
    str | None,
    typer.Option("--precision", metavar="NAME", help="float32, bf16 or int8, fastest last."),
]
KeepUnkOption = Annotated[
    bool | None,
    typer.Option(
        "--keep-unk", help="Leave <unk> instead of the source word that has the most attention."
    ),
]
DictionaryOption = Annotated[
    Path | None,
    typer.Option(
        "--dictionary",
        metavar="FILE",
        help="Translations of unknown words: `source TAB target` lines. A source is one word or, "
        "in text without spaces, one or more tokens.",
    ),
]

FromOption = Annotated[
    str | None,
    typer.Option(
        "--from",
        metavar="CODE",
        help="Source language, for a model with several.",
        callback=check_language,
    ),
]
ToOption = Annotated[
    str | None,
    typer.Option(
        "--to",
        metavar="CODE",
        help="Target language, for a model with several.",
        callback=check_language,
    ),
]

BleuOption = Annotated[bool, typer.Option("--bleu", help="BLEU (default: BLEU and chrF).")]
ChrfOption = Annotated[bool, typer.Option("--chrf", help="chrF.")]
TerOption = Annotated[bool, typer.Option("--ter", help="TER; slow for long sentences.")]
TokenizeOption = Annotated[
    str | None,
    typer.Option("--tokenize", metavar="NAME", help="sacrebleu tokeniser for BLEU."),
]


class DataOptions(NamedTuple):
    """The options about data."""

    src_lang: str | None = None
    tgt_lang: str | None = None
    folder: Path | None = None
    train: tuple[Path | None, Path | None] = (None, None)
    valid: tuple[Path | None, Path | None] = (None, None)
    test: tuple[Path | None, list[Path] | None] = (None, None)
    """The source file, and the files of the references."""
    on_bad_utf8: str | None = None

    def _splits(self) -> dict[str, tuple[Path | None, list[Path]]]:
        """The source file and the target files of each split."""
        return {
            "train": (self.train[0], [self.train[1]] if self.train[1] else []),
            "valid": (self.valid[0], [self.valid[1]] if self.valid[1] else []),
            "test": (self.test[0], self.test[1] or []),
        }

    def _files(self) -> "list[File]":
        """The files that are read."""
        return [
            (f"--{name}-{side}", path)
            for name, (src, refs) in self._splits().items()
            for side, path in (("src", src), *(("tgt", ref) for ref in refs))
        ]

    def overrides(self, sets: Sequence[str] = ()) -> list[tuple[str, object]]:
        """The keys of a recipe that these options set; reports on stderr what is assumed.

        Args:
            sets: `--set`; what it says is not assumed.

        Raises:
            ConfigError: only one side of a split is given.
            DataError: a file does not exist.
        """
        from s2s_cli.console import say
        from s2s_cli.recipe import HELD_OUT_SHARE

        refuse_clashes(self._files(), [])
        found: list[tuple[str, object]] = []
        for key, value in (
            ("data.src_lang", self.src_lang),
            ("data.tgt_lang", self.tgt_lang),
            ("data.folder", self.folder),
            ("data.on_bad_utf8", self.on_bad_utf8),
        ):
            if value is not None:
                found.append((key, str(value)))
        for name, (src, refs) in self._splits().items():
            if (src is None) != (not refs):
                missing = "src" if src is None else "tgt"
                raise ConfigError(f"--{name}-{missing}: missing; name the files of both sides")
            if src is not None:
                _check_exists(f"--{name}-src", src)
                for ref in refs:
                    _check_exists(f"--{name}-tgt", ref)
                paths = [_locate(path) for path in refs]
                files = {"src": _locate(src), "tgt": paths[0] if len(paths) == 1 else paths}
                found.append((f"data.{name}", files))
        if self.train[0] is not None:
            if self.valid[0] is None and not any(text.startswith("data.valid") for text in sets):
                say(
                    f"no --valid-src and --valid-tgt: {HELD_OUT_SHARE:.0%} of the training pairs "
                    "are held out for validation (data.valid)"
                )
                found.append(("data.valid", HELD_OUT_SHARE))
            if self.test[0] is None:
                found.append(("data.test", None))
        return found


def _locate(path: Path) -> str:
    """A file on the command line, which is relative to the working directory."""
    return "/dev/stdin" if str(path) == "-" else str(path.absolute())


def _check_exists(option: str, path: Path) -> None:
    """Refuse a file that does not exist.

    Raises:
        DataError: there is no such file, or it is a folder; the message names a similar one.
    """
    from s2s_cli.data.opening import check_exists

    try:
        check_exists(path)
    except DataError as error:
        names = [entry.name for entry in path.parent.glob("*") if entry.is_file()]
        similar = difflib.get_close_matches(path.name, names, n=1)
        hint = f"; did you mean {path.with_name(similar[0])}?" if similar else ""
        raise DataError(f"{option}: {error}{hint}") from error


class Job(NamedTuple):
    """A recipe and its run folder."""

    recipe: "Recipe"
    run: "RunFolder"
    explicit: frozenset[str] = frozenset()
    """The sides, `src` and `tgt`, whose language a command-line option names."""


def make_job(
    config: str | None,
    run: Path | None,
    options: Sequence[tuple[str, object]],
    sets: Sequence[str] | None,
    inherited: Sequence[tuple[str, object]] = (),
) -> Job:
    """Read the recipe with all overrides, `--set` last, and choose the run folder.

    Args:
        config: name or file of the recipe, if given.
        run: the run folder, if given.
        options: overrides by other options.
        sets: `--set`.
        inherited: overrides from the model to fine-tune, before all others.
    """
    from s2s_cli.commands.languages import SIDES, resolve_languages
    from s2s_cli.console import say
    from s2s_cli.recipe import DEFAULT_RECIPE, load_recipe, parse_override
    from s2s_cli.run import RUNS, RunFolder
    from s2s_cli.unused_settings import refuse_unused

    given = [*options, *(parse_override(text) for text in sets or ())]
    overrides = [*inherited, *given]
    recipe = load_recipe(config or DEFAULT_RECIPE, overrides)
    explicit = frozenset(
        side for side in SIDES if any(key == f"data.{side}_lang" for key, _ in given)
    )
    if not inherited and (languages := resolve_languages(recipe.config.data, config, explicit)):
        recipe = load_recipe(config or DEFAULT_RECIPE, [*overrides, *languages])
    for note in recipe.assumed:
        say(note)
    refuse_unused(name_given({}, options), recipe.config)
    return Job(recipe, RunFolder(run or RUNS / recipe.name), explicit)


def warn_of_unused(config: "Config", sections: Collection[str] | None = None) -> None:
    """Warn of settings that have no effect, in all sections of a recipe or in some."""
    from s2s_cli.console import warn
    from s2s_cli.unused_settings import find_unused

    for unused in find_unused(config):
        if sections is None or {key.partition(".")[0] for key in unused.keys} & {*sections}:
            warn(unused.describe())


def given(**options: object) -> list[tuple[str, object]]:
    """List the options that are given, as overrides: `training__epochs=5` is `training.epochs`."""
    return [
        (name.replace("__", "."), value) for name, value in options.items() if value is not None
    ]
