"""Weights that a training begins with: another model's (fine-tuning), or pretrained vectors."""

from pathlib import Path

from s2s_cli.checkpoint import LoadedModel, load_model
from s2s_cli.config import Config, Model, Text
from s2s_cli.data.corpus import Corpus
from s2s_cli.errors import ConfigError
from s2s_cli.model.seq2seq import Seq2Seq
from s2s_cli.run import Vocabularies
from s2s_cli.sources import Direction
from s2s_cli.training.vectors import VectorCoverage, fill_embeddings
from s2s_cli.vocabularies import describe_vocabularies, resolve_tokenizers

MAY_DIFFER = {
    *("dropout", "embed_dropout", "output_dropout", "word_dropout", "variational"),
    *("src_vectors", "tgt_vectors"),
}
"""Keys of `model` that change nothing about the weights' names and shapes."""

TEXT_MAY_DIFFER = {"subword_sampling"}


def adopt_vocabularies(config: Config, former: LoadedModel, corpus: Corpus) -> Vocabularies:
    """The vocabularies and subwords of the model to begin with, as this run's own.

    Raises:
        ConfigError: the recipe's text is split otherwise, or in other languages.
    """
    check_text(config, former)
    trained_on = list(former.card.trained_on.get("train", {}).values())
    card = describe_vocabularies(config, corpus).model_copy(update={"trained_on": trained_on})
    subwords = former.src.tokenizer.subwords, former.tgt.tokenizer.subwords
    return Vocabularies(former.src.vocabulary, former.tgt.vocabulary, card, subwords)


def load_former(config: Config) -> LoadedModel:
    """The model that `training.init_from` names: a model folder, or a run folder with one.

    Raises:
        CheckpointError: there is none, or it is damaged.
    """
    folder = Path(config.training.init_from or "")
    return load_model(folder / "model" if (folder / "model").is_dir() else folder)


def take_weights(
    model: Seq2Seq, config: Config, vocabularies: Vocabularies, former: LoadedModel
) -> list[str]:
    """Begin with the weights of another model.

    Returns:
        What differs between the two, in words; nothing of it changes the weights' shapes.

    Raises:
        ConfigError: the two have other architectures, texts or vocabularies.
    """
    check_text(config, former)
    where = config.training.init_from
    differing = _differences(former.card.model, config.model)
    for key, values in differing.items():
        if key not in MAY_DIFFER:
            raise ConfigError(
                f"{where}: its model.{key} is {values[0]}, the recipe's {values[1]}; fine-tuning "
                f"takes the weights as they are, so set model.{key} to {values[0]}"
            )
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
    return [f"model.{key} {old} -> {new}" for key, (old, new) in differing.items()]


def check_text(config: Config, former: LoadedModel) -> None:
    """Refuse a model whose text was split otherwise, or that is of other languages.

    Raises:
        ConfigError: naming the first difference.
    """
    card, data = former.card, config.data
    names = ("src_tokenizer", "tgt_tokenizer")
    tokenizers = dict(zip(names, resolve_tokenizers(config), strict=True))
    differing = {
        f"text.{key}": values
        for key, values in _differences(
            card.text, config.text.model_copy(update=tokenizers)
        ).items()
        if key not in TEXT_MAY_DIFFER
    }
    theirs, ours = card.all_directions, data.all_directions
    if {*theirs} != {*ours} and len(theirs) == len(ours) == 1:
        langs = zip(("src_lang", "tgt_lang"), theirs[0], ours[0], strict=True)
        differing |= {f"data.{key}": (lang, other) for key, lang, other in langs if lang != other}
    elif {*theirs} != {*ours}:
        differing["data.directions"] = (_list(theirs), _list(ours))
    for key, (old, new) in differing.items():
        raise ConfigError(
            f"{config.training.init_from}: its {key} is {old}, the recipe's {new}; "
            f"fine-tuning needs the same text, so set {key} to {old}"
        )


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
