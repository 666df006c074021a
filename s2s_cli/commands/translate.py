"""`s2s translate`: raw text in, raw text out."""

import json
import os
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from s2s_cli.commands import options as opt
from s2s_cli.commands.loading import load_translator, locate_model

if TYPE_CHECKING:
    from s2s_cli.config import Decoding
    from s2s_cli.decoding.translator import Translation, Translator

Write = Callable[[str], None]


def translate(
    file: Annotated[
        Path | None,
        typer.Argument(metavar="[FILE]", help="Text, one sentence a line; stdin if not given."),
    ] = None,
    config: opt.ConfigOption = None,
    run: opt.RunOption = None,
    model: opt.ModelOption = None,
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
    batch_size: opt.BatchSizeOption = None,
    keep_unk: opt.KeepUnkOption = None,
    as_json: Annotated[
        bool, typer.Option("--json", help="One JSON object per line, with scores and attention.")
    ] = False,
    device: opt.DeviceOption = None,
    sets: opt.SetOption = None,
) -> None:
    """Translate a file, stdin, or what is typed at a prompt; one line out per line in."""
    from s2s_cli.data.stream import open_source

    source = open_source(file)
    given = opt.given(
        decoding__beam_size=beam_size,
        decoding__length_penalty=length_penalty,
        decoding__n_best=n_best,
        decoding__batch_size=batch_size,
        decoding__keep_unk=keep_unk,
    )
    loaded = load_translator(locate_model(config, run, model), device, given, sets or [])
    with _open_output(output) as write:
        if file is None and sys.stdin.isatty():
            _converse(loaded.translator, loaded.decoding, as_json, write)
        else:
            _stream(loaded.translator, loaded.decoding, as_json, source, write)


def _stream(
    translator: "Translator", decoding: "Decoding", as_json: bool, source: object, write: Write
) -> None:
    from s2s_cli.console import warn
    from s2s_cli.data.stream import read_blocks

    number = num_cut = 0
    for lines in read_blocks(source, warn):  # type: ignore[arg-type]
        for translation in translator.translate(lines, decoding):
            write(format_translation(translation, number, decoding.n_best, as_json))
            number += 1
            num_cut += not translation.candidates[0].is_complete
    if num_cut:
        warn(
            f"{num_cut} of {number} translations were cut at the length limit "
            "(decoding.max_length_factor)"
        )


def _converse(translator: "Translator", decoding: "Decoding", as_json: bool, write: Write) -> None:
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
        translation = translator.translate([line], decoding)[0]
        write(format_translation(translation, number, decoding.n_best, as_json))
        number += 1


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
