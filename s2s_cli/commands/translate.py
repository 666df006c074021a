"""`s2s translate`: raw text in, raw text out."""

import json
import os
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, NamedTuple

import typer

from s2s_cli.commands import options as opt
from s2s_cli.commands.loading import load_translator, locate_model
from s2s_cli.commands.search import refuse_idle_options, tell_recipe_search
from s2s_cli.errors import ConfigError

if TYPE_CHECKING:
    from s2s_cli.commands.loading import Loaded
    from s2s_cli.commands.prefixes import Prefixes
    from s2s_cli.decoding.translator import Translation

Write = Callable[[str], None]


def translate(
    file: Annotated[
        Path | None,
        typer.Argument(metavar="[FILE]", help="Text, one sentence a line; stdin if not given."),
    ] = None,
    config: opt.ConfigOption = None,
    run: opt.RunOption = None,
    model: opt.ModelOption = None,
    src_lang: opt.FromOption = None,
    tgt_lang: opt.ToOption = None,
    output: Annotated[
        Path | None, typer.Option("--output", "-o", metavar="FILE", help="Instead of stdout.")
    ] = None,
    beam_size: opt.BeamSizeOption = None,
    length_penalty: opt.LengthPenaltyOption = None,
    n_best: Annotated[
        int | None,
        typer.Option(
            "--n-best", min=1, help="Translations per line, as `line ||| translation ||| score`."
        ),
    ] = None,
    sample: Annotated[
        bool, typer.Option("--sample", help="Draw translations instead of searching the best.")
    ] = False,
    seed: Annotated[
        int | None, typer.Option("--seed", min=0, help="Of --sample: same seed, same samples.")
    ] = None,
    batch_size: opt.BatchSizeOption = None,
    keep_unk: opt.KeepUnkOption = None,
    dictionary: opt.DictionaryOption = None,
    prefix: Annotated[
        str | None, typer.Option("--prefix", metavar="TEXT", help="Begin each translation so.")
    ] = None,
    prefix_file: Annotated[
        Path | None,
        typer.Option("--prefix-file", metavar="FILE", help="One prefix per line; blank for none."),
    ] = None,
    alignments: Annotated[
        Path | None,
        typer.Option(
            "--alignments",
            metavar="FILE",
            help="Per line, `i-j` for source and target words (tokens, from 0; where no spaces "
            "part subwords into words, subwords) that belong together, by attention.",
        ),
    ] = None,
    as_json: Annotated[
        bool, typer.Option("--json", help="One JSON object per line, with scores and attention.")
    ] = False,
    device: opt.DeviceOption = None,
    sets: opt.SetOption = None,
) -> None:
    """Translate a file, stdin, or what is typed at a prompt; one line out per line in."""
    from s2s_cli.commands.prefixes import read_prefixes
    from s2s_cli.data.stream import open_source

    source = open_source(file)
    prefixes = read_prefixes(prefix, prefix_file)
    is_typed = file is None and sys.stdin.isatty()
    if is_typed and prefix_file is not None:
        raise ConfigError("--prefix-file: of no use at a prompt; give --prefix, or a FILE")
    given = opt.given(
        decoding__search="sample" if sample else None,
        decoding__seed=seed,
        decoding__beam_size=beam_size,
        decoding__length_penalty=length_penalty,
        decoding__n_best=n_best,
        decoding__batch_size=batch_size,
        decoding__keep_unk=keep_unk,
        decoding__dictionary=None if dictionary is None else str(dictionary),
    )
    if config is not None and (model or run):
        other = "--model" if model else "--run"
        raise ConfigError(
            f"--config: of no use beside {other}, which names the model; leave it out"
        )
    loaded = load_translator(locate_model(config, run, model), device, given, sets or [])
    loaded = loaded.between(src_lang, tgt_lang)
    refuse_idle_options(loaded.decoding, given)
    if config is not None:
        tell_recipe_search(config, loaded)
    with _open_output(output) as write, _open_alignments(alignments) as write_links:
        sink = Output(loaded, write, write_links, as_json)
        if is_typed:
            _converse(loaded, prefixes, sink)
        else:
            _stream(loaded, source, prefixes, sink)


