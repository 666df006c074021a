"""Both sides' vocabularies of a run: built from tokens, described, checked, measured."""

from collections import Counter
from typing import NamedTuple

from s2s_cli.config import Config
from s2s_cli.data.corpus import Corpus
from s2s_cli.data.tokenized import TokenizedCorpus
from s2s_cli.errors import ConfigError
from s2s_cli.run import RunFolder, Vocabularies, VocabularyCard
from s2s_cli.text.tokenizer import Tokenizer, choose_tokenizer, make_tokenizer
from s2s_cli.text.vocabulary import MARKERS, Vocabulary


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


def make_tokenizers(config: Config) -> tuple[Tokenizer, Tokenizer]:
    """The tokenisers of a recipe, source and target."""
    text, data = config.text, config.data
    return (
        make_tokenizer(text.src_tokenizer, data.src_lang, text.lowercase),
        make_tokenizer(text.tgt_tokenizer, data.tgt_lang, text.lowercase),
    )


def build_vocabularies(config: Config, corpus: Corpus, tokens: TokenizedCorpus) -> Vocabularies:
    """Keep the most frequent tokens of the training text.

    Args:
        config: sizes, languages and tokenisers.
        corpus: the training text, for its hashes.
        tokens: the same, tokenised.

    Raises:
        ConfigError: no token of a side is frequent enough.
    """
    size, least = config.vocab.max_size, config.vocab.min_freq
    src = Vocabulary.build(tokens.count_src(), size, least)
    tgt = Vocabulary.build(tokens.count_tgt(), size, least)
    for lang, vocabulary in ((config.data.src_lang, src), (config.data.tgt_lang, tgt)):
        if len(vocabulary) == len(MARKERS):
            raise ConfigError(
                f"no {lang} token of {corpus.name} occurs {least} times, so nothing would be "
                "known; lower --min-freq (vocab.min_freq)"
            )
    return Vocabularies(src, tgt, describe_vocabularies(config, corpus))


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
    )


def check_vocabularies(found: VocabularyCard, wanted: VocabularyCard, run: RunFolder) -> None:
    """Refuse vocabularies of other text or other tokens; other sizes are the user's choice.

    Raises:
        ConfigError: they do not belong to this recipe and its text.
    """
    sizes = {"max_size": found.max_size, "min_freq": found.min_freq}
    for key, value in wanted.model_copy(update=sizes):
        if getattr(found, key) != value:
            what = "of other text" if key == "trained_on" else f"with {key} {getattr(found, key)}"
            raise ConfigError(
                f"{run.vocab_path}: was built {what}; build it anew with `s2s vocab build` and "
                "the same options, train anew with --fresh, or elsewhere with --run DIR"
            )


def measure_coverage(
    name: str, corpus: TokenizedCorpus, vocabularies: Vocabularies
) -> list[Coverage]:
    """How much of a split the vocabularies know, source and target."""
    card = vocabularies.card
    return [
        _measure(f"{name} {card.src_lang}", corpus.src, corpus.count_src(), vocabularies.src),
        _measure(f"{name} {card.tgt_lang}", corpus.tgt, corpus.count_tgt(), vocabularies.tgt),
    ]


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
    )
