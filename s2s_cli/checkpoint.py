"""Read and write model folders and training checkpoints.

Both are checksummed folders (`storage/checksummed.py`): hashes are compared before anything is
parsed. Tensors are safetensors, subwords are sentencepiece models, everything else is JSON and TSV;
nothing is ever pickled. A checkpoint is a model folder with two more files for its training state.
"""

import json
from importlib.metadata import version
from pathlib import Path
from typing import Annotated, Any, NamedTuple

import safetensors.torch
import torch
from pydantic import Field, ValidationError
from safetensors import SafetensorError
from torch import Tensor

from s2s_cli.config import Decoding, Model, Text
from s2s_cli.errors import CheckpointError, DataError
from s2s_cli.model.seq2seq import Seq2Seq
from s2s_cli.run import (
    SUBWORDS,
    VOCABULARIES,
    format_vocabularies,
    parse_subwords,
    parse_vocabularies,
)
from s2s_cli.section import Section
from s2s_cli.sources import Direction, DirectionName, parse_directions
from s2s_cli.storage.checksummed import (
    parse_json,
    read_checksummed,
    sha256,
    to_json,
    write_checksummed,
)
from s2s_cli.text.subwords import SubwordPair
from s2s_cli.text.tokenizer import Codec, make_tokenizers
from s2s_cli.text.vocabulary import PAD_ID, Vocabulary, make_tag

FORMAT = 3
"""Raised when older versions of s2s cannot read the folder."""

WEIGHTS, CARD = "model.safetensors", "config.json"
TRAINING_TENSORS, TRAINING_FACTS = "training.safetensors", "training.json"
FILE_HASHES = "files"
"""Key in the metadata of the weights: SHA-256 of the vocabularies and subwords that they fit."""


class ModelCard(Section):
    """Description of a model: `config.json`."""

    format: int = FORMAT
    """Version of the folder's layout."""
    s2s_version: str
    """Version of s2s that wrote it."""
    src_lang: str
    """Source language."""
    tgt_lang: str
    """Target language."""
    text: Text
    """Tokenisers, resolved, normalisation and case."""
    model: Model
    """Architecture."""
    decoding: Decoding
    """Default search settings of `translate` and `eval`."""
    trained_on: dict[str, dict[str, str]]
    """SHA-256 by file name, for each split."""
    epoch: int
    """Number of epochs trained, including the one that is not finished."""
    step: int
    """Number of optimizer updates."""
    averaged_epochs: list[int] = []  # noqa: RUF012 (frozen)
    """Epochs whose weights were averaged; empty for the weights of a single epoch."""
    valid_scores: dict[str, float]
    """Scores on the validation set at that step."""
    directions: Annotated[tuple[DirectionName, ...], Field(strict=False)] = ()
    """Such as `de-en`, if there are several; both languages are `mul` then."""

    @property
    def all_directions(self) -> tuple[Direction, ...]:
        """The directions in which it translates."""
        return parse_directions(self.directions) or (Direction(self.src_lang, self.tgt_lang),)


class LoadedModel(NamedTuple):
    """A model with everything that is needed to use it."""

    model: Seq2Seq
    src: Codec
    """Of the first direction, like `tgt`."""
    tgt: Codec
    card: ModelCard

    def codecs_of(self, direction: Direction) -> tuple[Codec, Codec]:
        """Make the source and target codecs of one direction."""
        subwords = self.src.tokenizer.subwords, self.tgt.tokenizer.subwords
        vocabularies = self.src.vocabulary, self.tgt.vocabulary
        return make_codecs(self.card.text, *direction, *vocabularies, subwords)


class TrainingState(NamedTuple):
    """What training needs, besides the model, to resume as if it had never stopped."""

    tensors: dict[str, Tensor]
    facts: dict[str, Any]


def build_model(card_model: Model, src: Vocabulary, tgt: Vocabulary) -> Seq2Seq:
    """Create a newly initialised model for two vocabularies."""
    return Seq2Seq(card_model, len(src), len(tgt), PAD_ID)


