"""A text translated while it is read, by one process or by several, and written in its order."""

from collections.abc import Callable, Iterator
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from s2s_cli.commands.data_warnings import SourceCheck

if TYPE_CHECKING:
    from s2s_cli.commands.rendering import Prefixes, Rendering
    from s2s_cli.config import Decoding
    from s2s_cli.data.stream import Source


Write = Callable[[str], None]

BATCHES_AHEAD = 50
"""Lines of a file are read this many batches ahead, so that sentences of like length meet."""


class Sinks(NamedTuple):
    """Where translations and alignments go."""

    write: Write
    write_links: Write


class Block(NamedTuple):
    """Some lines of the input that follow each other."""

    first: int
    """Number of the first line, from 0."""
    lines: list[str]


def translate_stream(
    source: "Source",
    prefixes: "Prefixes",
    rendering: "Rendering",
    sinks: Sinks,
    path: Path = Path("-"),
) -> None:
    """Translate block by block; of several processes each takes every so many-th block.

    `path` is what the source was opened by, for messages.
    """
    from s2s_cli.console import warn
    from s2s_cli.data.stream import read_blocks
    from s2s_cli.parallel import current_ranks

    ranks = current_ranks()
    most_lines = BATCHES_AHEAD * rendering.loaded.decoding.num_sentences
    blocks = _number(read_blocks(source, warn, most_lines, path))
    num_lines = num_cut = num_unread = 0
    check = SourceCheck(rendering.loaded)
    while group := list(islice(blocks, ranks.size)):
        texts, links = [], []
        for block in group[ranks.rank : ranks.rank + 1]:
            begun = prefixes.of(block.first, len(block.lines))
            loaded = rendering.loaded
            found = loaded.translator.translate(block.lines, loaded.decoding, begun)
            check.add(found)
            for number, translation in enumerate(found, block.first):
                texts.append(rendering.text(translation, number))
                links.append(rendering.links(translation))
                num_cut += not translation.candidates[0].is_complete
                num_unread += translation.num_unread > 0
        for write, parts in ((sinks.write_links, links), (sinks.write, texts)):
            for content in ranks.gather("".join(parts).encode()):
                write(content.decode())
        num_lines = group[-1].first + len(group[-1].lines)
    prefixes.check_used(num_lines)
    warn_of_unread(int(ranks.sum(num_unread)), num_lines, rendering.loaded.decoding)
    check.warn(ranks)
    if num_cut := int(ranks.sum(num_cut)):
        warn(
            f"{num_cut} of {num_lines} translations were cut at the length limit "
            "(decoding.max_length_factor)"
        )


def warn_of_unread(num_unread: int, num_lines: int, decoding: "Decoding") -> None:
    """Say that some lines were too long to be read to their ends."""
    from s2s_cli.console import warn

    if num_unread:
        warn(
            f"{num_unread} of {num_lines} lines have more than {decoding.max_source_length:,} "
            "tokens, and the rest of them was not read (decoding.max_source_length)"
        )


def _number(blocks: Iterator[list[str]]) -> Iterator[Block]:
    first = 0
    for lines in blocks:
        yield Block(first, lines)
        first += len(lines)
