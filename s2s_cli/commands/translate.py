"""`s2s translate`: raw text in, raw text out."""

import sys
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, nullcontext, suppress
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, NamedTuple

import typer

from s2s_cli.commands import options as opt
from s2s_cli.commands.attention_views import AttentionViews
from s2s_cli.commands.data_warnings import describe_unknown
from s2s_cli.commands.loading import (
    load_translator,
    locate_model,
    report_mbr,
    report_search_of_recipe,
)
from s2s_cli.commands.processes import join_processes
from s2s_cli.commands.rendering import Rendering
from s2s_cli.commands.streaming import Sinks, Write, translate_stream
from s2s_cli.commands.usage import name_given, refuse_clashes
from s2s_cli.errors import ConfigError, ReaderGoneError
from s2s_cli.launch import Launch, read_launch

if TYPE_CHECKING:
    from s2s_cli.commands.rendering import Prefixes
    from s2s_cli.data.stream import InputStream


def translate(
    file: Annotated[
        Path | None,
        typer.Argument(metavar="[FILE]", help="Text with one sentence per line (default: stdin)."),
    ] = None,
    config: opt.ConfigOption = None,
    run: opt.RunOption = None,
    model: opt.ModelOption = None,
    src_lang: opt.FromOption = None,
    tgt_lang: opt.ToOption = None,
    output: Annotated[
        Path | None,
        typer.Option("--output", "-o", metavar="FILE", help="File to write (default: stdout)."),
    ] = None,
    beam_size: opt.BeamSizeOption = None,
    length_penalty: opt.LengthPenaltyOption = None,
    n_best: Annotated[
        int | None,
        typer.Option(
            "--n-best",
            min=1,
            help="Translations per sentence, as `line ||| translation ||| score`.",
        ),
    ] = None,
    sample: opt.SampleOption = False,
    seed: opt.SampleSeedOption = None,
    batch_size: opt.BatchSizeOption = None,
    precision: opt.SearchPrecisionOption = None,
    keep_unk: opt.KeepUnkOption = None,
    dictionary: opt.DictionaryOption = None,
    prefix: Annotated[
        str | None, typer.Option("--prefix", metavar="TEXT", help="Start of every translation.")
    ] = None,
    prefix_file: Annotated[
        Path | None,
        typer.Option(
            "--prefix-file",
            metavar="FILE",
            help="Start of each translation, one per line; blank for none.",
        ),
    ] = None,
    alignments: Annotated[
        Path | None,
        typer.Option(
            "--alignments",
            metavar="FILE",
            help="Write word alignments from attention: for each line, `i-j` pairs of source and "
            "target words, counted from 0 (tokens; subwords if no spaces separate words).",
        ),
    ] = None,
    attention: Annotated[
        bool,
        typer.Option("--attention", help="Draw what each word of a translation looked at."),
    ] = False,
    attention_file: Annotated[
        Path | None,
        typer.Option(
            "--attention-file", metavar="FILE", help="Write the same to a page: *.html or *.svg."
        ),
    ] = None,
    as_json: Annotated[
        bool, typer.Option("--json", help="One JSON object per line, with scores and attention.")
    ] = False,
    device: opt.DeviceOption = None,
    sets: opt.SetOption = None,
) -> None:
    """Translate a file, stdin, or sentences typed at a prompt, line by line."""
    from s2s_cli.unused_settings import refuse_unused

    launch = read_launch()
    given = opt.given(
        decoding__search="sample" if sample else None,
        decoding__seed=seed,
        decoding__beam_size=beam_size,
        decoding__length_penalty=length_penalty,
        decoding__n_best=n_best,
        decoding__batch_size=batch_size,
        decoding__precision=precision,
        decoding__keep_unk=keep_unk,
        decoding__dictionary=None if dictionary is None else str(dictionary),
    )
    with join_processes(launch):
        refuse_clashes(
            [
                ("FILE", file or Path("-")),
                ("--prefix-file", prefix_file),
                ("--dictionary", dictionary),
            ],
            [
                ("--output", output or Path("-")),
                ("--alignments", alignments),
                ("--attention-file", attention_file),
            ],
        )
        views = AttentionViews(is_shown=attention, path=attention_file)
        if launch.size > 1 and (attention or attention_file):
            raise ConfigError("--attention: cannot be drawn by several processes; use one")
        options = {"--run": run, "--model": model, "--prefix": prefix, "--prefix-file": prefix_file}
        named = name_given(options, given, sets or ())
        refuse_unused(named)
        task = _read_task(file, prefix, prefix_file, launch)
        if config is not None and (model or run):
            other = "--model" if model else "--run"
            raise ConfigError(
                f"--config: cannot be combined with {other}, which names the model; remove one"
            )
        loaded = load_translator(locate_model(config, run, model), device, given, sets or [])
        loaded = loaded.between(src_lang, tgt_lang)
        refuse_unused(named, loaded.config)
        views.check(loaded)
        if config is not None:
            report_search_of_recipe(config, loaded)
        report_mbr(loaded.decoding)
        rendering = Rendering(loaded, as_json, alignments is not None, views)
        with _open_sinks(output, alignments, launch) as sinks:
            if task.is_typed:
                _converse(task.prefixes, rendering, sinks)
            else:
                is_file = launch.is_first and (file is not None or output is not None)
                _translate_file(task, rendering, sinks, has_progress=is_file)
            views.write()


