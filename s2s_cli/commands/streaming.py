"""Translate a text while reading it, in one or several processes, and write it in order."""

from collections.abc import Callable, Iterator
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from s2s_cli.commands.data_warnings import SourceCheck

if TYPE_CHECKING:
    from s2s_cli.commands.rendering import Prefixes, Rendering
    from s2s_cli.config import Decoding
    from s2s_cli.console import ProgressCallback
    from s2s_cli.data.stream import InputStream


Write = Callable[[str], None]

BATCHES_PER_BLOCK = 50
"""Batches of lines to read at once, so that sentences of similar length share a batch."""


class Sinks(NamedTuple):
    """The outputs for translations and alignments."""

    write: Write
    write_links: Write


def translate_stream(
    source: "InputStream",
    prefixes: "Prefixes",
    rendering: "Rendering",
    sinks: Sinks,
    path: Path = Path("-"),
    report: "ProgressCallback" = lambda _stage, _done, _total: None,
) -> int:
    """Translate blocks of lines; with n processes, each takes every n-th block.

    Args:
        source: the text.
        prefixes: of the translations.
        rendering: the format of the output.
        sinks: the outputs.
        path: the file that `source` reads, for messages.
        report: receives the number of lines after each block.

    Returns:
        The number of lines.
    """
    from s2s_cli.console import warn
    from s2s_cli.data.stream import read_blocks
    from s2s_cli.parallel import current_ranks

    ranks = current_ranks()
    block_size = BATCHES_PER_BLOCK * rendering.loaded.decoding.num_sentences
    blocks = _number(read_blocks(source, warn, block_size, path))
    num_lines = num_cut = num_unread = 0
    check = SourceCheck(rendering.loaded)
    report("translating", 0, None)
    while group := list(islice(blocks, ranks.size)):
        texts, links = [], []
        for first, lines in group[ranks.rank : ranks.rank + 1]:
            loaded = rendering.loaded
            line_prefixes = prefixes.of(first, len(lines))
            found = loaded.translator.translate(lines, loaded.decoding, line_prefixes)
            check.add(found)
            for number, translation in enumerate(found, first):
                texts.append(rendering.text(translation, number))
                links.append(rendering.links(translation))
                rendering.views.add(translation, number)
                num_cut += not translation.candidates[0].is_complete
                num_unread += translation.num_unread > 0
        for write, parts in ((sinks.write_links, links), (sinks.write, texts)):
            for content in ranks.gather("".join(parts).encode()):
                write(content.decode())
        num_lines = group[-1][0] + len(group[-1][1])
        report("translating", num_lines, None)
    prefixes.check_used(num_lines)
    warn_of_unread(int(ranks.sum(num_unread)), num_lines, rendering.loaded.decoding)
    check.warn(ranks)
    if num_cut := int(ranks.sum(num_cut)):
        warn(
            f"{num_cut} of {num_lines} translations were cut at the length limit "
            "(decoding.max_length_factor)"
        )
    return num_lines


def warn_of_unread(num_unread: int, num_lines: int, decoding: "Decoding") -> None:
    """Warn of source sentences that were truncated."""
    from s2s_cli.console import warn

    if num_unread:
        warn(
            f"{num_unread} of {num_lines} lines have more than {decoding.max_source_length:,} "
            "tokens and were truncated (decoding.max_source_length)"
        )


def _number(blocks: Iterator[list[str]]) -> Iterator[tuple[int, list[str]]]:
    """Each block of lines, with the number of its first line, counted from 0."""
    first = 0
    for lines in blocks:
        yield first, lines
        first += len(lines)
