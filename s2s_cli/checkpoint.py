"""The only reader and writer of model folders and training checkpoints.

Both are sealed folders (`sealed.py`): hashes are checked before anything is parsed. Tensors are
safetensors, subwords are sentencepiece models, all else is JSON and TSV: nothing is ever pickled.
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
from s2s_cli.section import Section
from s2s_cli.sources import Direction, DirectionName, parse_directions
from s2s_cli.storage.checksummed import parse_json, read_sealed, sha256, to_json, write_sealed
from s2s_cli.text.subwords import SubwordPair, Subwords
from s2s_cli.text.tokenizer import Codec, make_tokenizers
from s2s_cli.text.vocabulary import PAD_ID, Vocabulary, make_tag

FORMAT = 3
"""Raised when older versions of s2s cannot read what this one writes."""

WEIGHTS = "model.safetensors"
CARD = "config.json"
VOCABULARIES = ("src.tsv", "tgt.tsv")
SUBWORDS = ("src.model", "tgt.model")
COMPANY = "files"
"""In the metadata of the weights: hashes of the vocabularies and subwords they go with."""
TRAINING_TENSORS = "training.safetensors"
TRAINING_FACTS = "training.json"


class ModelCard(Section):
    """All that a model folder says about its model: `config.json`."""

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
    """Search settings that `translate` and `eval` start from."""
    trained_on: dict[str, dict[str, str]]
    """For each split, its files and their SHA-256."""
    epoch: int
    """Epochs trained, the present one included."""
    step: int
    """Updates trained."""
    averaged_epochs: list[int] = []  # noqa: RUF012 (frozen)
    """Epochs whose weights' mean this is; empty if it is a single epoch."""
    valid_scores: dict[str, float]
    """Measures on the validation set at that step."""
    directions: Annotated[tuple[DirectionName, ...], Field(strict=False)] = ()
    """If there are several, such as `de-en`; both languages are `mul` then."""

    @property
    def all_directions(self) -> tuple[Direction, ...]:
        """What it translates into what."""
        return parse_directions(self.directions) or (Direction(self.src_lang, self.tgt_lang),)


class LoadedModel(NamedTuple):
    """A model with everything needed to use it."""

    model: Seq2Seq
    src: Codec
    """Of the first direction, if there are several."""
    tgt: Codec
    card: ModelCard

    def codecs_of(self, direction: Direction) -> tuple[Codec, Codec]:
        """Source and target text tools of one direction."""
        subwords = self.src.tokenizer.subwords, self.tgt.tokenizer.subwords
        vocabularies = self.src.vocabulary, self.tgt.vocabulary
        return make_codecs(self.card.text, *direction, *vocabularies, subwords)


class TrainingState(NamedTuple):
    """What a checkpoint adds to a model folder, so that training goes on as if never stopped."""

    tensors: dict[str, Tensor]
    facts: dict[str, Any]


def build_model(card_model: Model, src: Vocabulary, tgt: Vocabulary) -> Seq2Seq:
    """A freshly initialised model for two vocabularies."""
    return Seq2Seq(card_model, len(src), len(tgt), PAD_ID)


def make_codecs(
    text: Text,
    src_lang: str,
    tgt_lang: str,
    src: Vocabulary,
    tgt: Vocabulary,
    subwords: SubwordPair = (None, None),
) -> tuple[Codec, Codec]:
    """Source and target text tools of a model."""
    src_tokenizer, tgt_tokenizer = make_tokenizers(text, Direction(src_lang, tgt_lang), subwords)
    return Codec(src_tokenizer, src), Codec(tgt_tokenizer, tgt)


def save_model(folder: Path, loaded: LoadedModel, training: TrainingState | None = None) -> None:
    """Write a model folder, replacing an older one; with `training`, a checkpoint.

    Raises:
        CheckpointError: what was written does not read back the same.
    """
    weights = {name: t.contiguous() for name, t in loaded.model.state_dict().items()}
    files = {
        VOCABULARIES[0]: loaded.src.vocabulary.to_tsv().encode(),
        VOCABULARIES[1]: loaded.tgt.vocabulary.to_tsv().encode(),
    }
    for name, codec in zip(SUBWORDS, (loaded.src, loaded.tgt), strict=True):
        if codec.tokenizer.subwords is not None:
            files[name] = codec.tokenizer.subwords.content
    company = {name: sha256(content) for name, content in files.items()}
    # One entry: safetensors writes several in an order of its own, another each time.
    files[WEIGHTS] = safetensors.torch.save(weights, {COMPANY: json.dumps(company)})
    files[CARD] = to_json(loaded.card.model_dump(mode="json"))
    if training is not None:
        files[TRAINING_TENSORS] = safetensors.torch.save(training.tensors)
        files[TRAINING_FACTS] = to_json(training.facts)
    write_sealed(folder, files, {"torch_version": torch.__version__})


def load_model(folder: Path) -> LoadedModel:
    """Read and check a model folder (or a checkpoint, as a model).

    Raises:
        CheckpointError: it is missing, incomplete, damaged, of a newer format, or does not fit
            together.
    """
    names = (WEIGHTS, CARD, *VOCABULARIES)
    files = read_sealed(folder, names, optional=SUBWORDS)
    card = _parse_card(folder, files[CARD])
    src, tgt = _parse_codecs(folder, files, card)
    weights = _parse_tensors(folder / WEIGHTS, files[WEIGHTS])
    _check_company(folder, files)
    # Shapes are compared before any memory is taken: a card may ask for more than there is.
    with torch.device("meta"):
        wanted = build_model(card.model, src.vocabulary, tgt.vocabulary).state_dict()
    _check_weights(folder / WEIGHTS, weights, wanted)
    # Its first weights are thrown away, and must cost a running training no random numbers.
    with torch.random.fork_rng(devices=[]):
        model = build_model(card.model, src.vocabulary, tgt.vocabulary)
    model.load_state_dict(weights)
    return LoadedModel(model, src, tgt, card)