def _translate_file(
    task: "Task", rendering: Rendering, sinks: Sinks, *, has_progress: bool
) -> None:
    """Translate a text; with progress and, at the end, a line about speed and search."""
    from s2s_cli.console import counting, say

    if not has_progress:
        translate_stream(task.source, task.prefixes, rendering, sinks, task.path)
        return
    started = time.perf_counter()
    with counting("lines") as report:
        num_lines = translate_stream(
            task.source, task.prefixes, rendering, sinks, task.path, report
        )
    rate = num_lines / (time.perf_counter() - started)
    decoding = rendering.loaded.decoding
    search = f"beam {decoding.beam_size}" if decoding.search == "beam" else decoding.search
    say(f"{num_lines:,} lines, {rate:,.0f} sentences/s, {search}, {decoding.precision}")


class Task(NamedTuple):
    """The text to translate."""

    source: "InputStream"
    path: Path
    """The file that `source` reads, for messages."""
    prefixes: "Prefixes"
    is_typed: bool
    """Whether the text is typed at a prompt."""


def _read_task(
    file: Path | None, prefix: str | None, prefix_file: Path | None, launch: Launch
) -> Task:
    from s2s_cli.commands.rendering import read_prefixes
    from s2s_cli.data.file_kinds import STDIN, name_input
    from s2s_cli.data.stream import open_input

    path = file or STDIN
    if launch.size > 1 and (path == STDIN or (path.exists() and not path.is_file())):
        raise ConfigError(
            f"translate: {launch.size} processes cannot share {name_input(path)}; name a FILE that "
            "each of them can read"
        )
    source = open_input(path)
    prefixes = read_prefixes(prefix, prefix_file)
    is_typed = path == STDIN and sys.stdin.isatty()
    if is_typed and prefix_file is not None:
        raise ConfigError("--prefix-file: has no effect at a prompt; give --prefix, or a FILE")
    return Task(source, path, prefixes, is_typed)


def _converse(prefixes: "Prefixes", rendering: Rendering, sinks: Sinks) -> None:
    """Translate each line that is typed at a prompt, until the end of input."""
    import readline  # noqa: F401 (line editing for `input`)

    from s2s_cli.console import say

    say("type a sentence and press Enter; Ctrl-D ends")
    loaded = rendering.loaded
    prompt = "> " if sys.stdout.isatty() else ""
    number = 0
    while True:
        try:
            typed = input(prompt)
        except EOFError:
            say("")
            return
        except KeyboardInterrupt:
            say("")
            raise
        line = typed.encode("utf-8", "surrogateescape").decode("utf-8", "replace")
        line_prefixes = prefixes.of(number, 1)
        found = loaded.translator.translate([line], loaded.decoding, line_prefixes)[0]
        sinks.write_links(rendering.links(found))
        sinks.write(rendering.text(found, number))
        rendering.views.add(found, number)
        if unknown := describe_unknown(found, loaded):
            say(f"  ({unknown})")
        number += 1


@contextmanager
def _open_sinks(output: Path | None, alignments: Path | None, launch: Launch) -> Iterator[Sinks]:
    """Open the outputs; only the first process writes to them."""
    if not launch.is_first:
        yield Sinks(_discard, _discard)
        return
    with ExitStack() as stack:
        write = stack.enter_context(_open_output(output, launch))
        if alignments is None:
            yield Sinks(write, _discard)
        else:
            yield Sinks(write, stack.enter_context(_open_output(alignments, launch)))


def _discard(_text: str) -> None:
    """Write to nowhere."""


@contextmanager
def _open_output(path: Path | None, launch: Launch) -> Iterator[Write]:
    """Open stdout, flushed after every write, or a file that appears when it is complete."""
    from s2s_cli.console import write_stdout
    from s2s_cli.storage.atomic import is_stdout, replacing

    if path is not None and not is_stdout(path):
        with replacing(path) as file:

            def write_to_file(text: str) -> None:
                file.write(text.encode())

            yield write_to_file
        return

    def write(text: str) -> None:
        # Several processes have to finish together, even if nobody reads stdout any more.
        with nullcontext() if launch.size == 1 else suppress(ReaderGoneError):
            write_stdout(text)

    yield write
