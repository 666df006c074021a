"""Shares of the training pairs that are held out for validation and test."""

import hashlib
from array import array
from collections.abc import Sequence
from itertools import accumulate, pairwise
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from s2s_cli.data.fingerprints import Hashes, fold_sentence, hash_text
from s2s_cli.data.sentence_pairs import Findings, SentencePairs
from s2s_cli.errors import DataError

Ids = npt.NDArray[np.int64]


class Deal(NamedTuple):
    """Which pair is on which side."""

    names: tuple[str, ...]
    """Of the sides: the splits held out, and train."""
    sides: list[npt.NDArray[np.uint8]]
    """For each pair of each source the place of its side in `names`."""


class _Mentions(NamedTuple):
    """The sentences that decide on sides: one a pair, or two, as 8-byte hashes."""

    folded: Hashes
    """Of what a sentence reads like; with several directions of its language too."""
    ranks: Hashes
    """By which sentences are ordered."""
    langs: npt.NDArray[np.uint8]
    """Languages, numbered in their order; all 0 with one direction."""
    sizes: list[int]
    """Pairs of each source."""


def deal_pairs(sources: list[SentencePairs], shares: dict[str, float], seed: int) -> Deal:
    """Split off shares of the pairs, all pairs of a source sentence at a time.

    The sentences are ordered by a hash of (seed, sentence): the first ones are held out, until they
    make up the share. So no sentence stands on two sides, whichever source it came from, and few
    pairs change sides when others come or go. Sentences that differ in case or white space alone
    are one, as a model may read them; what is hashed is the first of them, by code point.

    With several directions the source of one is the target of another: there pairs that have a
    sentence in common, or that others connect, stay together, and what is hashed is the first
    sentence of all so connected.

    The text is read once; once more if sentences of one group differ, as then their first is
    sought. What is held is a few numbers a pair.

    Raises:
        DataError: the text is malformed, or has too few pairs for the shares.
    """
    if sum(shares.values()) >= 1:
        raise DataError("data.valid and data.test hold out everything; leave some pairs to train")
    names = (*shares, "train")
    mentions = _read_mentions(sources, seed)
    groups = _connect(mentions)
    ranks = _rank_groups(sources, seed, mentions, groups)
    of_pairs = groups[: sum(mentions.sizes)]
    counts = np.bincount(of_pairs, minlength=len(ranks))
    order = np.argsort(ranks, kind="stable")
    num_before = np.cumsum(counts[order]) - counts[order]
    sides = np.zeros(len(ranks), dtype=np.uint8)
    for bound in accumulate(shares.values()):
        sides[order] += num_before >= bound * len(of_pairs)
    dealt = sides[of_pairs]
    for place, name in enumerate(names):
        if not (dealt == place).any():
            number = len(of_pairs)
            raise DataError(
                f"data.{name}: {number} pairs are too few to hold out such a share (their sources "
                f"make {len(counts):,} groups, of which each goes as a whole); give more text, or "
                "files for valid and test"
            )
    bounds = [0, *accumulate(mentions.sizes)]
    return Deal(names, [dealt[start:end] for start, end in pairwise(bounds)])


def _read_mentions(sources: list[SentencePairs], seed: int) -> _Mentions:
    """All source sentences and then, with several directions, all target sentences."""
    tags = _tags(sources)
    all_folded, all_ranks = (array("Q"), array("Q")), (array("Q"), array("Q"))
    sizes = []
    for source, source_tags in zip(sources, tags, strict=True):
        found = Findings()
        for row in source.read(found):
            for side, tag in enumerate(source_tags):
                all_folded[side].append(hash_text(tag + fold_sentence(row[side])))
                all_ranks[side].append(_rank(seed, tag + row[side]))
        sizes.append(found.num_pairs)
    langs = sorted({tag for source_tags in tags for tag in source_tags})
    places = [
        np.repeat(np.array([langs.index(tag) for tag in side], dtype=np.uint8), sizes)
        for side in zip(*tags, strict=True)
    ]
    folded, ranks = all_folded[: len(places)], all_ranks[: len(places)]
    return _Mentions(_join(folded), _join(ranks), np.concatenate(places), sizes)


def _tags(sources: list[SentencePairs]) -> list[tuple[str, ...]]:
    """For each source what its sentences are told apart by; those of targets count if there."""
    if len({source.direction for source in sources}) == 1:
        return [("",)] * len(sources)
    return [tuple(f"{lang}\t" for lang in source.direction) for source in sources]


def _join(parts: "Sequence[array[int]]") -> Hashes:
    return np.concatenate([np.asarray(part, dtype=np.uint64) for part in parts])


def _connect(mentions: _Mentions) -> Ids:
    """The group of each mention, numbered from 0: those that read alike, or that pairs connect."""
    _, nodes = np.unique(mentions.folded, return_inverse=True)
    num_pairs = sum(mentions.sizes)
    if len(nodes) == num_pairs:
        return nodes
    one, other = nodes[:num_pairs], nodes[num_pairs:]
    labels = np.arange(nodes.max() + 1)
    while True:
        low, high = np.minimum(labels[one], labels[other]), np.maximum(labels[one], labels[other])
        apart = low != high
        if not apart.any():
            _, numbers = np.unique(labels, return_inverse=True)
            return numbers[nodes]
        np.minimum.at(labels, high[apart], low[apart])
        while (labels != (further := labels[labels])).any():
            labels = further


def _rank_groups(
    sources: list[SentencePairs], seed: int, mentions: _Mentions, groups: Ids
) -> Hashes:
    """The rank of each group's first sentence, by language and code point."""
    num_groups = int(groups.max()) + 1
    first_langs = np.full(num_groups, 255, dtype=np.uint8)
    np.minimum.at(first_langs, groups, mentions.langs)
    counting = mentions.langs == first_langs[groups]
    lowest = np.full(num_groups, np.iinfo(np.uint64).max, dtype=np.uint64)
    highest = np.zeros(num_groups, dtype=np.uint64)
    np.minimum.at(lowest, groups[counting], mentions.ranks[counting])
    np.maximum.at(highest, groups[counting], mentions.ranks[counting])
    differ = lowest != highest
    if differ.any():
        sought = counting & differ[groups]
        for group, sentence in _find_first(sources, sought, groups).items():
            lowest[group] = _rank(seed, sentence)
    return lowest


def _find_first(
    sources: list[SentencePairs], sought: npt.NDArray[np.bool_], groups: Ids
) -> dict[int, str]:
    """The first of the sentences sought of each group, by code point, behind its language."""
    first: dict[int, str] = {}
    num_sides = len(_tags(sources)[0])
    num_pairs = len(sought) // num_sides
    place = 0
    for source, tags in zip(sources, _tags(sources), strict=True):
        for row in source.read(Findings()):
            for side, tag in enumerate(tags):
                at = side * num_pairs + place
                if place < num_pairs and sought[at]:
                    group, sentence = int(groups[at]), tag + row[side]
                    first[group] = min(sentence, first.get(group, sentence))
            place += 1
    if place != num_pairs:
        raise DataError(f"data.train: has {place} pairs, had {num_pairs} before; do not change it")
    return first


def _rank(seed: int, sentence: str) -> int:
    """The place of a sentence among others: the first 8 bytes of the SHA-256 of seed and it."""
    return int.from_bytes(hashlib.sha256(f"{seed}\t{sentence}".encode()).digest()[:8])
