"""Tables of synthetic pairs, their cards, and the finished chunks of a table that is being made.

A table is TSV with two columns, source and target. Its card, `NAME.json` next to `NAME.tsv.gz`,
says what it was made of. While a table is being made, `NAME.tsv.gz.part` has its settings and a
file for every finished chunk, so that a killed command continues where it was.
"""

import hashlib
import json
import re
from collections import Counter
from collections.abc import Mapping
from pathlib import Path
from typing import Literal, NamedTuple

from pydantic import JsonValue, ValidationError

from s2s_cli.data.lines import hash_file
from s2s_cli.data.manifest import FileStamp
from s2s_cli.differences import describe, diff
from s2s_cli.errors import ConfigError, DataError
from s2s_cli.section import Section
from s2s_cli.storage.atomic import (
    clear_debris,
    clear_debris_of,
    remove_folder,
    replacing,
    write_file,
)
from s2s_cli.storage.checksummed import to_json

_SUFFIX = re.compile(r"\.tsv(\.gz)?$", re.IGNORECASE)
_BREAKS = re.compile(r"[\t\r\n]")


class ModelIdentity(Section):
    """A model that translated."""

    path: str
    """Its folder."""
    saved_at: str
    """When it was written, as an ISO time."""
    weights_sha256: str
    """SHA-256 of its weights."""


class SyntheticCard(Section):
    """What a table of synthetic pairs was made of."""

    s2s_version: str
    """Version of s2s that made it."""
    direction: str
    """From the first column to the second, such as `de-en`."""
    synthetic_side: Literal["src", "tgt"]
    """The side that a model wrote: `src` after back-translation."""
    models: list[ModelIdentity]
    """The model, or the members of the ensemble."""
    texts: dict[str, str]
    """SHA-256 of the files that were read, by name."""
    decoding: dict[str, JsonValue]
    """How translations were searched for."""
    filters: dict[str, JsonValue]
    """Which pairs were kept."""
    command: str = ""
    """The command line."""
    counts: dict[str, int] = {}  # noqa: RUF012 (frozen)
    """Lines read, pairs written, and lines or pairs left out, by fault."""
    sha256: str = ""
    """Hash of the table, unpacked."""


RESULTS = ("command", "counts", "sha256")
"""Keys of a card that are not settings."""


def check_table_name(path: Path) -> None:
    """Refuse a name that the reader of tables would not take for a TSV table, or a device.

    Raises:
        ConfigError: it is one.
    """
    if not _SUFFIX.search(path.name) or (path.exists() and not path.is_file()):
        raise ConfigError(
            f"--output {path}: cannot be a table of synthetic pairs; name a file *.tsv or *.tsv.gz"
        )


def locate_card(table: Path) -> Path:
    """The card of a table."""
    return table.with_name(f"{_SUFFIX.sub('', table.name)}.json")


def read_card(table: Path) -> SyntheticCard | None:
    """Read the card of a table; None if there is none, or if the file is something else."""
    try:
        return SyntheticCard.model_validate_json(locate_card(table).read_bytes())
    except (OSError, ValidationError, ValueError):
        return None


def is_up_to_date(table: Path, settings: SyntheticCard) -> bool:
    """Return whether a table is complete and was made with these settings."""
    card = read_card(table)
    if card is None or diff(card, settings, RESULTS) or not table.is_file():
        return False
    return hash_file(table) == card.sha256


def find_cards(texts: Mapping[str, FileStamp]) -> tuple[dict[str, SyntheticCard], list[Path]]:
    """Find the cards of the synthetic tables among the text files of a dataset.

    Args:
        texts: the files as they were read, by name.

    Returns:
        The cards by the name of their table, and the cards that describe another table than the
        one next to them.
    """
    found: dict[str, SyntheticCard] = {}
    stale: list[Path] = []
    for name, stamp in texts.items():
        if not _SUFFIX.search(name) or (card := read_card(Path(name))) is None:
            continue
        if card.sha256 == stamp.sha256:
            found[name] = card
        else:
            stale.append(locate_card(Path(name)))
    return found, stale


