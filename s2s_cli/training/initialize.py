"""Initial weights from a pretrained model or from pretrained word vectors.

Vectors are in the text format of word2vec and fastText: a first line `number width`, which GloVe's
files lack, then one line per word with the word and its numbers, separated by spaces.
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
    """How much of a vocabulary a file of vectors covers."""

    num_found: int
    num_entries: int
    share: float
    """Share of the running tokens of the training text, 0 to 1."""
    num_not_utf8: int
    """Number of words skipped because they are not UTF-8."""


def fill_embeddings(table: Tensor, vocabulary: Vocabulary, path: Path, key: str) -> VectorCoverage:
    """Overwrite the embeddings of the words that a file of vectors has.

    Args:
        table: embeddings `(vocab, embed)`, changed in place.
        vocabulary: its ids are the rows of the table.
        path: the file, plain or `.gz`.
        key: the key of the recipe that names the file, for messages.

    Raises:
        DataError: the file is missing or malformed, or not UTF-8.
        ConfigError: the vectors have another width than the table, or no word is in the vocabulary.
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
        raise ConfigError(
            f"{key}: {path} has no word of the vocabulary; name a file for this language"
        )
    counts = dict(zip(vocabulary.tokens, vocabulary.counts, strict=True))
    total = sum(vocabulary.counts)
    share = sum(counts[word] for word in found) / total if total else 0.0
    return VectorCoverage(len(found), len(vocabulary), share, num_not_utf8)


def _read_vectors(path: Path, width: int, key: str) -> Iterator[tuple[bytes, np.ndarray]]:
    for number, line in enumerate(stream_raw_lines(path), start=1):
        if number > 1 and not line.strip():
            continue  # blank lines at the end of the file
        fields = line.rstrip(b"\r\n ").split(b" ")
        if number == 1:
            header = len(fields) == NUM_HEADER_FIELDS and all(f.isdigit() for f in fields)
            found = int(fields[1]) if header else _measure(fields, width)
            if found is None:
                raise DataError(
                    f"{path}:1: expected a word and its numbers, or the number of words and the "
                    f"width; {key} needs a file in the text format of word2vec or fastText"
                )
            if found != width:
                raise ConfigError(
                    f"{key}: the vectors of {path} have width {found}, the embeddings {width}; "
                    f"set the embed_size of this side to {found}, or name another file"
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
                f"{path}:{number}: expected a word and {width} numbers, separated by spaces"
            ) from error


def _measure(fields: list[bytes], width: int) -> int | None:
    """Return the width of the vector in a line (`width` if the word has spaces), or None."""
    for found in (len(fields) - 1, width):
        try:
            if 0 < found < len(fields) and [float(field) for field in fields[-found:]]:
                return found
        except ValueError:
            continue
    return None


MAY_DIFFER = {
    *("model.dropout", "model.embed_dropout", "model.output_dropout", "model.word_dropout"),
    *("model.src_word_dropout", "model.tgt_word_dropout"),
    *("model.variational", "model.src_vectors", "model.tgt_vectors"),
    *("text.subword_sampling", "text.tgt_subword_sampling"),
}
"""Keys that change neither the tokens nor the names and shapes of the weights."""


def adopt_vocabularies(config: Config, pretrained: LoadedModel) -> Vocabularies:
    """Return the vocabularies and subwords of a pretrained model, for this run.

    Raises:
        ConfigError: as `check_fits`.
    """
    check_fits(config, pretrained)
    trained_on = list(pretrained.card.trained_on.get("train", {}).values())
    src, tgt = pretrained.src.vocabulary, pretrained.tgt.vocabulary
    own = {
        "max_size": max(len(src), len(tgt)),
        "min_freq": 1,
        "shared": src == tgt,
        "character_coverage": None,
    }
    card = describe_vocabularies(config, trained_on).model_copy(update=own)
    subwords = pretrained.src.tokenizer.subwords, pretrained.tgt.tokenizer.subwords
    return Vocabularies(src, tgt, card, subwords)


def load_pretrained(path: str) -> LoadedModel:
    """Load the model that `training.init_from` names: a model folder, or a run folder with one.

    Raises:
        CheckpointError: there is no model, or it is damaged.
    """
    return load_model(_find_model(path))


