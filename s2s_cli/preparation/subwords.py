"""Learning subwords from the words of the training text."""

from collections.abc import Callable, Iterable, Iterator
from itertools import chain
from typing import NamedTuple

import numpy as np

from s2s_cli.config import Config
from s2s_cli.data.token_file import TokenFile
from s2s_cli.text.language import has_many_characters
from s2s_cli.text.subwords import SubwordPair, Subwords, train_subwords
from s2s_cli.vocabularies import tags_of_sides

MOST_CHARACTERS = 0.9995
"""Of running characters where there are thousands: those seen once are better unknown, so that
the model learns what to do with an unknown one."""

DRAW_SEED = 1
"""Which sentences are drawn where not all are taken; vocabularies depend on no seed of a run."""

Say = Callable[[str], None]


class Group(NamedTuple):
    """The sentences of one language on one side."""

    lang: str
    num_sentences: int
    num_characters: int
    sentences: Iterable[list[str]]


def learn_subwords(config: Config, words: TokenFile, say: Say) -> SubwordPair:
    """The subwords that the recipe asks for, of all sentences or of as many as it allows.

    Args:
        config: kinds, sizes and languages.
        words: the training text.
        say: told where not all sentences are taken.

    Raises:
        ConfigError: the text's characters alone are more than the subwords may be.
    """
    text, num_tags = config.text, [len(tags) for tags in tags_of_sides(config)]
    if text.src_subword == text.tgt_subword == "none":
        return None, None
    src, tgt = _group(words, 0), _group(words, 1)
    if config.vocab.shared:
        both = _learn(config, text.src_subword, [*src, *tgt], num_tags[0], say)
        return both, both
    return (
        _learn(config, text.src_subword, src, num_tags[0], say),
        _learn(config, text.tgt_subword, tgt, num_tags[1], say),
    )


def _group(words: TokenFile, side: int) -> list[Group]:
    """The sentences of each language of a side."""
    sources: dict[str, list[int]] = {}
    for number, direction in enumerate(words.directions):
        if words.num_pairs[number]:
            sources.setdefault(direction[side], []).append(number)
    return [
        Group(
            lang,
            sum(words.num_pairs[number] for number in numbers),
            sum(words.num_characters[number][side] for number in numbers),
            words.sentences(side, numbers),
        )
        for lang, numbers in sources.items()
    ]


def _learn(
    config: Config, kind: str, groups: list[Group], num_tags: int, say: Say
) -> Subwords | None:
    if kind == "none":
        return None
    coverage = config.vocab.character_coverage
    if coverage is None:
        # Of each side's own characters: beside English, Chinese ones would all be rare.
        left_out = [
            group.num_characters * (1 - MOST_CHARACTERS)
            for group in groups
            if has_many_characters(group.lang)
        ]
        coverage = 1 - sum(left_out) / max(1, sum(group.num_characters for group in groups))
    total, most = sum(group.num_sentences for group in groups), config.vocab.subword_sentences
    sentences: Iterable[list[str]] = chain.from_iterable(group.sentences for group in groups)
    if total > most:
        langs = " and ".join(dict.fromkeys(group.lang for group in groups))
        say(
            f"{kind} subwords of {langs}: learnt from {most:,} of {total:,} sentences, drawn "
            "evenly (vocab.subword_sentences)"
        )
        sentences = draw_evenly(sentences, total, most)
    return train_subwords(kind, sentences, config.vocab.max_size, coverage, num_tags)


def draw_evenly(sentences: Iterable[list[str]], total: int, wanted: int) -> Iterator[list[str]]:
    """One sentence, by chance, of each of as many equal stretches of the text as are wanted."""
    bounds = np.arange(wanted + 1) * total // wanted
    drawn = np.random.default_rng(DRAW_SEED).integers(bounds[:-1], bounds[1:])
    rest = iter(drawn.tolist())
    place = next(rest)
    for number, sentence in enumerate(sentences):
        if number == place:
            yield sentence
            place = next(rest, -1)
