"""Translate lines of text: tokens in and out of a search, and a translator for each direction.

A `Translator` tokenises lines, sorts them into batches of similar length, searches, and returns
their translations in input order. A model of several directions has a translator for each;
`choose_direction` finds the one that the options `--from` and `--to` mean.
"""

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from types import MappingProxyType
from typing import NamedTuple

import torch
from torch import Tensor

from s2s_cli.checkpoint import LoadedModel
from s2s_cli.config import Decoding
from s2s_cli.data.batching import collate_src
from s2s_cli.decoding.beam import beam_search
from s2s_cli.decoding.hypotheses import Hypothesis
from s2s_cli.decoding.mbr import rank_by_utility
from s2s_cli.decoding.predictor import MaskedModel, Predictor, evaluation_mode
from s2s_cli.decoding.sampling import sample
from s2s_cli.decoding.unknown_words import (
    SourceWord,
    align_words,
    find_source_words,
    most_attended_word,
    number_words,
)
from s2s_cli.errors import ConfigError
from s2s_cli.scoring.utility import make_utility
from s2s_cli.sources import Direction, plain_code
from s2s_cli.text.tokenizer import Codec
from s2s_cli.text.vocabulary import UNK_ID
from s2s_cli.text.word_boundaries import depends_on_language

Search = Callable[
    [Predictor, Tensor, Tensor, Decoding, Sequence[list[int]] | None, int], list[list[Hypothesis]]
]
"""Translates a batch; see `beam_search` for its arguments."""

SEARCHES: dict[str, Search] = {"beam": beam_search, "sample": sample, "mbr": sample}

TOKENS_PER_SENTENCE = 50
"""A batch has at most `batch_size` times this many source tokens, padding included."""


class Candidate(NamedTuple):
    """One translation of a line."""

    text: str
    tokens: list[str]
    score: float
    """As `Hypothesis.score`, or the expected utility for `mbr`; 0.0 for a blank line."""
    log_prob: float
    attention_weights: list[list[float]] | None
    """For each target token its attention to the source tokens and their eos, without the attention
    to a language tag; None for a model without attention."""
    is_complete: bool
    dictionary_entries: frozenset[str] = frozenset()
    """Keys of the dictionary entries that it contains."""


BLANK = Candidate("", [], 0.0, 0.0, None, True)
"""The only candidate of a blank line."""


class Translation(NamedTuple):
    """A line with its translations: best first, or samples in the order drawn."""

    source: str
    src_tokens: list[str]
    """Those that the model read."""
    candidates: list[Candidate]
    num_unread: int = 0
    """Number of source tokens cut off at the end, beyond `decoding.max_source_length`."""

    @property
    def text(self) -> str:
        """The best translation."""
        return self.candidates[0].text


