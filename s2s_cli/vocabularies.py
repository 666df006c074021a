"""Both sides' vocabularies of a run: built from tokens, described, checked, measured."""

from collections import Counter
from collections.abc import Iterable, Sequence
from typing import NamedTuple

from s2s_cli.config import Config
from s2s_cli.data.corpus import Corpus
from s2s_cli.data.tokenized import TokenCounts, TokenizedCorpus, join_tokenized, tokenize_corpus
from s2s_cli.differences import diff
from s2s_cli.errors import ConfigError
from s2s_cli.run import RunFolder, Vocabularies, VocabularyCard
from s2s_cli.sources import SEVERAL_LANGUAGES, Direction
from s2s_cli.text.subwords import SubwordPair, Subwords
from s2s_cli.text.tokenizer import make_tokenizers
from s2s_cli.text.vocabulary import Vocabulary, make_tag
from s2s_cli.text.word_boundaries import choose_tokenizer


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


def tokenize_corpora(config: Config, corpora: Sequence[Corpus]) -> TokenizedCorpus:
    """Split each corpus by the tokenisers of its languages; the words of all, in order."""
    directions = {corpus.direction for corpus in corpora}
    tokenizers = {direction: make_tokenizers(config.text, direction) for direction in directions}
    parts = [tokenize_corpus(corpus, *tokenizers[corpus.direction]) for corpus in corpora]
    return join_tokenized(corpora, parts)


def list_tags(directions: Iterable[Direction]) -> list[str]:
    """The tags that several directions need, one for each target language; one needs none."""
    targets = [direction.tgt for direction in directions]
    return [make_tag(lang) for lang in dict.fromkeys(targets)] if len(targets) > 1 else []


def build_vocabularies(
    config: Config,
    counts: TokenCounts,
    subwords: SubwordPair,
    trained_on: Iterable[str],
    name: str,
) -> Vocabularies:
    """Keep the most frequent tokens of the text.

    Args:
        config: sizes, languages, tokenisers and subwords.
        counts: how often each token occurs: pieces on the sides that have subwords.
        subwords: what `learn_subwords` found.
        trained_on: hashes of the text.
        name: of the text.

    Raises:
        ConfigError: no token of a side is frequent enough.
    """
    both = (counts.src, counts.tgt)
    if config.vocab.shared:
        both = (counts.src + counts.tgt,) * 2
    src, tgt = (
        _build(config, side_counts, side_subwords, side_tags)
        for side_counts, side_subwords, side_tags in zip(
            both, subwords, tags_of_sides(config), strict=True
        )
    )
    for side, vocabulary in zip(name_sides(config.data.languages), (src, tgt), strict=True):
        if len(vocabulary) == vocabulary.num_control:
            raise ConfigError(
                f"no {side} token of {name} occurs {config.vocab.min_freq} times, so "
                "nothing would be known; lower vocab.min_freq, as by --set vocab.min_freq=1"
            )
    return Vocabularies(src, tgt, describe_vocabularies(config, trained_on), subwords)


def tags_of_sides(config: Config) -> tuple[list[str], list[str]]:
    """The tags in the vocabularies of source and target; they stand before sources only."""
    tags = list_tags(config.data.all_directions)
    return tags, tags if config.vocab.shared else []


def _build(
    config: Config, counts: Counter[str], subwords: Subwords | None, tags: list[str]
) -> Vocabulary:
    if subwords is None:
        return Vocabulary.build(counts, config.vocab.max_size, config.vocab.min_freq, tags)
    # All pieces, the unused as well: sampling and new text may need them.
    pieces = Counter({piece: counts[piece] for piece in subwords.pieces})
    return Vocabulary.build(pieces, config.vocab.max_size, min_freq=0, tags=tags)


