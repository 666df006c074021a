"""A translator for each direction of a model, and which of them is meant."""

from collections.abc import Iterable, Mapping
from types import MappingProxyType

import torch

from s2s_cli.checkpoint import LoadedModel
from s2s_cli.decoding.predictor import Predictor, Untagged
from s2s_cli.decoding.translator import Translator
from s2s_cli.errors import ConfigError
from s2s_cli.sources import Direction, plain_code
from s2s_cli.text.word_boundaries import depends_on_language


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