class Translator(NamedTuple):
    """A model, or an ensemble, with its tokenisers and vocabularies."""

    model: Predictor
    src: Codec
    tgt: Codec
    device: torch.device
    dictionary: Mapping[str, str] = MappingProxyType({})
    """Translations of source words for which the model predicts `<unk>`."""
    src_prefix: tuple[int, ...] = ()
    """Token ids before every source: the tag of the target language, if there are several."""

    def encode_src(self, tokens: Sequence[str]) -> list[int]:
        """Token ids of a source sentence, language tag included."""
        return [*self.src_prefix, *self.src.vocabulary.encode(tokens)]

    def translate(
        self,
        lines: Sequence[str],
        config: Decoding,
        prefixes: Sequence[str] | None = None,
        search: Search | None = None,
    ) -> list[Translation]:
        """Translate lines. The model does not see blank lines; their translations are empty.

        Args:
            lines: one sentence each.
            config: how to search.
            prefixes: for each line the beginning of its translation; blank for none.
            search: translates a batch; None for the search that `config` names.
        """
        search = search or SEARCHES[config.search]
        all_tokens = [self.src.tokenizer.tokenize(line) for line in lines]
        src_tokens = [tokens[: config.max_source_length] for tokens in all_tokens]
        prefixes = [""] * len(lines) if prefixes is None else prefixes
        prefix_tokens = [self.tgt.tokenizer.tokenize(prefix) for prefix in prefixes]
        found = [[BLANK] for _ in lines]
        # Before anything is translated: a scorer may not be installed.
        choose = make_choice(config, self.tgt.tokenizer.normalize.lang)
        with evaluation_mode(self.model):
            for batch in batches_by_length([*map(len, src_tokens)], config.num_sentences):
                src, src_lengths = collate_src([self.encode_src(src_tokens[i]) for i in batch])
                hypotheses = search(
                    self.model,
                    src.to(self.device),
                    src_lengths,
                    config,
                    [self.tgt.vocabulary.encode(prefix_tokens[i]) for i in batch],
                    len(self.src_prefix),
                )
                for i, of_sentence in zip(batch, hypotheses, strict=True):
                    prefix = prefixes[i], prefix_tokens[i]
                    num_read = len(src_tokens[i])
                    found[i] = choose(
                        self._make_candidates(of_sentence, lines[i], num_read, prefix, config)
                    )
        return [
            Translation(line, src_tokens[i], found[i], len(all_tokens[i]) - len(src_tokens[i]))
            for i, line in enumerate(lines)
        ]

    def _make_candidates(
        self,
        found: list[Hypothesis],
        line: str,
        num_src_tokens: int,
        prefix: tuple[str, list[str]],
        config: Decoding,
    ) -> list[Candidate]:
        """The candidates of a line, one for each hypothesis.

        Args:
            found: its hypotheses.
            line: the source.
            num_src_tokens: number of its tokens that the model read.
            prefix: how the translation begins, as text and as tokens.
            config: whether `<unk>` remains.
        """
        words: list[SourceWord] = []
        has_unknown = any(UNK_ID in hypothesis.token_ids for hypothesis in found)
        if has_unknown and not config.keep_unk and found[0].attention_weights is not None:
            words = find_source_words(self.src.tokenizer, line, num_src_tokens, self.dictionary)
        return [self._make_candidate(one, num_src_tokens, prefix, words) for one in found]

    def _make_candidate(
        self,
        hypothesis: Hypothesis,
        num_src_tokens: int,
        prefix: tuple[str, list[str]],
        words: list[SourceWord],
    ) -> Candidate:
        """Decode a hypothesis; words replace its unknown tokens, if there are any words."""
        prefix_text, prefix_tokens = prefix
        size = len(prefix_tokens)
        tokens = self.tgt.vocabulary.decode(hypothesis.token_ids)
        tokens[:size] = prefix_tokens  # Those unknown to the model were decoded to `<unk>`.
        weights, replacements = None, dict[int, SourceWord]()
        if hypothesis.attention_weights is not None:
            first = len(self.src_prefix)
            last = first + num_src_tokens + 1  # eos counted
            weights = hypothesis.attention_weights[: len(tokens), first:last].tolist()
            if words:
                replacements = {
                    i: most_attended_word(words, weights[i])
                    for i in range(size, len(tokens))
                    if hypothesis.token_ids[i] == UNK_ID
                }
        literals = {i: word.replacement for i, word in replacements.items()}
        return Candidate(
            self._detokenize(tokens, literals, prefix_text, size),
            [literals.get(i, token) for i, token in enumerate(tokens)],
            hypothesis.score,
            hypothesis.log_prob,
            weights,
            hypothesis.is_complete,
            frozenset(word.entry for word in replacements.values() if word.entry is not None),
        )

    def _detokenize(
        self, tokens: list[str], literals: dict[int, str], prefix: str, prefix_size: int
    ) -> str:
        """The text of a translation; its prefix appears exactly as it was typed.

        Args:
            tokens: of the translation.
            literals: text that replaces tokens, by their index.
            prefix: how the translation begins.
            prefix_size: number of tokens of the prefix.
        """
        tokenizer = self.tgt.tokenizer
        text = tokenizer.detokenize(tokens, literals)
        if not prefix_size:
            return text
        normalized = tokenizer.normalize(prefix)
        if not text.startswith(normalized):  # A new token continues the last word of the prefix.
            rest = {i - prefix_size: literal for i, literal in literals.items()}
            return f"{prefix.rstrip()} {tokenizer.detokenize(tokens[prefix_size:], rest)}"
        rest_of_text = text.removeprefix(normalized)
        is_open = prefix[-1].isspace()
        return prefix + (rest_of_text.lstrip(" ") if is_open else rest_of_text)

    def align(self, translation: Translation) -> list[tuple[int, int]] | None:
        """Links (source word, target word) of the best translation; None without attention."""
        best = translation.candidates[0]
        if best.attention_weights is None:
            return None if translation.src_tokens else []
        return align_words(
            number_words(translation.src_tokens, self.src.tokenizer),
            number_words(best.tokens, self.tgt.tokenizer),
            best.attention_weights,
        )


