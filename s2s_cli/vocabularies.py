"""The vocabularies of both sides of a run: learn from word counts, describe, check, measure."""

from collections import Counter
from collections.abc import Callable, Iterable
from typing import NamedTuple

from s2s_cli.config import Config
from s2s_cli.data.fingerprints import hash_text
from s2s_cli.data.words import SideCounts, WordsFile
from s2s_cli.differences import diff
from s2s_cli.errors import ConfigError
from s2s_cli.run import RunFolder, Vocabularies, VocabularyCard
from s2s_cli.sources import SEVERAL_LANGUAGES, Direction
from s2s_cli.text.language import has_many_characters
from s2s_cli.text.subwords import SubwordPair, Subwords, train_subwords
from s2s_cli.text.vocabulary import Vocabulary, make_tag
from s2s_cli.text.word_boundaries import resolve_tokenizers

CHARACTER_COVERAGE = 0.9995
"""Share of running characters covered by subwords in languages with thousands of characters. The
rarest characters are better unknown, so that the model learns how to treat unknown characters."""

MAX_WORDS = 1_000_000
"""Maximum number of different words from which subwords are learnt: the most frequent ones. With
tokeniser `none`, sentences without spaces are words, so there may be as many words as pairs."""


class TokenCounts(NamedTuple):
    """Token counts of a split."""

    num_lines: int
    num_words: tuple[int, int]
    """Words of source and target, before segmentation into subwords."""
    src: Counter[str]
    """How often each source token occurs: words, or their subwords."""
    tgt: Counter[str]
    """How often each target token occurs."""


class Coverage(NamedTuple):
    """Coverage of one side of a split by a vocabulary."""

    label: str
    num_lines: int
    num_tokens: int
    num_types: int
    num_kept: int
    """Types in the vocabulary."""
    share: float
    """Share of running tokens in the vocabulary, 0 to 1."""
    tokens_per_word: float | None
    """Average number of subwords per word; None if there are no subwords or no words."""


def count_tokens(words: WordsFile, subwords: SubwordPair) -> TokenCounts:
    """Count the words of a split, or their subwords."""
    both = [sum(side.values(), Counter[str]()) for side in words.counts]
    src, tgt = (
        _count_pieces(counts, model) if model else counts
        for counts, model in zip(both, subwords, strict=True)
    )
    return TokenCounts(words.num_pairs, (both[0].total(), both[1].total()), src, tgt)


def _count_pieces(words: Counter[str], subwords: Subwords) -> Counter[str]:
    counts: Counter[str] = Counter()
    for word, count in words.items():
        for piece in subwords.segment([word]):
            counts[piece] += count
    return counts


def learn_vocabularies(
    config: Config,
    words: WordsFile,
    trained_on: Iterable[str],
    name: str,
    note: Callable[[str], None],
) -> Vocabularies:
    """Learn subwords if the recipe has any, then build vocabularies of the most frequent tokens.

    Args:
        config: sizes, languages, tokenisers and subwords.
        words: of the training text.
        trained_on: hashes of the text.
        name: of the text.
        note: receives messages for the user.

    Raises:
        ConfigError: no token of a side is frequent enough, or `vocab.max_size` is too small for
            all characters.
    """
    subwords = _learn_subwords(config, words.counts, note)
    counts = count_tokens(words, subwords)
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
                f"vocab.min_freq: no {side} token of {name} occurs {config.vocab.min_freq} times; "
                "lower it, for example with --set vocab.min_freq=1"
            )
    return Vocabularies(src, tgt, describe_vocabularies(config, trained_on), subwords)


def _learn_subwords(
    config: Config, counts: tuple[SideCounts, SideCounts], note: Callable[[str], None]
) -> SubwordPair:
    """Learn the subwords of both sides; None for a side without subwords."""
    kinds = config.text.src_subword, config.text.tgt_subword
    num_tags = [len(tags) for tags in tags_of_sides(config)]
    if config.vocab.shared and kinds[0] != "none":
        joined: SideCounts = {}
        for side in counts:
            for lang, words in side.items():
                joined[lang] = joined.get(lang, Counter()) + words
        both = _learn_side(config, kinds[0], joined, num_tags[0], note)
        return both, both
    src, tgt = (
        None if kind == "none" else _learn_side(config, kind, side, tags, note)
        for kind, side, tags in zip(kinds, counts, num_tags, strict=True)
    )
    return src, tgt


