"""Pretrained word vectors, in the text format of word2vec and fastText.

A first line `number width` (GloVe's files have none), then a line per word: the word and its
numbers, parted by spaces.
"""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor

from s2s_cli.checkpoint import LoadedModel, ModelCard, load_card, load_model
from s2s_cli.config import Config
from s2s_cli.data.file_kinds import MIN_LINES_PER_BAD_LINE
from s2s_cli.data.lines import check_text, is_decodable, stream_raw_lines
from s2s_cli.differences import describe, diff
from s2s_cli.errors import ConfigError, DataError
from s2s_cli.model.seq2seq import Seq2Seq
from s2s_cli.run import Vocabularies
from s2s_cli.sources import Direction
from s2s_cli.text.vocabulary import Vocabulary
from s2s_cli.text.word_boundaries import resolve_tokenizers
from s2s_cli.vocabularies import describe_vocabularies

NUM_HEADER_FIELDS = 2


class VectorCoverage(NamedTuple):
    """How much of a vocabulary a file of vectors knows."""

    num_found: int
    num_entries: int
    share: float
    """Of running tokens of the training text, 0 to 1."""
    num_not_utf8: int
    """Words left out because they are not UTF-8."""


def fill_embeddings(table: Tensor, vocabulary: Vocabulary, path: Path, key: str) -> VectorCoverage:
    """Overwrite the rows of the words that the file knows; the others keep what they have.

    Args:
        table: embeddings `(vocab, embed)`, changed in place.
        vocabulary: whose ids are the table's rows.
        path: the file, plain or `.gz`.
        key: of the recipe that named it, for messages.

    Raises:
        DataError: the file is missing or malformed, or not UTF-8.
        ConfigError: its vectors are not as wide as the table, or it knows no word of ours.
    """
    found: set[str] = set()
    num_words = num_not_utf8 = 0
    with torch.no_grad():
        for raw, vector in _read_vectors(path, table.size(1), key):
            num_words += 1
            if not is_decodable(raw):
                num_not_utf8 += 1
            elif (word := raw.decode()) in vocabulary and word not in found:
                found.add(word)
                table[vocabulary.encode([word])[0]] = torch.from_numpy(vector)
    if num_not_utf8 * MIN_LINES_PER_BAD_LINE > num_words:
        check_text(path)
    if not found:
        raise ConfigError(f"{key}: {path} knows no word of the vocabulary; is it of this language?")
    counts = dict(zip(vocabulary.tokens, vocabulary.counts, strict=True))
    total = sum(vocabulary.counts)
    share = sum(counts[word] for word in found) / total if total else 0.0
    return VectorCoverage(len(found), len(vocabulary), share, num_not_utf8)


def _read_vectors(path: Path, width: int, key: str) -> Iterator[tuple[bytes, np.ndarray]]:
    for number, line in enumerate(stream_raw_lines(path), start=1):
        if number > 1 and not line.strip():
            continue  # as behind the last word
        fields = line.rstrip(b"\r\n ").split(b" ")
        if number == 1:
            header = len(fields) == NUM_HEADER_FIELDS and all(f.isdigit() for f in fields)
            found = int(fields[1]) if header else _measure(fields, width)
            if found is None:
                raise DataError(
                    f"{path}:1: expected a word and numbers, or how many words and how many "
                    f"numbers; {key} names a file in word2vec's or fastText's text format"
                )
            if found != width:
                raise ConfigError(
                    f"{key}: the vectors of {path} are {found} wide, the embeddings {width}; "
                    f"set the side's embed_size to {found}, or name another file"
                )
            if header:
                continue
        word = b" ".join(fields[:-width])
        try:
            vector = np.array(fields[-width:], dtype=np.float32)
            if len(vector) != width or not word or not np.isfinite(vector).all():
                raise ValueError
            yield word, vector
        except ValueError as error:
            raise DataError(
                f"{path}:{number}: expected a word and {width} numbers, parted by spaces"
            ) from error


def _measure(fields: list[bytes], width: int) -> int | None:
    """How wide the vector of a line is; None if there is none, `width` if a word has spaces."""
    for found in (len(fields) - 1, width):
        try:
            if 0 < found < len(fields) and [float(field) for field in fields[-found:]]:
                return found
        except ValueError:
            continue
    return None


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
    old_direction, new_direction = former.card.all_directions[0], config.data.all_directions[0]
    # Of several directions all are the same.
    is_other = len(config.data.all_directions) == 1 and old_direction != new_direction
    languages = [f"languages {old_direction} -> {new_direction}"] if is_other else []
    changes = diff({"model": former.card.model}, {"model": config.model})
    return [*languages, *(describe([change]) for change in changes)]


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
    former_settings: dict[str, object] = {"text": card.text, "model": card.model}
    present_settings: dict[str, object] = {"text": text, "model": config.model}
    theirs, ours = card.all_directions, config.data.all_directions
    # Where a model has several directions, the tags of its vocabulary depend on them.
    if {*theirs} != {*ours} and max(len(theirs), len(ours)) > 1:
        former_settings["data.directions"] = _list(theirs)
        present_settings["data.directions"] = _list(ours)
    changes = diff(former_settings, present_settings, MAY_DIFFER)
    if changes:
        listed = ", ".join(
            f"{change.key} is {change.old} (here {change.new})" for change in changes
        )
        sets = " ".join(f"--set {change.key}={to_yaml(change.old)}" for change in changes)
        raise ConfigError(
            f"{config.training.init_from}: its {listed}; fine-tuning takes text and weights as "
            f"they are: {sets}"
        )


def to_yaml(value: object) -> str:
    """A value as `--set` reads it."""
    return json.dumps(value) if not isinstance(value, str) else value


def _list(directions: tuple[Direction, ...]) -> str:
    return f"[{', '.join(map(str, directions))}]"


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
