"""Both sides' vocabularies of a run: built from tokens, described, checked, measured."""

from collections import Counter
from typing import NamedTuple

from s2s_cli.config import Config
from s2s_cli.data.corpus import Corpus
from s2s_cli.data.tokenized import TokenizedCorpus, segment_corpus
from s2s_cli.errors import ConfigError
from s2s_cli.run import RunFolder, Vocabularies, VocabularyCard
from s2s_cli.text.language import has_many_characters
from s2s_cli.text.subword import SubwordPair, Subwords, train_subwords
from s2s_cli.text.tokenizer import Tokenizer, choose_tokenizer, make_tokenizer
from s2s_cli.text.vocabulary import MARKERS, Vocabulary

MOST_CHARACTERS = 0.9995
"""Of running characters where there are thousands: those seen once are better unknown, so that
the model learns what to do with an unknown one."""


class Coverage(NamedTuple):
    """How much of one side of a split a vocabulary knows."""

    label: str
    num_lines: int
    num_tokens: int
    num_types: int
    num_kept: int
    """Types that the vocabulary knows."""
    share: float
    """Of running tokens, 0 to 1, that it knows."""
    tokens_per_word: float | None
    """Pieces that a word is cut into on average; None where there are no subwords or no words."""


def make_tokenizers(config: Config) -> tuple[Tokenizer, Tokenizer]:
    """What splits sentences into words, source and target; subwords are yet to come."""
    text, data = config.text, config.data
    return (
        make_tokenizer(text.src_tokenizer, data.src_lang, text.lowercase),
        make_tokenizer(text.tgt_tokenizer, data.tgt_lang, text.lowercase),
    )


def build_vocabularies(config: Config, corpus: Corpus, words: TokenizedCorpus) -> Vocabularies:
    """Learn subwords where the recipe asks for them; keep the most frequent tokens of the text.

    Args:
        config: sizes, languages, tokenisers and subwords.
        corpus: the training text, for its hashes.
        words: the same, tokenised.

    Raises:
        ConfigError: no token of a side is frequent enough, or the text's characters alone are
            more than the subwords may be.
    """
    subwords = _train_subwords(config, words)
    tokens = segment_corpus(words, subwords)
    counts = tokens.count_src(), tokens.count_tgt()
    if config.vocab.shared:
        counts = (counts[0] + counts[1],) * 2
    src, tgt = (
        _build(config, side_counts, side_subwords)
        for side_counts, side_subwords in zip(counts, subwords, strict=True)
    )
    for lang, vocabulary in ((config.data.src_lang, src), (config.data.tgt_lang, tgt)):
        if len(vocabulary) == len(MARKERS):
            raise ConfigError(
                f"no {lang} token of {corpus.name} occurs {config.vocab.min_freq} times, so "
                "nothing would be known; lower --min-freq (vocab.min_freq)"
            )
    return Vocabularies(src, tgt, describe_vocabularies(config, corpus), subwords)


def _train_subwords(config: Config, words: TokenizedCorpus) -> SubwordPair:
    text, data = config.text, config.data
    src, tgt = (data.src_lang, words.src), (data.tgt_lang, words.tgt)
    if config.vocab.shared:
        both = _learn(config, text.src_subword, src, tgt)
        return both, both
    return _learn(config, text.src_subword, src), _learn(config, text.tgt_subword, tgt)


def _learn(config: Config, kind: str, *sides: tuple[str, list[list[str]]]) -> Subwords | None:
    if kind == "none":
        return None
    coverage = config.vocab.character_coverage
    if coverage is None:
        # Of each side's own characters: beside English, Chinese ones would all be rare.
        sizes = [sum(len(word) for words in sentences for word in words) for _, sentences in sides]
        left_out = [
            size * (1 - MOST_CHARACTERS)
            for (lang, _), size in zip(sides, sizes, strict=True)
            if has_many_characters(lang)
        ]
        coverage = 1 - sum(left_out) / max(1, sum(sizes))
    sentences = [words for _, sentences in sides for words in sentences]
    return train_subwords(kind, sentences, config.vocab.max_size, coverage)