def _learn_side(
    config: Config, kind: str, side: SideCounts, num_tags: int, note: Callable[[str], None]
) -> Subwords:
    """Learn subwords from the words of one side.

    Args:
        config: of the run.
        kind: of the subwords.
        side: the words by language.
        num_tags: entries of the vocabulary that tags take.
        note: receives messages for the user.
    """
    coverage = config.vocab.character_coverage
    if coverage is None:
        # A share of the characters of each language: next to English, all Chinese ones are rare.
        num_characters = {lang: _count_characters(words) for lang, words in side.items()}
        left_out = sum(
            number * (1 - CHARACTER_COVERAGE)
            for lang, number in num_characters.items()
            if has_many_characters(lang)
        )
        coverage = 1 - left_out / max(1, sum(num_characters.values()))
    words = sum(side.values(), Counter[str]())
    if len(words) > MAX_WORDS:
        note(
            f"{kind} subwords of {' and '.join(side)}: learnt from the {MAX_WORDS:,} most frequent "
            f"of {len(words):,} different words"
        )
        # The order of equally frequent words is random but reproducible.
        order = sorted(words, key=lambda word: (-words[word], hash_text(word)))
        words = Counter({word: words[word] for word in order[:MAX_WORDS]})
    return train_subwords(kind, words, config.vocab.max_size, coverage, num_tags)


def _count_characters(words: Counter[str]) -> int:
    return sum(len(word) * count for word, count in words.items())


def list_tags(directions: Iterable[Direction]) -> list[str]:
    """Return one tag for each target language; none if there is only one direction."""
    targets = [direction.tgt for direction in directions]
    return [make_tag(lang) for lang in dict.fromkeys(targets)] if len(targets) > 1 else []


def tags_of_sides(config: Config) -> tuple[list[str], list[str]]:
    """Return the tags in the vocabularies of source and target; only source sentences have tags."""
    tags = list_tags(config.data.all_directions)
    return tags, tags if config.vocab.shared else []


def _build(
    config: Config, counts: Counter[str], subwords: Subwords | None, tags: list[str]
) -> Vocabulary:
    if subwords is None:
        return Vocabulary.build(counts, config.vocab.max_size, config.vocab.min_freq, tags)
    # All subwords, even unused ones, because sampling and new text may need them.
    pieces = Counter({piece: counts[piece] for piece in subwords.pieces})
    return Vocabulary.build(pieces, config.vocab.max_size, min_freq=0, tags=tags)


def describe_vocabularies(config: Config, trained_on: Iterable[str]) -> VocabularyCard:
    """Describe what vocabularies are built from, for this recipe and text with these hashes."""
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
    )


def name_sides(languages: Direction) -> tuple[str, str]:
    """Name the sides by their languages, if each has only one."""
    return ("source", "target") if languages.src == SEVERAL_LANGUAGES else languages


def sizes_of(card: VocabularyCard) -> dict[str, int | float | None]:
    """Return the keys of `vocab` that may differ when existing vocabularies are used."""
    return {
        "max_size": card.max_size,
        "min_freq": card.min_freq,
        "character_coverage": card.character_coverage,
    }


def check_vocabularies(found: VocabularyCard, wanted: VocabularyCard, run: RunFolder) -> None:
    """Refuse vocabularies of other text or other tokens; other sizes are accepted.

    Raises:
        ConfigError: they do not belong to this recipe and its text.
    """
    for key, old, _ in diff(found, wanted, may_differ=sizes_of(found)):
        what = "from other text" if key == "trained_on" else f"with {key} {old}"
        raise ConfigError(
            f"{run.vocab_path}: was built {what}; build it again with `s2s vocab build` and the "
            "same options, train from scratch with --fresh, or use another run with --run DIR"
        )


def measure_coverage(name: str, counts: TokenCounts, vocabularies: Vocabularies) -> list[Coverage]:
    """Measure how much of a split the vocabularies cover, source and target.

    Args:
        name: of the split.
        counts: of its tokens.
        vocabularies: with their card, which says which sides have subwords.
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
