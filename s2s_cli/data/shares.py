"""Shares of the training pairs that are held out for validation and test."""

import hashlib
from collections import Counter
from collections.abc import Callable, Iterable
from dataclasses import replace
from itertools import accumulate, chain

from s2s_cli.data.corpus import Corpus, hash_pairs
from s2s_cli.errors import DataError


def hold_out(
    train: list[Corpus], shares: dict[str, float], seed: int
) -> tuple[list[Corpus], dict[str, list[Corpus]]]:
    """Split off shares of the pairs, all pairs of a source sentence at a time.

    The sentences are ordered by a hash of (seed, sentence): the first ones are held out, until they
    make up the share. So no sentence stands on two sides, whichever source it came from, and few
    pairs change sides when others come or go. Sentences that differ in case or white space alone
    are one, as a model may read them; what is hashed is the first of them, by code point.

    With several directions the source of one is the target of another: there pairs that have a
    sentence in common, or that others connect, stay together, and what is hashed is the first
    sentence of all so connected.
    """
    if sum(shares.values()) >= 1:
        raise DataError("data.valid and data.test hold out everything; leave some pairs to train")
    names = [*shares, "train"]
    keys = _key_pairs(train)
    counts = Counter(key for corpus_keys in keys for key in corpus_keys)
    bounds = [bound * counts.total() for bound in accumulate(shares.values())]
    sides: dict[str, str] = {}
    num_before = 0
    for key in sorted(counts, key=lambda key: _hash(seed, key)):
        sides[key] = names[sum(num_before >= bound for bound in bounds)]
        num_before += counts[key]
    parts: dict[str, list[Corpus]] = {name: [] for name in names}
    for corpus, corpus_keys in zip(train, keys, strict=True):
        for name in names:
            part = corpus.keep([sides[key] == name for key in corpus_keys])
            if part.src:
                parts[name].append(_as_part(part, name))
    for name, corpora in parts.items():
        if not corpora:
            number = sum(map(len, train))
            raise DataError(f"data.{name}: {number} pairs are too few to hold out such a share")
    return parts.pop("train"), parts


def _key_pairs(corpora: list[Corpus]) -> list[list[str]]:
    """For each pair of each corpus the sentence that decides on its side."""
    if len({corpus.direction for corpus in corpora}) == 1:
        first_like = _find_first_alike(corpus.src for corpus in corpora)
        return [[first_like[_fold(src)] for src in corpus.src] for corpus in corpora]
    represent = connect_sentences(corpora)
    return [[represent(corpus.src_lang, src) for src in corpus.src] for corpus in corpora]


def connect_sentences(corpora: list[Corpus]) -> Callable[[str, str], str]:
    """What stands for a sentence of a language: the same for all that translations connect."""
    sides: dict[str, list[list[str]]] = {}
    for corpus in corpora:
        sides.setdefault(corpus.src_lang, []).append(corpus.src)
        sides.setdefault(corpus.tgt_lang, []).append(corpus.tgt)
    first_like = {lang: _find_first_alike(texts) for lang, texts in sides.items()}
    parents: dict[tuple[str, str], tuple[str, str]] = {}

    def find(lang: str, sentence: str) -> tuple[str, str]:
        node = root = lang, first_like[lang][_fold(sentence)]
        while (parent := parents.setdefault(root, root)) != root:
            root = parent
        while parents[node] != root:
            parents[node], node = root, parents[node]
        return root

    for corpus in corpora:
        for src, tgt in zip(corpus.src, corpus.tgt, strict=True):
            one, other = find(corpus.src_lang, src), find(corpus.tgt_lang, tgt)
            parents[max(one, other)] = min(one, other)
    return lambda lang, sentence: "\t".join(find(lang, sentence))


def _fold(sentence: str) -> str:
    """A sentence as a lower-cased model reads it; the same shares whether or not one does."""
    return " ".join(sentence.split()).lower()


def _find_first_alike(texts: Iterable[list[str]]) -> dict[str, str]:
    """The first sentence, by code point, of those that read alike, by what they read like."""
    first: dict[str, str] = {}
    for sentence in chain.from_iterable(texts):
        folded = _fold(sentence)
        first[folded] = min(sentence, first.get(folded, sentence))
    return first


def _hash(seed: int, sentence: str) -> bytes:
    return hashlib.sha256(f"{seed}\t{sentence}".encode()).digest()


def _as_part(part: Corpus, name: str) -> Corpus:
    """A part of a corpus has its own hash: another share is other data, though the files stay."""
    pairs = zip(part.src, part.tgt, strict=True)
    whole = [key for key in part.origin if not any(k.startswith(f"{key}#") for k in part.origin)]
    origin = {f"{'+'.join(whole)}#{name}": hash_pairs(pairs)}
    if name == "train":
        return replace(part, origin=origin)
    return replace(part, name=f"{part.name}-{name}", origin=origin, num_blank=0, weight=1.0)
