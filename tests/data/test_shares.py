"""Sharing out pairs as a stream, against doing it with all sentences at hand."""

import hashlib
from collections import Counter
from collections.abc import Callable, Iterator
from itertools import accumulate

import numpy as np
import pytest

from s2s_cli.data.corpus import hash_pairs
from s2s_cli.data.sentence_pairs import SentencePairs
from s2s_cli.data.shares import deal_pairs
from s2s_cli.errors import DataError
from s2s_cli.sources import Direction

Pairs = list[tuple[str, str]]


def source(pairs: Pairs, name: str = "a", direction: str = "de-en") -> SentencePairs:
    src, tgt = direction.split("-")

    def stream(digests: list[str]) -> Iterator[tuple[str, str]]:
        yield from pairs
        digests.append(hash_pairs(pairs))

    return SentencePairs(
        name=name,
        key=f"train.{name}",
        direction=Direction(src, tgt),
        weight=1.0,
        files=(),
        part=(name,),
        origin_names=(name,),
        stream=stream,
    )


def fold(sentence: str) -> str:
    return " ".join(sentence.split()).lower()


def find_first(sentences: list[str]) -> dict[str, str]:
    first: dict[str, str] = {}
    for sentence in sentences:
        first[fold(sentence)] = min(sentence, first.get(fold(sentence), sentence))
    return first


def connect(sources: list[tuple[Pairs, Direction]]) -> Callable[[str, str], str]:
    """What stands for a sentence of a language: the first of all that translations connect."""
    sides: dict[str, list[str]] = {}
    for pairs, (src_lang, tgt_lang) in sources:
        sides.setdefault(src_lang, []).extend(src for src, _ in pairs)
        sides.setdefault(tgt_lang, []).extend(tgt for _, tgt in pairs)
    first = {lang: find_first(sentences) for lang, sentences in sides.items()}
    groups: dict[tuple[str, str], set[tuple[str, str]]] = {}
    for pairs, (src_lang, tgt_lang) in sources:
        for src, tgt in pairs:
            one = src_lang, first[src_lang][fold(src)]
            other = tgt_lang, first[tgt_lang][fold(tgt)]
            joined = groups.get(one, {one}) | groups.get(other, {other})
            groups.update(dict.fromkeys(joined, joined))
    return lambda lang, sentence: "\t".join(min(groups[lang, first[lang][fold(sentence)]]))


def deal_at_hand(
    sources: list[tuple[Pairs, Direction]], shares: dict[str, float], seed: int
) -> list[list[int]]:
    """The side of each pair, worked out with dictionaries of sentences."""
    if len({direction for _, direction in sources}) == 1:
        first = find_first([src for pairs, _ in sources for src, _ in pairs])
        keys = [[first[fold(src)] for src, _ in pairs] for pairs, _ in sources]
    else:
        represent = connect(sources)
        keys = [[represent(lang, src) for src, _ in pairs] for pairs, (lang, _) in sources]
    counts = Counter(key for source_keys in keys for key in source_keys)
    bounds = [bound * counts.total() for bound in accumulate(shares.values())]
    sides, num_before = {}, 0
    for key in sorted(counts, key=lambda k: hashlib.sha256(f"{seed}\t{k}".encode()).digest()):
        sides[key] = sum(num_before >= bound for bound in bounds)
        num_before += counts[key]
    return [[sides[key] for key in source_keys] for source_keys in keys]


def make_pairs(generator: np.random.Generator, number: int, langs: list[str]) -> Pairs:
    """Pairs of few sentences, in several spellings; now and then one of them is mistranslated."""

    def spell(lang: str, meaning: int) -> str:
        sentence = f"{lang} {meaning} x"
        ways = (sentence, sentence.upper(), sentence.replace(" ", "  "), sentence.title())
        return ways[generator.integers(len(ways))]

    meanings = generator.integers(number, size=number)
    others = meanings + (generator.random(number) < 0.1)
    return [
        (spell(langs[0], one), spell(langs[1], other))
        for one, other in zip(meanings.tolist(), others.tolist(), strict=True)
    ]


@pytest.mark.parametrize("shares", [{"valid": 0.1}, {"valid": 0.2, "test": 0.3}], ids=len)
@pytest.mark.parametrize("directions", [["de-en"] * 2, ["de-en", "en-de"], ["en-de", "fr-en"]])
@pytest.mark.parametrize("seed", [1, 7])
def test_streamed_shares_are_those_of_the_text_at_hand(
    shares: dict[str, float], directions: list[str], seed: int
) -> None:
    generator = np.random.default_rng(seed)
    texts = [
        (make_pairs(generator, 200, name.split("-")), Direction(*name.split("-")))
        for name in directions
    ]
    sources = [
        source(pairs, str(number), str(direction))
        for number, (pairs, direction) in enumerate(texts)
    ]
    deal = deal_pairs(sources, shares, seed)
    expected = deal_at_hand(texts, shares, seed)
    assert [sides.tolist() for sides in deal.sides] == expected
    assert deal.names == (*shares, "train")


def test_a_chain_of_translations_stays_on_one_side() -> None:
    # Each source shares a target with the one before: one group, in which all are connected.
    there = [(f"a {i}", f"b {i // 2}") for i in range(100)]
    back = [(f"b {i}", f"a {2 * i + 2}") for i in range(49)]
    other = [(f"a x{i}", f"b x{i}") for i in range(300)]
    deal = deal_pairs(
        [source(there + other, "1", "aa-bb"), source(back, "2", "bb-aa")], {"valid": 0.3}, 1
    )
    assert len({*deal.sides[0][:100].tolist(), *deal.sides[1].tolist()}) == 1


def test_a_text_that_changes_between_readings_is_refused() -> None:
    rows = [[("A", "x"), ("a", "y"), ("b", "z")], [("A", "x")]]

    def stream(digests: list[str]):
        digests.append("")
        yield from rows.pop(0)

    changing = source([("A", "x")])
    changing = SentencePairs(
        changing.name, "train", changing.direction, 1.0, (), (), ("a",), stream
    )
    with pytest.raises(DataError, match="had 3 before"):
        deal_pairs([changing], {"valid": 0.5}, 1)
