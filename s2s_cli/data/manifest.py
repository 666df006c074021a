"""`data/manifest.json`: what an encoded corpus was made of and with, and whether it still is."""

import hashlib
import json
from collections.abc import Collection, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Literal

from pydantic import JsonValue, ValidationError

from s2s_cli.data.lines import hash_file
from s2s_cli.section import Section
from s2s_cli.storage.atomic import write_file
from s2s_cli.storage.checksummed import MANIFEST, to_json

FORMAT = 3

SIDES = ("src", "tgt")

VALID = "valid.jsonl"

Dtype = Literal["uint16", "int32"]


class FileFacts(Section):
    """A file as it was when it was written or read."""

    size: int
    """Its size."""
    mtime_ns: int
    """When it was changed last: a file with the same size and time is not read again."""
    sha256: str
    """Of its content; of a text file that is packed, of what is in it."""

    @classmethod
    def of(cls, path: Path, sha256: str) -> "FileFacts":
        """The facts of a file whose hash is known."""
        found = path.stat()
        return cls(size=found.st_size, mtime_ns=found.st_mtime_ns, sha256=sha256)

    def is_as(self, path: Path) -> bool:
        """Whether a file has this size and time."""
        found = path.stat()
        return (found.st_size, found.st_mtime_ns) == (self.size, self.mtime_ns)


class SourceFacts(Section):
    """The pairs of one source of train."""

    digests: tuple[str, ...]
    """SHA-256 of its text; none if nothing of it is left to train on."""
    pairs: int
    """Encoded; those of the next source follow."""
    valid_pairs: int
    """Held out for validation."""
    valid_digest: str
    """SHA-256 of those."""


class Counts(Section):
    """How much there is, and how much was left out."""

    pairs: int
    """Encoded."""
    src_tokens: int
    """Without eos."""
    tgt_tokens: int
    """Without eos."""
    src_unknown: int
    """Of those tokens, the ones that the vocabulary does not know."""
    tgt_unknown: int
    """The same for the target side."""
    blank: int = 0
    """Rows with a blank side."""
    not_utf8: int = 0
    """Rows with bytes that are not UTF-8."""
    too_long: int
    """Pairs with more tokens than `data.max_length` on a side."""
    empty: int
    """Pairs without a token on a side."""


class Manifest(Section):
    """An encoded corpus."""

    format: int
    """Of the files; another one is not read."""
    made_with: dict[str, JsonValue]
    """What decides on the ids beside the text: keys of the recipe, versions, vocabularies."""
    texts: dict[str, FileFacts]
    """The text files, by their names."""
    sources: tuple[SourceFacts, ...]
    """Of train, in order."""
    counts: Counts
    """How much there is."""
    dtype: Dtype
    """Type of the ids."""
    files: dict[str, FileFacts]
    """The files of the corpus, by their names."""

    def write(self, folder: Path) -> None:
        """Write it, sealed by its own hash."""
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
    """What is wrong with the files of a corpus, if anything is.

    Sizes are always compared; hashes only of files that were touched since they were written.

    Args:
        folder: of the corpus.
        manifest: what it should be.
        names: of the files that count; all if None.
    """
    for name, facts in manifest.files.items():
        if names is not None and name not in names:
            continue
        path = folder / name
        if not path.is_file():
            return f"{name} is missing"
        if path.stat().st_size != facts.size:
            return f"{name} has {path.stat().st_size:,} bytes, not {facts.size:,}"
        if not facts.is_as(path) and hash_file(path) != facts.sha256:
            return f"{name} is damaged (SHA-256)"
    return None


def find_other_text(manifest: Manifest, paths: Sequence[Path]) -> str | None:
    """Which text is not what was encoded, if any is; files may have moved."""
    if len(paths) != len(manifest.texts):
        return "the text is in other files"
    for path, facts in zip(paths, manifest.texts.values(), strict=True):
        if not facts.is_as(path) and hash_file(path) != facts.sha256:
            return f"{path} has changed"
    return None


def find_other_settings(manifest: Manifest, wanted: Mapping[str, JsonValue]) -> Iterator[str]:
    """Which settings the corpus was not made with, in words."""
    for name, value in wanted.items():
        found = manifest.made_with.get(name)
        if found != value:
            change = f" {found} -> {value}" if len(f"{found}{value}") < 80 else ""
            yield f"made with other {name}{change}"


def restamp(folder: Path, manifest: Manifest, paths: Sequence[Path]) -> Manifest:
    """The manifest of the same content with the files' present names and times."""
    texts = zip(paths, manifest.texts.values(), strict=True)
    return manifest.model_copy(
        update={
            "texts": {str(path): FileFacts.of(path, facts.sha256) for path, facts in texts},
            "files": {
                name: FileFacts.of(folder / name, facts.sha256)
                for name, facts in manifest.files.items()
            },
        }
    )