def make_codecs(
    text: Text,
    src_lang: str,
    tgt_lang: str,
    src: Vocabulary,
    tgt: Vocabulary,
    subwords: SubwordPair = (None, None),
) -> tuple[Codec, Codec]:
    """Make the source and target codecs of a model."""
    src_tokenizer, tgt_tokenizer = make_tokenizers(text, Direction(src_lang, tgt_lang), subwords)
    return Codec(src_tokenizer, src), Codec(tgt_tokenizer, tgt)


def save_model(folder: Path, loaded: LoadedModel, training: TrainingState | None = None) -> None:
    """Write a model folder, or with `training` a checkpoint, replacing an older one.

    Raises:
        CheckpointError: the disk is full, or does not read back what was written.
        OSError: the folder cannot be written for another reason.
    """
    weights = {name: t.contiguous() for name, t in loaded.model.state_dict().items()}
    src, tgt = loaded.src, loaded.tgt
    subwords = (src.tokenizer.subwords, tgt.tokenizer.subwords)
    files = format_vocabularies(src.vocabulary, tgt.vocabulary, subwords)
    hashes = {name: sha256(content) for name, content in files.items()}
    # A single entry, because safetensors writes several in a random order.
    files[WEIGHTS] = safetensors.torch.save(weights, {FILE_HASHES: json.dumps(hashes)})
    files[CARD] = to_json(loaded.card.model_dump(mode="json"))
    if training is not None:
        files[TRAINING_TENSORS] = safetensors.torch.save(training.tensors)
        files[TRAINING_FACTS] = to_json(training.facts)
    write_checksummed(folder, files, {"torch_version": torch.__version__})


def load_model(folder: Path) -> LoadedModel:
    """Read and check the model of a model folder or checkpoint.

    Raises:
        CheckpointError: it is missing, incomplete, damaged or of another format, or its files do
            not fit together.
    """
    names = (WEIGHTS, CARD, *VOCABULARIES)
    files = read_checksummed(folder, names, optional=SUBWORDS)
    card = _parse_card(folder, files[CARD])
    src, tgt = _parse_codecs(folder, files, card)
    weights = _parse_tensors(folder / WEIGHTS, files[WEIGHTS])
    _check_file_hashes(folder, files)
    # Shapes are compared before memory is allocated: a card may ask for more than there is.
    with torch.device("meta"):
        expected = build_model(card.model, src.vocabulary, tgt.vocabulary).state_dict()
    _check_weights(folder / WEIGHTS, weights, expected)
    # The initial weights are discarded; drawing them must not advance a training's generator.
    with torch.random.fork_rng(devices=[]):
        model = build_model(card.model, src.vocabulary, tgt.vocabulary)
    model.load_state_dict(weights)
    return LoadedModel(model, src, tgt, card)


def load_text(folder: Path) -> tuple[ModelCard, SubwordPair]:
    """Read what the tokenisers of a model need: its description and its subwords.

    Raises:
        CheckpointError: as `load_model`.
    """
    files = read_checksummed(folder, (CARD, *VOCABULARIES), optional=SUBWORDS)
    card = _parse_card(folder, files[CARD])
    src, tgt = _parse_codecs(folder, files, card)
    return card, (src.tokenizer.subwords, tgt.tokenizer.subwords)


def load_card(folder: Path) -> ModelCard:
    """Read the description of a model alone.

    Raises:
        CheckpointError: it is missing, damaged or of another format.
    """
    return _parse_card(folder, read_checksummed(folder, (CARD,))[CARD])


def load_training_state(folder: Path) -> TrainingState:
    """Read the training state of a checkpoint.

    Raises:
        CheckpointError: it is missing or damaged.
    """
    files = read_checksummed(folder, (TRAINING_TENSORS, TRAINING_FACTS))
    tensors = _parse_tensors(folder / TRAINING_TENSORS, files[TRAINING_TENSORS])
    facts = parse_json(files[TRAINING_FACTS], folder / TRAINING_FACTS)
    if not isinstance(facts, dict):
        raise CheckpointError(
            f"{folder / TRAINING_FACTS}: not a training state; restore the folder from a copy"
        )
    return TrainingState(tensors, facts)


