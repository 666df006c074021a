"""`data/<split>/manifest.json`: what a dataset was made of, and the hashes of its files.

The manifest is written last, with a hash of itself. A folder without a valid manifest is not a
dataset.
"""

import hashlib
import json
from collections.abc import Collection
from pathlib import Path
from typing import Literal

from pydantic import JsonValue, ValidationError

from s2s_cli.data.lines import hash_file
from s2s_cli.section import Section
from s2s_cli.storage.atomic import write_file
from s2s_cli.storage.checksummed import MANIFEST, to_json

FORMAT = 4

Dtype = Literal["uint16", "int32"]

Settings = dict[str, JsonValue]


class FileStamp(Section):
    """A file as it was when it was written or read."""

    size: int
    """In bytes."""
    mtime_ns: int
    """Time of the last change. A file with the same size and time is not read again."""
    sha256: str
    """Hash of the content, unpacked if the name ends in `.gz`."""

    @classmethod
    def take(cls, path: Path, sha256: str) -> "FileStamp":
        """Stamp a file whose hash is known."""
        found = path.stat()
        return cls(size=found.st_size, mtime_ns=found.st_mtime_ns, sha256=sha256)

    def matches(self, path: Path) -> bool:
        """Return whether a file has this content; read it only if its size or time differ."""
        found = path.stat()
        is_untouched = (found.st_size, found.st_mtime_ns) == (self.size, self.mtime_ns)
        return is_untouched or hash_file(path) == self.sha256


class SourceInfo(Section):
    """The pairs of one source in a split."""

    name: str
    """Name of the source."""
    direction: str
    """Such as `de-en`."""
    origin: dict[str, str]
    """Where the pairs came from: SHA-256 by name; empty if the split has no pairs of the source."""
    pairs: int
    """Encoded pairs. The dataset holds them source by source, in this order."""


class Counts(Section):
    """Size of a split, and the number of pairs that were left out."""

    pairs: int = 0
    """Encoded pairs."""
    src_tokens: int = 0
    """Source tokens without eos."""
    tgt_tokens: int = 0
    """Target tokens without eos."""
    src_unknown: int = 0
    """Source tokens that are not in the vocabulary."""
    tgt_unknown: int = 0
    """Target tokens that are not in the vocabulary."""
    blank: int = 0
    """Rows with a blank side."""
    not_utf8: int = 0
    """Rows with bytes that are not UTF-8."""
    too_long: int = 0
    """Pairs with more tokens than `data.max_length` on a side."""
    empty: int = 0
    """Pairs without a token on a side."""


class Manifest(Section):
    """Description of a dataset."""

    format: int = FORMAT
    """Version of the file formats; a dataset of another version is encoded again."""
    settings: Settings
    """All that decides on the ids except the text: recipe keys, package versions, vocabularies."""
    texts: dict[str, FileStamp]
    """The text files by name."""
    sources: tuple[SourceInfo, ...]
    """The sources of the split, in order."""
    counts: Counts
    """Size of the split."""
    dtype: Dtype
    """Data type of the ids."""
    files: dict[str, FileStamp]
    """The files of the dataset by name."""

    @property
    def origin(self) -> dict[str, str]:
        """Where the pairs came from: SHA-256 by name."""
        return {name: sha for source in self.sources for name, sha in source.origin.items()}

    def write(self, folder: Path) -> None:
        """Write the manifest, with a hash of itself."""
        tree = self.model_dump(mode="json")
        write_file(folder / MANIFEST, to_json({"sha256": _hash_tree(tree), "manifest": tree}))


def read_manifest(folder: Path) -> Manifest | str:
    """Read the manifest of a dataset, or return what is wrong with it."""
    try:
        tree = json.loads((folder / MANIFEST).read_bytes())
        if tree["sha256"] != _hash_tree(tree["manifest"]):
            return f"its {MANIFEST} is damaged"
        if tree["manifest"]["format"] != FORMAT:
            return f"its format is {tree['manifest']['format']}, not {FORMAT}"
        return Manifest.model_validate_json(json.dumps(tree["manifest"]))
    except FileNotFoundError:
        return f"it has no {MANIFEST}"
    except (OSError, ValueError, KeyError, TypeError, ValidationError):
        return f"its {MANIFEST} is damaged"


def _hash_tree(tree: object) -> str:
    return hashlib.sha256(json.dumps(tree, sort_keys=True).encode()).hexdigest()


def find_damage(
    folder: Path, manifest: Manifest, names: Collection[str] | None = None
) -> str | None:
    """Return what is wrong with the files of a dataset; None if they match the manifest.

    Args:
        folder: of the dataset.
        manifest: of the dataset.
        names: of the files to check; all files if None.
    """
    for name, stamp in manifest.files.items():
        if names is not None and name not in names:
            continue
        path = folder / name
        if not path.is_file():
            return f"{name} is missing"
        if path.stat().st_size != stamp.size:
            return f"{name} has {path.stat().st_size:,} bytes, not {stamp.size:,}"
        if not stamp.matches(path):
            return f"{name} is damaged (SHA-256)"
    return None