def load_text(folder: Path) -> tuple[ModelCard, SubwordPair]:
    """Read what a model's tokenisers are made of: its description, and its subwords.

    Raises:
        CheckpointError: as `load_model`.
    """
    files = read_sealed(folder, (CARD, *VOCABULARIES), optional=SUBWORDS)
    card = _parse_card(folder, files[CARD])
    src, tgt = _parse_codecs(folder, files, card)
    return card, (src.tokenizer.subwords, tgt.tokenizer.subwords)


def load_card(folder: Path) -> ModelCard:
    """Read what a model folder says about its model, without the model.

    Raises:
        CheckpointError: it is missing, damaged, or of a newer format.
    """
    return _parse_card(folder, read_sealed(folder, (CARD,))[CARD])


def load_training_state(folder: Path) -> TrainingState:
    """Read what a checkpoint keeps besides the model.

    Raises:
        CheckpointError: it is missing or damaged.
    """
    files = read_sealed(folder, (TRAINING_TENSORS, TRAINING_FACTS))
    tensors = _parse_tensors(folder / TRAINING_TENSORS, files[TRAINING_TENSORS])
    facts = parse_json(files[TRAINING_FACTS], folder / TRAINING_FACTS)
    if not isinstance(facts, dict):
        raise CheckpointError(f"{folder / TRAINING_FACTS}: not the facts of a training")
    return TrainingState(tensors, facts)


def s2s_version() -> str:
    """Version of the installed package."""
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
        raise CheckpointError(f"{folder / CARD}: not a model description ({reason})") from error
    if card.decoding.dictionary is not None:
        raise CheckpointError(
            f"{folder / CARD}: decoding.dictionary names a file of this machine "
            f"({card.decoding.dictionary}), which no model of s2s does; set it to null"
        )
    return card


def _parse_codecs(folder: Path, files: dict[str, bytes], card: ModelCard) -> tuple[Codec, Codec]:
    try:
        src, tgt = (
            Vocabulary.from_tsv(files[name].decode(), str(folder / name)) for name in VOCABULARIES
        )
        subwords = (
            _parse_subwords(folder / SUBWORDS[0], files, card.text.src_subword, src),
            _parse_subwords(folder / SUBWORDS[1], files, card.text.tgt_subword, tgt),
        )
    except (DataError, UnicodeDecodeError) as error:
        raise CheckpointError(str(error)) from error
    _check_tags(folder, card, src)
    return make_codecs(card.text, *card.all_directions[0], src, tgt, subwords)


def _check_tags(folder: Path, card: ModelCard, src: Vocabulary) -> None:
    targets = {make_tag(direction.tgt) for direction in parse_directions(card.directions)}
    if targets != {*src.tags}:
        raise CheckpointError(
            f"{folder / VOCABULARIES[0]}: its tags of target languages ({' '.join(src.tags)}) are "
            f"not those of the directions in {CARD} ({', '.join(card.directions)})"
        )


def _parse_subwords(
    path: Path, files: dict[str, bytes], kind: str, vocabulary: Vocabulary
) -> Subwords | None:
    if kind == "none":
        return None
    if path.name not in files:
        raise CheckpointError(f"{path}: missing, though {CARD} says {kind} subwords")
    subwords = Subwords(files[path.name], kind, str(path))
    subwords.check_fits(vocabulary, str(path))
    return subwords


def _parse_tensors(path: Path, content: bytes) -> dict[str, Tensor]:
    try:
        return safetensors.torch.load(content)
    except (SafetensorError, ValueError) as error:
        raise CheckpointError(f"{path}: not a safetensors file ({error})") from error


def _check_company(folder: Path, files: dict[str, bytes]) -> None:
    """Vocabularies and subwords must be those that the weights were saved with."""
    for name, digest in _read_company(folder / WEIGHTS, files[WEIGHTS]).items():
        if name in files and sha256(files[name]) != digest:
            raise CheckpointError(
                f"{folder / name}: is not the one that {WEIGHTS} was trained with (SHA-256 "
                f"{sha256(files[name])[:12]}, not {digest[:12]}); put the two together that belong "
                "together"
            )


def _read_company(path: Path, content: bytes) -> dict[str, str]:
    """The hashes in the metadata of a safetensors file, whose header was parsed before."""
    header = json.loads(content[8 : 8 + int.from_bytes(content[:8], "little")])
    found = parse_json(header.get("__metadata__", {}).get(COMPANY, "{}").encode(), path)
    if not (isinstance(found, dict) and all(isinstance(digest, str) for digest in found.values())):
        raise CheckpointError(f"{path}: its metadata names no hashes; restore it from a copy")
    return found


def _check_weights(path: Path, found: dict[str, Tensor], wanted: dict[str, Tensor]) -> None:
    for name in sorted(found.keys() ^ wanted.keys()):
        problem = "is missing" if name in wanted else "does not belong to this architecture"
        raise CheckpointError(f"{path}: the tensor {name} {problem}; it does not fit {CARD}")
    for name, tensor in wanted.items():
        if found[name].shape != tensor.shape or found[name].dtype != tensor.dtype:
            raise CheckpointError(
                f"{path}: {name} is {tuple(found[name].shape)} {found[name].dtype}, but {CARD} "
                f"and the vocabularies ask for {tuple(tensor.shape)} {tensor.dtype}"
            )
        if not bool(found[name].isfinite().all()):
            raise CheckpointError(f"{path}: {name} holds values that are not finite")