class Output(NamedTuple):
    """Where translations go, and in which form."""

    loaded: "Loaded"
    write: Write
    write_links: Write | None
    as_json: bool

    def add(self, translation: "Translation", number: int) -> None:
        """Write the translation of a line, and its alignment where one is asked for."""
        if self.write_links is not None:
            self.write_links(format_alignment(self.loaded.translator.align(translation)))
        n_best = self.loaded.decoding.n_best
        self.write(format_translation(translation, number, n_best, self.as_json))


def _stream(loaded: "Loaded", source: object, prefixes: "Prefixes", output: Output) -> None:
    from s2s_cli.console import warn
    from s2s_cli.data.stream import read_blocks

    number = num_cut = 0
    for lines in read_blocks(source, warn):  # type: ignore[arg-type]
        begun = prefixes.of(number, len(lines))
        for translation in loaded.translator.translate(lines, loaded.decoding, begun):
            output.add(translation, number)
            number += 1
            num_cut += not translation.candidates[0].is_complete
    prefixes.check_used(number)
    if num_cut:
        warn(
            f"{num_cut} of {number} translations were cut at the length limit "
            "(decoding.max_length_factor)"
        )


def _converse(loaded: "Loaded", prefixes: "Prefixes", output: Output) -> None:
    """A prompt: translate each line as it is typed, until end of input."""
    import readline  # noqa: F401 (line editing for `input`)

    from s2s_cli.console import say

    say("type a sentence and press Enter; Ctrl-D ends")
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
        begun = prefixes.of(number, 1)
        output.add(loaded.translator.translate([line], loaded.decoding, begun)[0], number)
        number += 1


def format_alignment(links: list[tuple[int, int]] | None) -> str:
    """Links of a translation, in Pharaoh's format; a blank line has none.

    Raises:
        ConfigError: the model has no attention.
    """
    from s2s_cli.decoding.alignment import format_pharaoh

    if links is None:
        raise ConfigError(
            "--alignments: come from attention, and this model has none; name one with "
            "model.context attention"
        )
    return f"{format_pharaoh(links)}\n"


def format_translation(translation: "Translation", number: int, n_best: int, as_json: bool) -> str:
    """One line of output; with `n_best` above 1, that many in Moses' format."""
    if as_json:
        return json.dumps(_as_dict(translation), ensure_ascii=False) + "\n"
    if n_best == 1:
        return f"{translation.text}\n"
    return "".join(
        f"{number} ||| {candidate.text} ||| {candidate.score:.4f}\n"
        for candidate in translation.candidates
    )


def _as_dict(translation: "Translation") -> dict[str, object]:
    best, *others = translation.candidates
    found: dict[str, object] = {
        "source": translation.source,
        "translation": best.text,
        "score": best.score,
        "log_prob": best.log_prob,
        "source_tokens": translation.src_tokens,
        "tokens": best.tokens,
        "alternatives": [
            {"translation": other.text, "score": other.score, "tokens": other.tokens}
            for other in others
        ],
    }
    if best.weights is not None:
        found["attention"] = [[round(weight, 4) for weight in row] for row in best.weights]
    return found


@contextmanager
def _open_alignments(path: Path | None) -> Iterator[Write | None]:
    """A file that appears when whole, or nothing."""
    if path is None:
        yield None
        return
    with _open_output(path) as write:
        yield write


@contextmanager
def _open_output(path: Path | None) -> Iterator[Write]:
    """Where translations go: stdout, flushed line by line, or a file that appears when whole."""
    from s2s_cli.files import replacing

    if path is not None:
        with replacing(path) as file:

            def write_to_file(text: str) -> None:
                file.write(text.encode())

            yield write_to_file
        return
    stdout = sys.stdout.buffer

    def write(text: str) -> None:
        stdout.write(text.encode())
        stdout.flush()

    try:
        yield write
    except BrokenPipeError:
        # The reader has enough (`| head`): nothing is wrong, and nothing more is to be said.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
