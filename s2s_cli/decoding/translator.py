"""Lines of text to translated lines, in input order."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from types import MappingProxyType
from typing import NamedTuple

import torch

from s2s_cli.checkpoint import LoadedModel
from s2s_cli.config import Decoding
from s2s_cli.data.batching import collate_src
from s2s_cli.decoding.beam import beam_search
from s2s_cli.decoding.hypotheses import Hypothesis
from s2s_cli.decoding.predictor import Predictor, Untagged
from s2s_cli.decoding.sampling import sample
from s2s_cli.decoding.unknown_words import Replacement, align_words, find_replacements, number_words
from s2s_cli.errors import ConfigError
from s2s_cli.sources import Direction, plain_code
from s2s_cli.text.tokenizer import Codec
from s2s_cli.text.vocabulary import UNK_ID
from s2s_cli.text.word_boundaries import depends_on_language

SEARCHES = {"beam": beam_search, "sample": sample}

TOKENS_PER_SENTENCE = 50
"""A batch holds at most this many source tokens, padding included, per `batch_size`."""


class Prefix(NamedTuple):
    """How a translation has to begin; blank for no matter how."""

    text: str
    tokens: list[str]


class Candidate(NamedTuple):
    """One translation of a line."""

    text: str
    tokens: list[str]
    score: float
    """As `Hypothesis.score`; 0.0 for a blank line."""
    log_prob: float
    weights: list[list[float]] | None
    """For each target token its attention over the source tokens and their eos; what a tag of
    the target language got is left out."""
    is_complete: bool
    dictionary_entries: frozenset[str] = frozenset()
    """Keys of the dictionary's entries that stand in it."""


class Translation(NamedTuple):
    """A line and its translations, best first; samples in the order drawn."""

    source: str
    src_tokens: list[str]
    candidates: list[Candidate]
    num_unread: int = 0
    """Tokens at the end of the source that were too many to be read."""

    @property
    def text(self) -> str:
        """The best translation."""
        return self.candidates[0].text


class Translator(NamedTuple):
    """A model, or an ensemble, with the text tools that belong to it."""

    model: Predictor
    src: Codec
    tgt: Codec
    device: torch.device
    dictionary: Mapping[str, str] = MappingProxyType({})
    """What to say for source words in whose place the model says unknown."""
    src_prefix: tuple[int, ...] = ()
    """Ids before every source: the tag of the target language, if the model knows several."""

    def encode_src(self, tokens: Sequence[str]) -> list[int]:
        """Ids of a source sentence's tokens, as the model reads them."""
        return [*self.src_prefix, *self.src.vocabulary.encode(tokens)]

    def translate(
        self, lines: Sequence[str], config: Decoding, prefixes: Sequence[str] | None = None
    ) -> list[Translation]:
        """Translate lines; a blank line becomes an empty one without asking the model.

        Args:
            lines: sentences.
            config: how to search.
            prefixes: for each line how its translation begins; blank for no matter how.
        """
        search = SEARCHES[config.search]
        was_training = self.model.training
        self.model.train(False)
        whole = [self.src.tokenizer.tokenize(line) for line in lines]
        tokens = [sentence[: config.max_source_length] for sentence in whole]
        if prefixes is None:
            prefixes = [""] * len(lines)
        begun = [Prefix(prefix, self.tgt.tokenizer.tokenize(prefix)) for prefix in prefixes]
        results: list[list[Hypothesis]] = [[] for _ in lines]
        for batch in batches_by_length(
            [len(sentence) for sentence in tokens], config.num_sentences
        ):
            encoded = [self.encode_src(tokens[i]) for i in batch]
            src, src_lengths = collate_src(encoded)
            forced = [self.tgt.vocabulary.encode(begun[i].tokens) for i in batch]
            num_tags = len(self.src_prefix)
            found = search(self.model, src.to(self.device), src_lengths, config, forced, num_tags)
            for i, hypotheses in zip(batch, found, strict=True):
                results[i] = hypotheses
        self.model.train(was_training)
        return [
            Translation(
                lines[i],
                tokens[i],
                self._candidates(lines[i], tokens[i], begun[i], results[i], config),
                len(whole[i]) - len(tokens[i]),
            )
            for i in range(len(lines))
        ]

    def _candidates(
        self,
        line: str,
        src_tokens: list[str],
        prefix: Prefix,
        found: list[Hypothesis],
        config: Decoding,
    ) -> list[Candidate]:
        if not found:
            return [Candidate("", [], 0.0, 0.0, None, True)]
        has_unknown = any(UNK_ID in hypothesis.token_ids for hypothesis in found)
        known = None
        if has_unknown and not config.keep_unk and found[0].weights is not None:
            source = self.src.tokenizer
            known = find_replacements(source, line, len(src_tokens), self.dictionary)
        candidates = []
        for hypothesis in found:
            tokens = self.tgt.vocabulary.decode(hypothesis.token_ids)
            tokens[: len(prefix.tokens)] = prefix.tokens  # as it was given, be it known or not
            weights, replaced = None, dict[int, Replacement]()
            if hypothesis.weights is not None:
                first = len(self.src_prefix)  # a tag is no word, whatever looks at it
                length = len(src_tokens) + 1  # the source's eos
                weights = hypothesis.weights[: len(tokens), first : first + length].tolist()
                if known is not None:
                    replaced = {
                        i: known.choose(weights[i])
                        for i in range(len(prefix.tokens), len(tokens))
                        if hypothesis.token_ids[i] == UNK_ID
                    }
            literals = {place: replacement.text for place, replacement in replaced.items()}
            candidates.append(
                Candidate(
                    self._detokenize(tokens, literals, prefix),
                    [literals.get(i, token) for i, token in enumerate(tokens)],
                    hypothesis.score,
                    hypothesis.log_prob,
                    weights,
                    hypothesis.is_complete,
                    frozenset(one.entry for one in replaced.values() if one.entry is not None),
                )
            )
        return candidates

    def _detokenize(self, tokens: list[str], literals: dict[int, str], prefix: Prefix) -> str:
        """The text of a translation; a forced prefix stands in it as it was typed."""
        tokenizer = self.tgt.tokenizer
        text = tokenizer.detokenize(tokens, literals)
        if not prefix.tokens:
            return text
        begun = tokenizer.normalize(prefix.text)
        if not text.startswith(begun):  # its last word went on as an unknown one
            size = len(prefix.tokens)
            rest = {i - size: literal for i, literal in literals.items()}
            return f"{prefix.text.rstrip()} {tokenizer.detokenize(tokens[size:], rest)}"
        rest_of_text = text.removeprefix(begun)
        is_open = prefix.text[-1].isspace()
        return prefix.text + (rest_of_text.lstrip(" ") if is_open else rest_of_text)

    def align(self, translation: Translation) -> list[tuple[int, int]] | None:
        """Links (source word, target word) of the best translation; None without attention."""
        best = translation.candidates[0]
        if best.weights is None:
            return None if translation.src_tokens else []
        src_words = number_words(translation.src_tokens, self.src.tokenizer)
        return align_words(src_words, number_words(best.tokens, self.tgt.tokenizer), best.weights)