def format_row(src: str, tgt: str) -> str:
    """Format a pair as a row: the table's reader finds the same text.

    TABs and line breaks, which would end a cell or a row, become spaces; to a model they are the
    same. The reader drops byte order marks at the start of a row.
    """
    cells = (_BREAKS.sub(" ", side) for side in (src.lstrip("\ufeff"), tgt))
    return "\t".join(cells) + "\n"


class Chunk(NamedTuple):
    """The pairs of some lines of the text."""

    rows: list[str]
    """As `format_row` formats them."""
    counts: Mapping[str, int]
    """As `SyntheticCard.counts`."""


class ChunkFolder:
    """The finished chunks of a table; the caller holds the lock of the folder."""

    def __init__(self, table: Path) -> None:
        """Name the folder; nothing is created."""
        self.table = table
        self.path = table.with_name(f"{table.name}.part")
        self._settings_path = self.path / "settings.json"

    def repair(self) -> None:
        """Remove what killed processes left half-written."""
        clear_debris(self.path)
        for path in (self.table, locate_card(self.table), self.path):
            clear_debris_of(path)

    def open(self, settings: SyntheticCard) -> str | None:
        """Keep the chunks of an earlier command, or remove them if it had other settings.

        Returns:
            Why chunks were removed, if any were.
        """
        problem = self._compare(settings)
        chunks = self._list_chunks()
        if problem is not None:
            for path in chunks:
                path.unlink()
        write_file(self._settings_path, to_json(settings.model_dump(mode="json")))
        return problem if chunks else None

    @property
    def is_begun(self) -> bool:
        """Whether an earlier command has begun the table and not removed the folder."""
        return self._settings_path.is_file()

    def _compare(self, settings: SyntheticCard) -> str | None:
        try:
            saved = SyntheticCard.model_validate_json(self._settings_path.read_bytes())
        except (OSError, ValidationError, ValueError):
            return "its settings cannot be read"
        return describe(diff(saved, settings, RESULTS)) or None

    def _list_chunks(self) -> list[Path]:
        return sorted(self.path.glob("chunk-*"))

    def _chunk_path(self, number: int) -> Path:
        return self.path / f"chunk-{number:08d}"

    @property
    def num_chunks(self) -> int:
        """How many chunks are finished."""
        return len(self._list_chunks())

    def has(self, number: int) -> bool:
        """Whether a chunk is finished."""
        return self._chunk_path(number).is_file()

    def write(self, number: int, chunk: Chunk) -> None:
        """Write a chunk: a line with its counts, then its rows."""
        head = json.dumps(chunk.counts) + "\n"
        write_file(self._chunk_path(number), head + "".join(chunk.rows))

    def sum_counts(self) -> Counter[str]:
        """Sum the counts of all chunks.

        Raises:
            DataError: a chunk is damaged.
        """
        total = Counter[str]()
        for path in self._list_chunks():
            try:
                with path.open("rb") as file:
                    total.update(json.loads(file.readline()))
            except (ValueError, TypeError) as error:
                raise DataError(
                    f"{path}: damaged; delete {self.path} and run the same command again"
                ) from error
        return total

    def finish(self, settings: SyntheticCard, counts: Mapping[str, int], command: str) -> None:
        """Write the table and its card, and remove the folder.

        Args:
            settings: with which the chunks were made.
            counts: of all chunks.
            command: the command line.
        """
        digest = hashlib.sha256()
        with replacing(self.table) as table:
            for path in self._list_chunks():
                rows = path.read_bytes().partition(b"\n")[2]
                digest.update(rows)
                table.write(rows)
        found = {"command": command, "counts": dict(counts), "sha256": digest.hexdigest()}
        card = settings.model_copy(update=found)
        write_file(locate_card(self.table), to_json(card.model_dump(mode="json")))
        self.remove()

    def remove(self) -> None:
        """Remove the folder."""
        remove_folder(self.path)