def load_pretrained_card(path: str) -> ModelCard:
    """Load the card of that model, without its weights.

    Raises:
        CheckpointError: as `load_pretrained`.
    """
    return load_card(_find_model(path))


def _find_model(path: str) -> Path:
    folder = Path(path)
    return folder / "model" if (folder / "model").is_dir() else folder


def copy_weights(
    model: Seq2Seq, config: Config, vocabularies: Vocabularies, pretrained: LoadedModel
) -> list[str]:
    """Copy the weights of a pretrained model.

    Returns:
        Descriptions of the settings that differ between the two models.

    Raises:
        ConfigError: architecture, text settings or vocabularies differ.
    """
    check_fits(config, pretrained)
    where = config.training.init_from
    for side, ours, theirs in (
        ("source", vocabularies.src, pretrained.src.vocabulary),
        ("target", vocabularies.tgt, pretrained.tgt.vocabulary),
    ):
        if ours != theirs:
            raise ConfigError(
                f"{where}: its {side} vocabulary differs from that of the run; use a new run "
                "folder with --run DIR, which takes over the vocabularies of the model"
            )
    model.load_state_dict(pretrained.model.state_dict())
    old_direction, new_direction = pretrained.card.all_directions[0], config.data.all_directions[0]
    # With several directions, `check_fits` has found them to be the same.
    is_other = len(config.data.all_directions) == 1 and old_direction != new_direction
    languages = [f"languages {old_direction} -> {new_direction}"] if is_other else []
    changes = diff({"model": pretrained.card.model}, {"model": config.model})
    return [*languages, *(describe([change]) for change in changes)]


def check_fits(config: Config, pretrained: LoadedModel) -> None:
    """Refuse a pretrained model with another architecture, text settings or directions.

    A model of one direction may be fine-tuned on other languages.

    Raises:
        ConfigError: settings differ; the message has the options that make them the same.
    """
    card = pretrained.card
    names = ("src_tokenizer", "tgt_tokenizer")
    tokenizers = dict(zip(names, resolve_tokenizers(config), strict=True))
    text = config.text.model_copy(update=tokenizers)
    model_settings: dict[str, object] = {"text": card.text, "model": card.model}
    present_settings: dict[str, object] = {"text": text, "model": config.model}
    theirs, ours = card.all_directions, config.data.all_directions
    # With several directions, the vocabulary has a tag for each of them.
    if {*theirs} != {*ours} and max(len(theirs), len(ours)) > 1:
        model_settings["data.directions"] = _list(theirs)
        present_settings["data.directions"] = _list(ours)
    changes = diff(model_settings, present_settings, MAY_DIFFER)
    if changes:
        listed = ", ".join(
            f"{change.key} is {change.old} (here {change.new})" for change in changes
        )
        sets = " ".join(f"--set {change.key}={to_yaml(change.old)}" for change in changes)
        raise ConfigError(
            f"{config.training.init_from}: its {listed}; fine-tuning needs the same settings: "
            f"{sets}"
        )


def to_yaml(value: object) -> str:
    """Format a value for `--set`."""
    return json.dumps(value) if not isinstance(value, str) else value


def _list(directions: tuple[Direction, ...]) -> str:
    return f"[{', '.join(map(str, directions))}]"


def load_vectors(
    model: Seq2Seq, config: Config, vocabularies: Vocabularies
) -> list[tuple[str, VectorCoverage]]:
    """Initialise the embeddings from the files of word vectors that the recipe names.

    Returns:
        The key of each file, and its coverage of the vocabulary.

    Raises:
        DataError: a file is missing or malformed.
        ConfigError: the vectors have another width, or no word is in the vocabulary.
    """
    folder, found = Path(config.data.folder), []
    for key, name, embedding, vocabulary in (
        ("model.src_vectors", config.model.src_vectors, model.src_table, vocabularies.src),
        ("model.tgt_vectors", config.model.tgt_vectors, model.tgt_table, vocabularies.tgt),
    ):
        if name is not None:
            found.append((key, fill_embeddings(embedding, vocabulary, folder / name, key)))
    return found
