"""`data/<split>/manifest.json`: what a dataset was made of, and whether that is still so."""

import hashlib
import json
from collections.abc import Collection, Sequence
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
    """Time of the last change; a file with the same size and time is not read again."""
    sha256: str
    """Hash of the content; for a packed text, of the unpacked content."""

    @classmethod
    def take(cls, path: Path, sha256: str) -> "FileStamp":
        """The stamp of a file whose hash is known."""
        found = path.stat()
        return cls(size=found.st_size, mtime_ns=found.st_mtime_ns, sha256=sha256)

    def matches(self, path: Path) -> bool:
        """Whether a file has this content; it is read only if its size or time differ."""
        found = path.stat()
        is_untouched = (found.st_size, found.st_mtime_ns) == (self.size, self.mtime_ns)
        return is_untouched or hash_file(path) == self.sha256


class SourceFacts(Section):
    """The pairs of one source in a split."""

    name: str
    """Name of the source."""
    direction: str
    """Such as `de-en`."""
    origin: dict[str, str]
    """Where the pairs came from: name to SHA-256; empty if the source has no pairs in the split."""
    pairs: int
    """Encoded pairs; those of the next source follow."""


class Counts(Section):
    """How much a split holds, and how much was left out."""

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
    """A dataset."""

    format: int = FORMAT
    """Format of the files; others are not read."""
    settings: Settings
    """What decides on the ids besides the text: keys of the recipe, versions, vocabularies."""
    texts: dict[str, FileStamp]
    """The text files by name."""
    sources: tuple[SourceFacts, ...]
    """The sources of the split, in order."""
    counts: Counts
    """How much there is."""
    dtype: Dtype
    """Type of the ids."""
    files: dict[str, FileStamp]
    """The files of the dataset by name."""

    @property
    def origin(self) -> dict[str, str]:
        """Where the pairs came from: name to SHA-256."""
        return {name: sha for source in self.sources for name, sha in source.origin.items()}

    def write(self, folder: Path) -> None:
        """Write the manifest with its own hash."""
        tree = self.model_dump(mode="json")
        write_file(folder / MANIFEST, to_json({"sha256": _hash_tree(tree), "manifest": tree}))


def read_manifest(folder: Path) -> Manifest | str:
    """The manifest of a folder, or what is wrong with it."""
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
    """What is wrong with the files of a dataset; None if nothing is.

    Args:
        folder: of the dataset.
        manifest: what it should be.
        names: files to check; all if None.
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


def find_changed_text(manifest: Manifest, paths: Sequence[Path]) -> str | None:
    """Which text differs from what was encoded; None if none does. Files may have moved."""
    if len(paths) != len(manifest.texts):
        return "the text is in other files"
    for path, stamp in zip(paths, manifest.texts.values(), strict=True):
        if not stamp.matches(path):
            return f"{path} has changed"
    return None


def find_changed_settings(manifest: Manifest, wanted: Settings) -> str | None:
    """Which setting differs from those of the dataset; None if none does."""
    for name, value in wanted.items():
        found = manifest.settings.get(name)
        if found != value:
            change = f" {found} -> {value}" if len(f"{found}{value}") < 80 else ""
            return f"made with other {name}{change}"
    return None


def renew_stamps(
    folder: Path, manifest: Manifest, paths: Sequence[Path], origin: Sequence[Sequence[str]]
) -> Manifest:
    """The manifest of the same content, with the present names and times of the files.

    Args:
        folder: of the dataset.
        manifest: of the same content.
        paths: present names of the text files.
        origin: for each source the present names of what its hashes are of.
    """
    texts = zip(paths, manifest.texts.values(), strict=True)
    return manifest.model_copy(
        update={
            "texts": {str(path): FileStamp.take(path, stamp.sha256) for path, stamp in texts},
            "files": {
                name: FileStamp.take(folder / name, stamp.sha256)
                for name, stamp in manifest.files.items()
            },
            "sources": tuple(
                source.model_copy(
                    update={"origin": dict(zip(names, source.origin.values(), strict=False))}
                )
                for source, names in zip(manifest.sources, origin, strict=True)
            ),
        }
    )
