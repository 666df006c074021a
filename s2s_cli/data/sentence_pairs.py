"""Sentence pairs of one source: a stream that can be read again and again."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path

from s2s_cli.data.corpus import Corpus, stream_parallel
from s2s_cli.data.lines import Errors, is_utf8, name_of
from s2s_cli.data.tables import choose_format, name_part, stream_table
from s2s_cli.errors import DataError
from s2s_cli.sources import Direction, OnBadUtf8, ParallelFiles, TableFile, targets_of

_ERRORS: dict[OnBadUtf8, Errors] = {"error": "strict", "skip": "surrogateescape"}

Row = tuple[str, ...]
"""A source sentence and its translations, the main one first."""


@dataclass
class Findings:
    """What a reading of a source finds out; whole when the last row was given."""

    num_blank: int = 0
    """Rows left out because the source, the main translation, or both were blank."""
    num_not_utf8: int = 0
    """Rows left out because bytes of theirs are not UTF-8."""
    num_pairs: int = 0
    digests: tuple[str, ...] = ()
    """SHA-256 of what `SentencePairs.origin_names` names."""
    blank_rows: dict[int, Row] | None = None
    """Gets the blank rows by their number, from 0, if they are to be kept."""


@dataclass(frozen=True)
class SentencePairs:
    """What a source of a recipe holds; nothing of it is in memory."""

    name: str
    key: str
    """Its place in the section `data`."""
    direction: Direction
    weight: float
    files: tuple[Path, ...]
    """Whose content it is."""
    part: tuple[str | int | None, ...]
    """All but the files' names that decides which pairs these are."""
    origin_names: tuple[str, ...]
    """What its hashes are of."""
    stream: Callable[[list[str]], Iterator[Row]]
    """All rows; the list gets the hashes at the end."""
    skips_bad_utf8: bool = False
    """Whether rows with bytes that are not UTF-8 are left out; an error if not."""

    def read(self, found: Findings) -> Iterator[Row]:
        """Rows with a sentence on both sides.

        Where only a further translation is blank the main one stands in for it.

        Raises:
            DataError: the text is malformed, or no pair is left of it.
        """
        digests: list[str] = []
        for number, row in enumerate(self.stream(digests)):
            if self.takes(row):
                found.num_pairs += 1
                yield row if len(row) == 2 else _fill(row)
            elif has_text(row):
                found.num_not_utf8 += 1
            else:
                found.num_blank += 1
                if found.blank_rows is not None:
                    found.blank_rows[number] = row
        found.digests = tuple(digests)
        if not found.num_pairs:
            raise DataError(
                f"data.{self.key}: no sentence pairs left in {self.name}; give it some text"
            )

    def takes(self, row: Row) -> bool:
        """Whether a row of `stream` is a pair."""
        return has_text(row) and not (self.skips_bad_utf8 and not all(map(is_utf8, row)))

    def origin(self, digests: tuple[str, ...]) -> dict[str, str]:
        """Where the text came from: name to SHA-256."""
        return dict(zip(self.origin_names, digests, strict=True))

    def load(self) -> Corpus:
        """All of it in memory.

        Raises:
            DataError: as `read`.
        """
        blank_rows: dict[int, Row] = {}
        found = Findings(blank_rows=blank_rows)
        src, tgt, *more = map(list, zip(*self.read(found), strict=True))
        return Corpus(
            name=self.name,
            src=src,
            tgt=tgt,
            num_blank=found.num_blank,
            origin=self.origin(found.digests),
            more_references=tuple(more),
            weight=self.weight,
            src_lang=self.direction.src,
            tgt_lang=self.direction.tgt,
            blank_rows=blank_rows,
        )

    def renamed(self, name: str) -> "SentencePairs":
        """The same by another name."""
        return replace(self, name=name)


def has_text(row: Row) -> bool:
    """Whether source and main translation are more than blanks."""
    return bool(row[0].strip() and row[1].strip())


def _fill(row: Row) -> Row:
    """The main translation in place of blank further ones."""
    return (*row[:2], *(reference if reference.strip() else row[1] for reference in row[2:]))


def open_files(
    source: ParallelFiles,
    paths: tuple[Path, ...],
    key: str,
    direction: Direction,
    on_bad_utf8: OnBadUtf8 = "error",
) -> SentencePairs:
    """The pairs of files whose lines belong together."""
    return SentencePairs(
        name=name_of(paths[0]),
        key=key,
        direction=direction,
        weight=source.weight,
        files=paths,
        part=("files", len(targets_of(source))),
        origin_names=tuple(map(str, paths)),
        stream=partial(stream_parallel, paths, errors=_ERRORS[on_bad_utf8]),
        skips_bad_utf8=on_bad_utf8 == "skip",
    )


def open_table(
    table: TableFile,
    path: Path,
    key: str,
    direction: Direction,
    on_bad_utf8: OnBadUtf8 = "error",
) -> SentencePairs:
    """The pairs of a table.

    Raises:
        ConfigError: format, header and columns do not go together.
    """
    return SentencePairs(
        name=name_of(path) + (f"-{table.rows.rstrip('-')}" if table.rows else ""),
        key=key,
        direction=direction,
        weight=table.weight,
        files=(path,),
        part=("table", choose_format(table, path), table.header, name_part(table)),
        origin_names=(str(path), f"{path}{name_part(table)}"),
        stream=partial(stream_table, table, path, errors=_ERRORS[on_bad_utf8]),
        skips_bad_utf8=on_bad_utf8 == "skip",
    )