def describe_vocabularies(config: Config, trained_on: Iterable[str]) -> VocabularyCard:
    """What vocabularies built now, of text with these hashes, would be built from."""
    text, languages = config.text, config.data.languages
    src_tokenizer, tgt_tokenizer = resolve_tokenizers(config)
    several = config.data.directions if len(config.data.directions) > 1 else ()
    return VocabularyCard(
        src_lang=languages.src,
        tgt_lang=languages.tgt,
        directions=several,
        src_tokenizer=src_tokenizer,
        tgt_tokenizer=tgt_tokenizer,
        normalize=text.normalize,
        chinese=text.chinese,
        lowercase=text.lowercase,
        max_size=config.vocab.max_size,
        min_freq=config.vocab.min_freq,
        trained_on=list(trained_on),
        src_subword=text.src_subword,
        tgt_subword=text.tgt_subword,
        shared=config.vocab.shared,
        character_coverage=config.vocab.character_coverage,
        subword_sentences=config.vocab.subword_sentences,
    )


def resolve_tokenizers(config: Config) -> tuple[str, str]:
    """The tokenisers' names, for source and target; `auto` stays where languages differ in them."""
    text, directions = config.text, config.data.all_directions
    src = {choose_tokenizer(text.src_tokenizer, direction.src) for direction in directions}
    tgt = {choose_tokenizer(text.tgt_tokenizer, direction.tgt) for direction in directions}
    return "auto" if len(src) > 1 else src.pop(), "auto" if len(tgt) > 1 else tgt.pop()


def name_sides(languages: Direction) -> tuple[str, str]:
    """What to call the sides: by their languages, if they have one each."""
    return ("source", "target") if languages.src == SEVERAL_LANGUAGES else languages


def sizes_of(card: VocabularyCard) -> dict[str, int | float | None]:
    """The keys of `vocab` that may be chosen anew whenever vocabularies are built."""
    return {
        "max_size": card.max_size,
        "min_freq": card.min_freq,
        "character_coverage": card.character_coverage,
        "subword_sentences": card.subword_sentences,
    }


def check_vocabularies(found: VocabularyCard, wanted: VocabularyCard, run: RunFolder) -> None:
    """Refuse vocabularies of other text or other tokens; other sizes are the user's choice.

    Raises:
        ConfigError: they do not belong to this recipe and its text.
    """
    for key, old, _ in diff(found, wanted, may_differ=sizes_of(found)):
        what = "from other text" if key == "trained_on" else f"with {key} {old}"
        raise ConfigError(
            f"{run.vocab_path}: was built {what}; build it again with `s2s vocab build` and the "
            "same options, train from scratch with --fresh, or train elsewhere with --run DIR"
        )


def measure_coverage(name: str, counts: TokenCounts, vocabularies: Vocabularies) -> list[Coverage]:
    """How much of a split the vocabularies know, source and target.

    Args:
        name: of the split.
        counts: its tokens: pieces on the sides that have subwords.
        vocabularies: with their card, which knows on which sides words are cut.
    """
    card = vocabularies.card
    src_name, tgt_name = name_sides(Direction(card.src_lang, card.tgt_lang))
    src, tgt = (
        Coverage(
            label=f"{name} {side}",
            num_lines=counts.num_lines,
            num_tokens=side_counts.total(),
            num_types=len(side_counts),
            num_kept=sum(token in vocabulary for token in side_counts),
            share=vocabulary.coverage(side_counts),
            tokens_per_word=None,
        )
        for side, side_counts, vocabulary in (
            (src_name, counts.src, vocabularies.src),
            (tgt_name, counts.tgt, vocabularies.tgt),
        )
    )
    if card.src_subword != "none" and card.src_tokenizer != "none":
        src = src._replace(tokens_per_word=_fertility(src, counts.num_words[0]))
    if card.tgt_subword != "none" and card.tgt_tokenizer != "none":
        tgt = tgt._replace(tokens_per_word=_fertility(tgt, counts.num_words[1]))
    return [src, tgt]


def _fertility(coverage: Coverage, num_words: int) -> float | None:
    return coverage.num_tokens / num_words if num_words else None
