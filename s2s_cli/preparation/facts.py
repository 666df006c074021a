"""What is known of the text of train: from reading it, or from the manifest of its corpus."""

from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from s2s_cli.data.corpus import Corpus
from s2s_cli.data.encoded_corpus import read_pairs
from s2s_cli.data.manifest import VALID, FileFacts, Manifest, SourceFacts
from s2s_cli.data.parts import LeftOut, Parts, make_held_out, name_digests
from s2s_cli.data.sentence_pairs import Row
from s2s_cli.data.splits import TrainingText


class Facts(NamedTuple):
    """What is known of the text of train."""

    origin: dict[str, str]
    """Where it came from: name to SHA-256."""
    left_out: LeftOut
    sources: list[SourceFacts]
    texts: dict[str, FileFacts]
    valid: list[Corpus]
    """What is held out of it for validation, if anything is."""


def stamp(text: TrainingText) -> dict[str, FileFacts]:
    """The text files as they are before they are read, hashes yet to come."""
    return {str(path): FileFacts.of(path, "") for path in text.paths()}


def conclude(text: TrainingText, parts: Parts, stamps: dict[str, FileFacts]) -> Facts:
    """What is known when all was read."""
    texts = dict(stamps)
    for source, found in zip(text.sources, parts.findings, strict=True):
        # A table has more hashes than files: the others are of parts of it.
        for path, digest in zip(source.files, found.digests, strict=False):
            texts[str(path)] = stamps[str(path)].model_copy(update={"sha256": digest})
    has_valid = "valid" in parts.names
    num_valid = parts.num_pairs("valid") if has_valid else [0] * len(text.sources)
    valid_digests = parts.digests("valid") if has_valid else [()] * len(text.sources)
    both = zip(num_valid, valid_digests, strict=True)
    sources = [
        SourceFacts(digests=digests, pairs=0, valid_pairs=number, valid_digest="".join(digest))
        for digests, (number, digest) in zip(parts.digests("train"), both, strict=True)
    ]
    valid = parts.corpora("valid") if has_valid else []
    return Facts(parts.origin("train"), parts.left_out(), sources, texts, valid)


def recall(text: TrainingText, manifest: Manifest, folder: Path) -> Facts:
    """What is known from the manifest of a corpus that was made of this text."""
    valid: list[Corpus] = []
    rows: Iterator[Row] = iter(read_pairs(folder / VALID) if VALID in manifest.files else [])
    for source, facts in zip(text.sources, manifest.sources, strict=True):
        if facts.valid_pairs:
            own = [next(rows) for _ in range(facts.valid_pairs)]
            valid.append(make_held_out(source, "valid", own, facts.valid_digest))
    digests = [facts.digests for facts in manifest.sources]
    origin = name_digests(text.sources, "train", digests, is_dealt=bool(text.held_out))
    sources = list(manifest.sources)
    left_out = LeftOut(manifest.counts.blank, manifest.counts.not_utf8)
    return Facts(origin, left_out, sources, manifest.texts, valid)


def weigh_pairs(text: TrainingText, manifest: Manifest) -> npt.NDArray[np.float64] | None:
    """How often each encoded pair is seen in an epoch; None if each is seen once."""
    both = list(zip(text.sources, manifest.sources, strict=True))
    if all(source.weight == 1 for source, facts in both if facts.digests):
        return None
    weights = np.array([source.weight for source, _ in both])
    return np.repeat(weights, [facts.pairs for _, facts in both])
