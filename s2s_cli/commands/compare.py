"""`s2s compare`: whether the scores of systems differ by more than chance."""

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from s2s_cli.commands import options as opt
from s2s_cli.commands.comparison import compare_systems
from s2s_cli.commands.comparison_formats import FORMATS, format_comparison, show_comparison
from s2s_cli.commands.systems import System, read_systems
from s2s_cli.commands.usage import refuse_clashes
from s2s_cli.errors import ConfigError, DataError

if TYPE_CHECKING:
    from s2s_cli.scoring.metrics import ScoringSettings


def compare(
    paths: Annotated[
        list[Path],
        typer.Argument(
            metavar="SYSTEM SYSTEM...",
            help="Evaluated run or model folders, folders of reports, or files of translations; "
            "the first is what the others are compared with.",
        ),
    ],
    ref: Annotated[
        list[Path] | None,
        typer.Option(
            "--ref", metavar="FILE", help="Raw references of files; repeat for several references."
        ),
    ] = None,
    src: Annotated[
        Path | None,
        typer.Option("--src", metavar="FILE", help="Sources of files, to score by their length."),
    ] = None,
    tgt_lang: opt.TgtLangOption = None,
    test: Annotated[
        str | None,
        typer.Option(
            "--test", metavar="NAME", help="Test set, for models evaluated on several of them."
        ),
    ] = None,
    bleu: opt.BleuOption = False,
    chrf: opt.ChrfOption = False,
    ter: opt.TerOption = False,
    tokenize: opt.TokenizeOption = None,
    lowercase: Annotated[
        bool | None,
        typer.Option(
            "--lowercase/--no-lowercase",
            help="Ignore case (default: if one of the systems was evaluated so).",
        ),
    ] = None,
    output_format: Annotated[
        str | None,
        typer.Option(
            "--format",
            metavar="NAME",
            help="What to write to stdout: json, csv, latex or markdown (default: json, and "
            "nothing on a terminal).",
        ),
    ] = None,
) -> None:
    """Compare systems on one test set: scores, intervals, p-values, sentences that changed."""
    from s2s_cli.console import is_stdout_terminal, write_stdout
    from s2s_cli.scoring.metrics import METRIC_NAMES

    if output_format is not None and output_format not in FORMATS:
        raise ConfigError(f"--format {output_format}: unknown; choose {', '.join(FORMATS)}")
    if len(paths) < 2:
        raise ConfigError("SYSTEM: only one is given; name two or more to compare")
    asked = {"bleu": bleu, "chrf": chrf, "ter": ter}
    metrics = [name for name in METRIC_NAMES if asked[name]]
    given = [(f"SYSTEM {number}", path) for number, path in enumerate(paths, start=1)]
    files = [("--src", src), *(("--ref", path) for path in ref or [])]
    refuse_clashes([*given, *files], [])
    systems = read_systems(paths, test)
    check_same_test_set(systems)
    settings = _choose_settings(systems, lowercase, tokenize, tgt_lang, ref or [])
    references, sources = _choose_texts(systems, ref or [], src)
    comparison = compare_systems(systems, references, sources, settings, metrics)
    show_comparison(comparison)
    if output_format is not None or not is_stdout_terminal():
        write_stdout(format_comparison(comparison, output_format or "json"))


def check_same_test_set(systems: Sequence[System]) -> None:
    """Refuse reports on different test sets, and translations of different numbers of lines.

    Raises:
        ConfigError: systems cannot be compared.
    """
    reports = [system.report for system in systems if system.report is not None]
    for report in reports[1:]:
        for what in ("sources", "references"):
            if getattr(report, what) != getattr(reports[0], what):
                raise ConfigError(
                    f"{report.folder}: its {what} differ from those of {reports[0].folder}; "
                    "evaluate both on the same test set"
                )
    first = systems[0]
    for system in systems[1:]:
        if len(system.hypotheses) != len(first.hypotheses):
            raise ConfigError(
                f"{system.path}: has {len(system.hypotheses):,} translations, but {first.path} has "
                f"{len(first.hypotheses):,}; compare translations of the same test set"
            )


def _choose_settings(
    systems: Sequence[System],
    lowercase: bool | None,
    tokenize: str | None,
    tgt_lang: str | None,
    refs: list[Path],
) -> "ScoringSettings":
    """Choose case, tokeniser and language; reports what is assumed on stderr.

    Raises:
        ConfigError: reports compare different text.
    """
    from s2s_cli.commands.data_warnings import SAMPLED_LINES, describe_script
    from s2s_cli.commands.score_files import choose_language
    from s2s_cli.console import say, warn
    from s2s_cli.scoring.metrics import ScoringSettings

    reports = [system.report for system in systems if system.report is not None]
    if not reports:
        files = [*refs, *(system.path for system in systems)]
        lang = choose_language(tgt_lang, None, files)
        for system in systems:
            if script := describe_script(system.hypotheses[:SAMPLED_LINES], lang):
                warn(f"{system.path}: {script}; name its language with --tgt-lang")
        return ScoringSettings(lang, bool(lowercase), tokenize)
    if tgt_lang is not None:
        raise ConfigError("--tgt-lang: has no effect with evaluated models; remove it")
    found = reports[0].settings
    for report in reports[1:]:
        for key in ("tgt_lang", "form", "chinese", *(() if tokenize else ("tokenize",))):
            ours, theirs = getattr(found, key), getattr(report.settings, key)
            if ours != theirs:
                raise ConfigError(
                    f"{report.folder}: was scored with {key} {theirs}, but {reports[0].folder} "
                    f"with {ours}; evaluate both with the same text settings"
                )
    ignoring = [report.folder for report in reports if report.settings.lowercase]
    if lowercase is None and ignoring:
        say(f"scores ignore case, as those of {ignoring[0]} do; --no-lowercase counts it")
    return found._replace(
        lowercase=bool(ignoring) if lowercase is None else lowercase,
        tokenize=tokenize or found.tokenize,
    )


def _choose_texts(
    systems: Sequence[System], refs: list[Path], src: Path | None
) -> tuple[list[list[str]], tuple[list[str], str | None] | None]:
    """Take references, and sources with their language, from a report or from files.

    Raises:
        ConfigError: files have no references, or options repeat what a report has.
        DataError: files differ in length.
    """
    from s2s_cli.commands.languages import language_of_files
    from s2s_cli.data.lines import read_lines

    report = next((system.report for system in systems if system.report is not None), None)
    if report is not None:
        for option, value in (("--ref", refs), ("--src", src)):
            if value:
                raise ConfigError(f"{option}: has no effect with evaluated models; remove it")
        return report.references, (report.sources, report.src_lang)
    if not refs:
        raise ConfigError("--ref FILE: missing; files of translations need their references")
    references = [read_lines(path) for path in refs]
    if src is None:
        return references, None
    sources = read_lines(src)
    if len(sources) != len(references[0]):
        raise DataError(
            f"{src}: has {len(sources):,} lines, but {refs[0]} has {len(references[0]):,}; both "
            "need one sentence per line, in the same order"
        )
    return references, (sources, language_of_files([src]))