def batches_by_length(lengths: Sequence[int], batch_size: int) -> Iterator[list[int]]:
    """Indices of the sentences that have tokens, of like length together, longest first."""
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
    """A translator for each direction, by its name.

    Args:
        loaded: the text tools and directions.
        model: what predicts: `loaded.model`, or an ensemble that it belongs to.
        device: where it does so.
        dictionary: what to say for unknown source words.
    """
    tags = loaded.tgt.vocabulary.tag_ids
    predictor = Untagged(model, list(tags)) if tags else model
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
    """The direction that `--from` and `--to` mean; what they need not say may be left out.

    Args:
        directions: of the model.
        src: what `--from` says, if anything.
        tgt: what `--to` says, if anything.
        src_tokenizer: where it splits all languages alike, no source language need be named.

    Raises:
        ConfigError: the model has no such direction, or more than one.
    """
    possible = find_directions(directions, src, tgt)
    for option, side in (("--to", 1), ("--from", 0)):
        known = _list_languages(possible, side)
        if len(known) > 1 and (side or depends_on_language(src_tokenizer)):
            listed = ", ".join(known)
            raise ConfigError(
                f"{option}: missing; this model translates {_WORDS[side]} {listed}; name one"
            )
    return possible[0]


def find_directions(
    directions: Iterable[Direction], src: str | None, tgt: str | None
) -> tuple[Direction, ...]:
    """The directions of the languages that `--from` and `--to` name, or of any.

    Raises:
        ConfigError: there is none.
    """
    found = tuple(directions)
    for option, side, lang in (("--to", 1, tgt), ("--from", 0, src)):
        known = _list_languages(found, side)
        if lang is not None and plain_code(lang) not in known:
            listed, remedy = ", ".join(known), "name one" if len(known) > 1 else "leave it out"
            raise ConfigError(
                f"{option} {lang}: this model translates {_WORDS[side]} {listed}; {remedy}"
            )
        if lang is not None:
            found = tuple(one for one in found if plain_code(one[side]) == plain_code(lang))
    return found


_WORDS = ("from", "into")


def _list_languages(directions: Iterable[Direction], side: int) -> list[str]:
    return list(dict.fromkeys(plain_code(direction[side]) for direction in directions))