def _build(config: Config, counts: Counter[str], subwords: Subwords | None) -> Vocabulary:
    if subwords is None:
        return Vocabulary.build(counts, config.vocab.max_size, config.vocab.min_freq)
    # All pieces, the unused as well: sampling and new text may need them.
    pieces = Counter({piece: counts[piece] for piece in subwords.pieces})
    return Vocabulary.build(pieces, config.vocab.max_size, min_freq=0)


def describe_vocabularies(config: Config, corpus: Corpus) -> VocabularyCard:
    """What vocabularies built now would be built from."""
    data, text = config.data, config.text
    return VocabularyCard(
        src_lang=data.src_lang,
        tgt_lang=data.tgt_lang,
        src_tokenizer=choose_tokenizer(text.src_tokenizer, data.src_lang),
        tgt_tokenizer=choose_tokenizer(text.tgt_tokenizer, data.tgt_lang),
        lowercase=text.lowercase,
        max_size=config.vocab.max_size,
        min_freq=config.vocab.min_freq,
        trained_on=list(corpus.origin.values()),
        src_subword=text.src_subword,
        tgt_subword=text.tgt_subword,
        shared=config.vocab.shared,
        character_coverage=config.vocab.character_coverage,
    )


def sizes_of(card: VocabularyCard) -> dict[str, int | float | None]:
    """The keys of `vocab` that may be chosen anew whenever vocabularies are built."""
    return {
        "max_size": card.max_size,
        "min_freq": card.min_freq,
        "character_coverage": card.character_coverage,
    }


def check_vocabularies(found: VocabularyCard, wanted: VocabularyCard, run: RunFolder) -> None:
    """Refuse vocabularies of other text or other tokens; other sizes are the user's choice.

    Raises:
        ConfigError: they do not belong to this recipe and its text.
    """
    for key, value in wanted.model_copy(update=sizes_of(found)):
        if getattr(found, key) != value:
            what = "of other text" if key == "trained_on" else f"with {key} {getattr(found, key)}"
            raise ConfigError(
                f"{run.vocab_path}: was built {what}; build it anew with `s2s vocab build` and "
                "the same options, train anew with --fresh, or elsewhere with --run DIR"
            )


def measure_coverage(
    name: str, words: TokenizedCorpus, vocabularies: Vocabularies
) -> list[Coverage]:
    """How much of a split the vocabularies know, source and target."""
    card = vocabularies.card
    tokens = segment_corpus(words, vocabularies.subwords)
    src, tgt = (
        _measure(f"{name} {lang}", sentences, counts, vocabulary)
        for lang, sentences, counts, vocabulary in (
            (card.src_lang, tokens.src, tokens.count_src(), vocabularies.src),
            (card.tgt_lang, tokens.tgt, tokens.count_tgt(), vocabularies.tgt),
        )
    )
    if card.src_subword != "none" and card.src_tokenizer != "none":
        src = src._replace(tokens_per_word=_fertility(src, words.src))
    if card.tgt_subword != "none" and card.tgt_tokenizer != "none":
        tgt = tgt._replace(tokens_per_word=_fertility(tgt, words.tgt))
    return [src, tgt]


def _measure(
    label: str, sentences: list[list[str]], counts: Counter[str], vocabulary: Vocabulary
) -> Coverage:
    return Coverage(
        label=label,
        num_lines=len(sentences),
        num_tokens=counts.total(),
        num_types=len(counts),
        num_kept=sum(token in vocabulary for token in counts),
        share=vocabulary.coverage(counts),
        tokens_per_word=None,
    )


def _fertility(coverage: Coverage, words: list[list[str]]) -> float | None:
    num_words = sum(map(len, words))
    return coverage.num_tokens / num_words if num_words else None
