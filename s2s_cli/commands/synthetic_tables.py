"""Translate a text in chunks into a table of synthetic pairs, or continue an earlier command."""

import shlex
import sys
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from itertools import islice
from typing import TYPE_CHECKING

from s2s_cli.commands.data_warnings import SourceCheck
from s2s_cli.commands.loading import Loaded
from s2s_cli.errors import ConfigError, DataError, StoppedError

if TYPE_CHECKING:
    from s2s_cli.checks.pair_filters import Filters, SyntheticPair
    from s2s_cli.data.monolingual import MonolingualText
    from s2s_cli.data.synthetic import ChunkFolder, SyntheticCard
    from s2s_cli.decoding.translator import Translation

BATCHES_PER_CHUNK = 16
"""Batches of lines to translate between two saves; many, so that similar lengths share a batch."""


def make_table(
    chunks: "ChunkFolder",
    settings: "SyntheticCard",
    loaded: Loaded,
    source: "MonolingualText",
    filters: "Filters",
) -> None:
    """Translate the chunks that are missing, then write the table; keep one that is up to date.

    Args:
        chunks: of the table; the caller holds the lock of the folder.
        settings: what the table is made of.
        loaded: the model, in one direction.
        source: the text.
        filters: which pairs are kept.

    Raises:
        ConfigError: a file would be replaced that `s2s augment` has not written.
        DataError: no pair passes the filters.
    """
    from s2s_cli.checks.pair_filters import describe_faults
    from s2s_cli.console import say
    from s2s_cli.data.synthetic import is_up_to_date

    _refuse_foreign_files(chunks)
    chunks.repair()
    if is_up_to_date(chunks.table, settings):
        chunks.remove()
        say(f"{chunks.table}: already made of the same text, models and settings")
        return
    if problem := chunks.open(settings):
        say(f"{chunks.path}: was begun with other settings ({problem}); starting over")
    elif chunks.num_chunks:
        say(f"{chunks.path}: continuing after an interruption")
    with _promising_to_continue(chunks):
        _translate_chunks(chunks, settings, loaded, source, filters)
    counts = chunks.sum_counts()
    faults = describe_faults(counts, filters)
    if not counts["pairs"]:
        raise DataError(
            f"{chunks.table}: nothing to write, because all pairs are left out: {faults}; change "
            "the filters, or give other text"
        )
    chunks.finish(settings, counts, shlex.join(["s2s", *sys.argv[1:]]))
    say(f"{counts['lines']:,} lines, {counts['pairs']:,} pairs{faults and f'; left out: {faults}'}")


def _refuse_foreign_files(chunks: "ChunkFolder") -> None:
    """Refuse to replace a table or a card that `s2s augment` has not written.

    Raises:
        ConfigError: there is one.
    """
    from s2s_cli.data.synthetic import locate_card, read_card

    if read_card(chunks.table) is not None:
        return
    card_path = locate_card(chunks.table)
    if card_path.exists():
        raise ConfigError(
            f"{card_path}: would be replaced by the card of the table, but is not one; "
            "choose another name for --output"
        )
    # A command that was killed at its very end has written the table, but not the card.
    if chunks.table.exists() and not chunks.is_begun:
        raise ConfigError(
            f"--output {chunks.table}: exists and has no card, so it is not a synthetic table; "
            "choose another name"
        )


@contextmanager
def _promising_to_continue(chunks: "ChunkFolder") -> Iterator[None]:
    """After a signal, say that finished chunks are kept."""
    from s2s_cli.console import say

    try:
        yield
    except (KeyboardInterrupt, StoppedError):
        say(f"{chunks.path}: has what is finished; run the same command again to continue")
        raise


def _translate_chunks(
    chunks: "ChunkFolder",
    settings: "SyntheticCard",
    loaded: Loaded,
    source: "MonolingualText",
    filters: "Filters",
) -> None:
    """Translate the chunks that are missing.

    A chunk has a fixed number of lines, and the same batches whichever run of the command makes it.
    """
    from s2s_cli.checks.pair_filters import choose_texts
    from s2s_cli.console import counting
    from s2s_cli.data.synthetic import Chunk

    lines, seen, check = source.stream(), set[int](), SourceCheck(loaded)
    size = BATCHES_PER_CHUNK * loaded.decoding.num_sentences
    number = num_done = 0
    with counting("lines") as report:
        while block := list(islice(lines, size)):
            texts, counts = choose_texts(block, seen)
            if not chunks.has(number):
                found = loaded.translator.translate(texts, loaded.decoding)
                check.add(found)
                rows = _filter_rows(found, settings, filters, counts)
                counts.update(lines=len(block), pairs=len(rows))
                chunks.write(number, Chunk(rows, counts))
            number, num_done = number + 1, num_done + len(block)
            report("translating", num_done, source.num_lines)
    check.warn()


def _filter_rows(
    found: "list[Translation]",
    settings: "SyntheticCard",
    filters: "Filters",
    counts: "Counter[str]",
) -> list[str]:
    """Format the pairs that pass the filters as rows; `counts` receives the faults of the others.

    With `decoding.n_best` above 1, a text has a pair for each of its translations.
    """
    from s2s_cli.checks.pair_filters import find_fault
    from s2s_cli.data.synthetic import format_row

    rows: dict[str, None] = {}  # in order
    for translation in found:
        for pair in _list_pairs(translation):
            sides = (pair.text, pair.translation)
            row = format_row(*(sides[::-1] if settings.synthetic_side == "src" else sides))
            fault = "repeated" if row in rows else find_fault(pair, filters)
            if fault is None:
                rows[row] = None
            else:
                counts[fault] += 1
    return list(rows)


def _list_pairs(translation: "Translation") -> "Iterator[SyntheticPair]":
    """Pair a text with each of its translations."""
    from s2s_cli.checks.pair_filters import SyntheticPair

    for candidate in translation.candidates:
        yield SyntheticPair(
            translation.source,
            candidate.text,
            (len(translation.src_tokens), len(candidate.tokens)),
            candidate.log_prob,
            is_cut=translation.num_unread > 0 or not candidate.is_complete,
        )
