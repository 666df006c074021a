"""Weights that a training begins with: another model's (fine-tuning), or pretrained vectors."""

import json
from pathlib import Path

from s2s_cli.checkpoint import LoadedModel, ModelCard, load_card, load_model
from s2s_cli.config import Config, Model, Text
from s2s_cli.errors import ConfigError
from s2s_cli.model.seq2seq import Seq2Seq
from s2s_cli.run import Vocabularies
from s2s_cli.section import Section
from s2s_cli.sources import Direction
from s2s_cli.training.vectors import VectorCoverage, fill_embeddings
from s2s_cli.vocabularies import describe_vocabularies, resolve_tokenizers

MAY_DIFFER = {
    *("model.dropout", "model.embed_dropout", "model.output_dropout", "model.word_dropout"),
    *("model.variational", "model.src_vectors", "model.tgt_vectors"),
    *("text.subword_sampling", "text.tgt_subword_sampling"),
}
"""Keys that change nothing about the tokens, nor about the weights' names and shapes."""


def adopt_vocabularies(config: Config, former: LoadedModel) -> Vocabularies:
    """The vocabularies and subwords of the model to begin with, as this run's own.

    Raises:
        ConfigError: as `check_fits`.
    """
    check_fits(config, former)
    trained_on = list(former.card.trained_on.get("train", {}).values())
    src, tgt = former.src.vocabulary, former.tgt.vocabulary
    own = {
        "max_size": max(len(src), len(tgt)),
        "min_freq": 1,
        "shared": src == tgt,
        "character_coverage": None,
    }
    card = describe_vocabularies(config, trained_on).model_copy(update=own)
    subwords = former.src.tokenizer.subwords, former.tgt.tokenizer.subwords
    return Vocabularies(src, tgt, card, subwords)


def load_former(place: str) -> LoadedModel:
    """The model that `training.init_from` names: a model folder, or a run folder with one.

    Raises:
        CheckpointError: there is none, or it is damaged.
    """
    return load_model(_find(place))


def load_former_card(place: str) -> ModelCard:
    """What that model says about itself; its weights are not read.

    Raises:
        CheckpointError: as `load_former`.
    """
    return load_card(_find(place))


def _find(place: str) -> Path:
    folder = Path(place)
    return folder / "model" if (folder / "model").is_dir() else folder


def take_weights(
    model: Seq2Seq, config: Config, vocabularies: Vocabularies, former: LoadedModel
) -> list[str]:
    """Begin with the weights of another model.

    Returns:
        What differs between the two, in words; nothing of it changes the weights' shapes.

    Raises:
        ConfigError: the two have other architectures, texts or vocabularies.
    """
    check_fits(config, former)
    where = config.training.init_from
    for side, mine, theirs in (
        ("source", vocabularies.src, former.src.vocabulary),
        ("target", vocabularies.tgt, former.tgt.vocabulary),
    ):
        if mine != theirs:
            raise ConfigError(
                f"{where}: the run's {side} vocabulary is another one; without one of its own, a "
                "run takes over that of the model, so train elsewhere with --run DIR"
            )
    model.load_state_dict(former.model.state_dict())
    differing = _differences(former.card.model, config.model)
    old_direction, new_direction = former.card.all_directions[0], config.data.all_directions[0]
    # Of several directions all are the same.
    is_other = len(config.data.all_directions) == 1 and old_direction != new_direction
    languages = [f"languages {old_direction} -> {new_direction}"] if is_other else []
    return [
        *languages,
        *(f"model.{key} {old} -> {new}" for key, (old, new) in differing.items()),
    ]


def check_fits(config: Config, former: LoadedModel) -> None:
    """Refuse a model of another architecture, other directions, or text that was split otherwise.

    A model of one direction may go on with other languages.

    Raises:
        ConfigError: with all that differs, as options that would make it alike.
    """
    card = former.card
    names = ("src_tokenizer", "tgt_tokenizer")
    tokenizers = dict(zip(names, resolve_tokenizers(config), strict=True))
    text = config.text.model_copy(update=tokenizers)
    differing = {f"text.{key}": v for key, v in _differences(card.text, text).items()}
    differing |= {f"model.{key}": v for key, v in _differences(card.model, config.model).items()}
    theirs, ours = card.all_directions, config.data.all_directions
    if {*theirs} != {*ours} and max(len(theirs), len(ours)) > 1:  # whose tags are in the vocabulary
        differing["data.directions"] = (_list(theirs), _list(ours))
    misfits = {key: values for key, values in differing.items() if key not in MAY_DIFFER}
    if misfits:
        told = ", ".join(f"{key} is {old} (here {new})" for key, (old, new) in misfits.items())
        sets = " ".join(f"--set {key}={to_yaml(old)}" for key, (old, _) in misfits.items())
        raise ConfigError(
            f"{config.training.init_from}: its {told}; fine-tuning takes text and weights as they "
            f"are: {sets}"
        )


def to_yaml(value: object) -> str:
    """A value as `--set` reads it."""
    if isinstance(value, Section):
        value = value.model_dump(mode="json", exclude_none=True)
    return json.dumps(value) if not isinstance(value, str) else value


def _list(directions: tuple[Direction, ...]) -> str:
    return f"[{', '.join(map(str, directions))}]"


def _differences(former: Model | Text, present: Model | Text) -> dict[str, tuple[object, object]]:
    return {
        key: (value, getattr(present, key))
        for key, value in former
        if value != getattr(present, key)
    }


def take_vectors(
    model: Seq2Seq, config: Config, vocabularies: Vocabularies
) -> list[tuple[str, VectorCoverage]]:
    """Begin with pretrained embeddings where the recipe names files of them.

    Returns:
        For each file its key and how much of the vocabulary it knows.

    Raises:
        DataError: a file is missing or malformed.
        ConfigError: its vectors are of another width, or of another language.
    """
    folder, found = Path(config.data.folder), []
    for key, name, embedding, vocabulary in (
        ("model.src_vectors", config.model.src_vectors, model.src_table, vocabularies.src),
        ("model.tgt_vectors", config.model.tgt_vectors, model.tgt_table, vocabularies.tgt),
    ):
        if name is not None:
            found.append((key, fill_embeddings(embedding, vocabulary, folder / name, key)))
    return found