def s2s_version() -> str:
    """Return the version of the installed package."""
    return version("s2s-cli")


def _parse_card(folder: Path, content: bytes) -> ModelCard:
    tree = parse_json(content, folder / CARD)
    try:
        found = tree["format"]
        if found != FORMAT:
            raise CheckpointError(
                f"{folder / CARD}: format {found}, this s2s reads format {FORMAT}; "
                "use the version of s2s that wrote it"
            )
        card = ModelCard.model_validate(tree)
    except (ValidationError, ValueError, KeyError, TypeError) as error:
        reason = " ".join(str(error).split())
        raise CheckpointError(
            f"{folder / CARD}: not a model description ({reason}); restore the folder from a copy"
        ) from error
    if card.decoding.dictionary is not None:
        raise CheckpointError(
            f"{folder / CARD}: decoding.dictionary names a file of this machine "
            f"({card.decoding.dictionary}), which a model must not; set it to null"
        )
    return card


def _parse_codecs(folder: Path, files: dict[str, bytes], card: ModelCard) -> tuple[Codec, Codec]:
    try:
        src, tgt = parse_vocabularies(folder, files)
        kinds = (card.text.src_subword, card.text.tgt_subword)
        subwords = parse_subwords(folder, files, kinds, (src, tgt), CARD)
    except (DataError, UnicodeDecodeError) as error:
        raise CheckpointError(str(error)) from error
    tags = {make_tag(direction.tgt) for direction in parse_directions(card.directions)}
    if tags != {*src.tags}:
        raise CheckpointError(
            f"{folder / VOCABULARIES[0]}: its target language tags ({' '.join(src.tags)}) do not "
            f"match the directions in {CARD} ({', '.join(card.directions)}); restore the folder "
            "from a copy"
        )
    return make_codecs(card.text, *card.all_directions[0], src, tgt, subwords)


def _parse_tensors(path: Path, content: bytes) -> dict[str, Tensor]:
    try:
        return safetensors.torch.load(content)
    except (SafetensorError, ValueError) as error:
        raise CheckpointError(f"{path}: not a safetensors file ({error})") from error


def _check_file_hashes(folder: Path, files: dict[str, bytes]) -> None:
    """Check that vocabularies and subwords are those that the weights were saved with."""
    path, content = folder / WEIGHTS, files[WEIGHTS]
    header = json.loads(content[8 : 8 + int.from_bytes(content[:8], "little")])
    hashes = parse_json(header.get("__metadata__", {}).get(FILE_HASHES, "{}").encode(), path)
    if not (isinstance(hashes, dict) and all(isinstance(value, str) for value in hashes.values())):
        raise CheckpointError(f"{path}: its metadata names no hashes; restore it from a copy")
    for name, expected in hashes.items():
        if name in files and (actual := sha256(files[name])) != expected:
            raise CheckpointError(
                f"{folder / name}: is not the one that {WEIGHTS} was trained with (SHA-256 "
                f"{actual[:12]}, not {expected[:12]}); restore the folder from a copy"
            )


def _check_weights(path: Path, found: dict[str, Tensor], expected: dict[str, Tensor]) -> None:
    for name in sorted(found.keys() ^ expected.keys()):
        problem = "is missing" if name in expected else f"is none of the model in {CARD}"
        raise CheckpointError(
            f"{path}: the tensor {name} {problem}; restore the folder from a copy"
        )
    for name, tensor in expected.items():
        if found[name].shape != tensor.shape or found[name].dtype != tensor.dtype:
            raise CheckpointError(
                f"{path}: {name} is {tuple(found[name].shape)} {found[name].dtype}, but {CARD} "
                f"and the vocabularies require {tuple(tensor.shape)} {tensor.dtype}; restore the "
                "folder from a copy"
            )
        if not bool(found[name].isfinite().all()):
            raise CheckpointError(
                f"{path}: {name} holds values that are not finite; restore the folder from a copy"
            )