def make_choice(config: Decoding, tgt_lang: str) -> Callable[[list[Candidate]], list[Candidate]]:
    """How to choose candidates of a line: for `mbr` those with the highest expected utility.

    For other searches, all candidates remain.

    Args:
        config: the search, its utility and `n_best`.
        tgt_lang: target language.

    Raises:
        ConfigError: a tokeniser that BLEU needs is not installed.
    """
    if config.search != "mbr":
        return lambda candidates: candidates
    utility = make_utility(config.utility, tgt_lang)

    def choose(samples: list[Candidate]) -> list[Candidate]:
        ranked = rank_by_utility([sample.text for sample in samples], utility)
        return [samples[place]._replace(score=score) for place, score in ranked[: config.n_best]]

    return choose


def batches_by_length(lengths: Sequence[int], batch_size: int) -> Iterator[list[int]]:
    """Indices of the sentences that are not empty, in batches of similar length, longest first.

    Args:
        lengths: of all sentences, in tokens.
        batch_size: maximum number of sentences in a batch.
    """
    order = sorted((i for i, length in enumerate(lengths) if length), key=lambda i: -lengths[i])
    batch: list[int] = []
    for i in order:
        longest = lengths[batch[0]] if batch else lengths[i]
        is_full = (len(batch) + 1) * longest > batch_size * TOKENS_PER_SENTENCE
        if batch and (len(batch) == batch_size or is_full):
            yield batch
            batch = []
        batch.append(i)
    if batch:
        yield batch


def make_translators(
    loaded: LoadedModel,
    model: Predictor,
    device: torch.device,
    dictionary: Mapping[str, str] = MappingProxyType({}),
) -> dict[str, Translator]:
    """Make a translator for each direction of a model, keyed by direction (`de-en`).

    Args:
        loaded: tokenisers, vocabularies and directions.
        model: `loaded.model`, or an ensemble that it belongs to.
        device: of the model.
        dictionary: translations of unknown source words.
    """
    tags = loaded.tgt.vocabulary.tag_ids
    predictor = MaskedModel(model, list(tags)) if tags else model
    translators = {}
    for direction in loaded.card.all_directions:
        src, tgt = loaded.codecs_of(direction)
        prefix = tuple(src.vocabulary.encode_tag(direction.tgt))
        translators[str(direction)] = Translator(predictor, src, tgt, device, dictionary, prefix)
    return translators


def choose_direction(
    directions: Iterable[Direction],
    src: str | None,
    tgt: str | None,
    src_tokenizer: str = "auto",
) -> Direction:
    """The direction that `--from` and `--to` mean. An option without alternatives may be missing.

    Args:
        directions: of the model.
        src: value of `--from`, if given.
        tgt: value of `--to`, if given.
        src_tokenizer: if it treats all languages alike, `--from` is never required.

    Raises:
        ConfigError: the model does not have the direction, or an option is missing.
    """
    possible = find_directions(directions, src, tgt)
    for option, side in (("--to", 1), ("--from", 0)):
        langs = _list_languages(possible, side)
        if len(langs) > 1 and (side == 1 or depends_on_language(src_tokenizer)):
            raise ConfigError(
                f"{option}: missing; this model translates {_PREPOSITIONS[side]} "
                f"{', '.join(langs)}; name one"
            )
    return possible[0]


def find_directions(
    directions: Iterable[Direction], src: str | None, tgt: str | None
) -> tuple[Direction, ...]:
    """The directions that match `--from` and `--to`; None matches every language.

    Raises:
        ConfigError: there are none.
    """
    found = tuple(directions)
    for option, side, lang in (("--to", 1, tgt), ("--from", 0, src)):
        if lang is None:
            continue
        langs = _list_languages(found, side)
        if plain_code(lang) not in langs:
            where = f"into {tgt} " if tgt is not None and option == "--from" else ""
            remedy = "name one" if where or len(langs) > 1 else "leave it out"
            raise ConfigError(
                f"{option} {lang}: {where}this model translates {_PREPOSITIONS[side]} "
                f"{', '.join(langs)}; {remedy}"
            )
        found = tuple(one for one in found if plain_code(one[side]) == plain_code(lang))
    return found


_PREPOSITIONS = ("from", "into")


def _list_languages(directions: Iterable[Direction], side: int) -> list[str]:
    return list(dict.fromkeys(plain_code(direction[side]) for direction in directions))
