"""The layout of a run folder, `runs/<name>/`.

config.yaml     the recipe, with every override
run.json        the command, the machine, the versions
vocab/          src.tsv, tgt.tsv, vocab.json; with subwords src.model, tgt.model
data/           the training pairs as token ids; built again when they are out of date
model/          the best model so far: everything that translation needs
checkpoints/    step-N: the latest models, each with the state of its training
epochs/         epoch-N: models of the epochs that will be averaged, if any
train.jsonl     one JSON object per validation, and per `training.log_every` updates
reports/        results of `s2s eval`
"""

import re
from pathlib import Path
from typing import Annotated, NamedTuple

from pydantic import Field

from s2s_cli.errors import CheckpointError, DataError, S2SError
from s2s_cli.section import Section
from s2s_cli.storage.atomic import clear_debris, remove_folder
from s2s_cli.storage.checksummed import (
    is_checksummed,
    parse_json,
    read_checksummed,
    read_saved_at,
    to_json,
    write_checksummed,
)
from s2s_cli.text.normalize import Form, Script
from s2s_cli.text.subwords import SubwordPair, Subwords
from s2s_cli.text.vocabulary import Vocabulary

RUNS = Path("runs")

VOCABULARIES, SUBWORDS, VOCAB_CARD = (
    ("src.tsv", "tgt.tsv"),
    ("src.model", "tgt.model"),
    "vocab.json",
)
"""Files of the vocabulary folder."""

KEPT_CHECKPOINTS = 2
"""The latest, and one to fall back on if that is damaged."""

VOCAB_FORMAT = 3
"""Raised when s2s starts to make other tokens of the same text."""


class VocabularyCard(Section):
    """What a pair of vocabularies was built from: `vocab/vocab.json`."""

    format: int = VOCAB_FORMAT
    """Version of the folder's layout."""
    src_lang: str
    """Source language."""
    tgt_lang: str
    """Target language."""
    normalize: Form = "nfc"
    """Unicode normalisation form of the text."""
    chinese: Script = "keep"
    """Script that Chinese text was converted to."""
    src_tokenizer: str
    """Resolved; `auto` only where it means different tokenisers for several directions."""
    tgt_tokenizer: str
    """The same for the target side."""
    lowercase: bool
    """Whether the text was lower-cased."""
    max_size: int
    """Maximum number of entries of each side."""
    min_freq: int
    """Minimum frequency of an entry."""
    trained_on: list[str]
    """SHA-256 of the training files, in order."""
    src_subword: str = "none"
    """What splits words into pieces: `bpe`, `unigram` or `none`."""
    tgt_subword: str = "none"
    """The same for the target side."""
    shared: bool = False
    """Whether both sides have one vocabulary."""
    character_coverage: float | None = None
    """Share of running characters covered by subwords, if the recipe sets it."""
    directions: Annotated[tuple[str, ...], Field(strict=False)] = ()
    """Such as `de-en`, if there are several; both languages are `mul` then."""

    def describe_tokens(self) -> tuple[str, str]:
        """Return how source and target are tokenised, as in `jieba + bpe`."""
        src, tgt = (
            tokenizer if subword == "none" else f"{tokenizer} + {subword}"
            for tokenizer, subword in (
                (self.src_tokenizer, self.src_subword),
                (self.tgt_tokenizer, self.tgt_subword),
            )
        )
        return src, tgt


class Vocabularies(NamedTuple):
    """The vocabularies of source and target, with their subwords and their origin."""

    src: Vocabulary
    tgt: Vocabulary
    card: VocabularyCard
    subwords: SubwordPair = (None, None)


class RunFolder:
    """Paths of a run, and the operations on its folder."""

    def __init__(self, path: Path) -> None:
        """Name the folder; nothing is created."""
        self.path = path
        self.config_path = path / "config.yaml"
        self.facts_path = path / "run.json"
        self.vocab_path = path / "vocab"
        self.data_path = path / "data"
        self.model_path = path / "model"
        self.log_path = path / "train.jsonl"
        self.reports_path = path / "reports"
        self._checkpoints_path = path / "checkpoints"
        self._epochs_path = path / "epochs"

    def checkpoint_path(self, step: int) -> Path:
        """The checkpoint of a step."""
        return self._checkpoints_path / f"step-{step:08d}"

    def checkpoints(self) -> list[Path]:
        """List the complete checkpoints, newest step first."""
        found = self._checkpoints_path.glob("step-*")
        return sorted((path for path in found if is_checksummed(path)), reverse=True)

    def epoch_path(self, epoch: int) -> Path:
        """The model of an epoch, kept for averaging."""
        return self._epochs_path / f"epoch-{epoch:04d}"

    def epochs(self) -> list[Path]:
        """List the complete models of epochs, oldest first."""
        return sorted(filter(is_checksummed, self._epochs_path.glob("epoch-*")))

    def remove_old_checkpoints(self) -> None:
        """Keep the newest `KEPT_CHECKPOINTS` checkpoints and delete the others."""
        for path in self.checkpoints()[KEPT_CHECKPOINTS:]:
            remove_folder(path)

    def repair(self) -> None:
        """Remove what killed processes left behind; the caller holds the lock of the run."""
        reports = self.reports_path.glob("*")
        folders = self.path, self.data_path, self._checkpoints_path, self._epochs_path
        for folder in (*folders, *reports):
            clear_debris(folder)

    def set_aside(self) -> Path | None:
        """Move an earlier training to `<path>.bak-N`; the vocabularies stay.

        Returns:
            The new folder, or None if there was no training.
        """
        training = (
            self.model_path,
            self._checkpoints_path,
            self._epochs_path,
            self.log_path,
            self.config_path,
            self.facts_path,
            self.reports_path,
        )
        found = [path for path in training if path.exists()]
        if not found:
            return None
        number, path = 1, self.path if self.path.name else self.path.absolute()
        while (backup := path.with_name(f"{path.name}.bak-{number}")).exists():
            number += 1
        backup.mkdir()
        for part in found:
            part.rename(backup / part.name)
        return backup

    def save_vocabularies(self, vocabularies: Vocabularies) -> None:
        """Write the vocabularies, their subwords if they have any, and their card."""
        src, tgt, card, subwords = vocabularies
        files = format_vocabularies(src, tgt, subwords)
        files[VOCAB_CARD] = to_json(card.model_dump())
        write_checksummed(self.vocab_path, files, {})

    def has_vocabularies(self) -> bool:
        """Whether a complete pair of vocabularies is here."""
        return is_checksummed(self.vocab_path)

    def load_vocabularies(self) -> Vocabularies:
        """Read what `save_vocabularies` wrote.

        Raises:
            DataError: a file is missing or malformed.
        """
        if not self.has_vocabularies():
            raise DataError(
                f"{self.vocab_path}: no vocabularies here; `s2s vocab build` makes them"
            )
        try:
            files = read_checksummed(self.vocab_path, (*VOCABULARIES, VOCAB_CARD), SUBWORDS)
            tree = parse_json(files[VOCAB_CARD], self.vocab_path / VOCAB_CARD)
            found = tree.get("format", 1) if isinstance(tree, dict) else VOCAB_FORMAT
            if found == VOCAB_FORMAT:
                return _parse_vocabularies(self.vocab_path, files)
        except (S2SError, ValueError) as error:
            reason = " ".join(str(error).split())
            raise DataError(
                f"{self.vocab_path}: damaged ({reason}); build them again with `s2s vocab build`"
            ) from error
        raise DataError(
            f"{self.vocab_path}: format {found}, this s2s reads format {VOCAB_FORMAT}; build the "
            "vocabularies again with `s2s vocab build` and train with --fresh, or use the version "
            "of s2s that wrote them"
        )


def _parse_vocabularies(folder: Path, files: dict[str, bytes]) -> Vocabularies:
    card = VocabularyCard.model_validate_json(files[VOCAB_CARD])
    src, tgt = parse_vocabularies(folder, files)
    kinds = (card.src_subword, card.tgt_subword)
    subwords = parse_subwords(folder, files, kinds, (src, tgt), VOCAB_CARD)
    return Vocabularies(src, tgt, card, subwords)


def format_vocabularies(
    src: Vocabulary, tgt: Vocabulary, subwords: SubwordPair
) -> dict[str, bytes]:
    """Return the content of the files of two vocabularies and their subwords, by name."""
    files = {VOCABULARIES[0]: src.to_tsv().encode(), VOCABULARIES[1]: tgt.to_tsv().encode()}
    for name, model in zip(SUBWORDS, subwords, strict=True):
        if model is not None:
            files[name] = model.content
    return files


def parse_vocabularies(folder: Path, files: dict[str, bytes]) -> tuple[Vocabulary, Vocabulary]:
    """Parse the vocabularies among the files of a folder.

    Raises:
        DataError: a vocabulary is malformed.
        UnicodeDecodeError: a vocabulary is not UTF-8.
    """
    src, tgt = (
        Vocabulary.from_tsv(files[name].decode(), str(folder / name)) for name in VOCABULARIES
    )
    return src, tgt


def parse_subwords(
    folder: Path,
    files: dict[str, bytes],
    kinds: tuple[str, str],
    vocabularies: tuple[Vocabulary, Vocabulary],
    card_name: str,
) -> SubwordPair:
    """Parse the subwords of source and target among the files of a folder.

    Args:
        folder: named in messages.
        files: content by name.
        kinds: `bpe`, `unigram` or `none`.
        vocabularies: of source and target, which the subwords must fit.
        card_name: name of the file that says the kinds.

    Raises:
        DataError: subwords are missing or malformed, or do not fit their vocabulary.
    """
    pair: list[Subwords | None] = []
    for name, kind, vocabulary in zip(SUBWORDS, kinds, vocabularies, strict=True):
        path = folder / name
        if kind == "none":
            pair.append(None)
            continue
        if name not in files:
            raise DataError(f"{path}: missing, though {card_name} says {kind} subwords")
        subwords = Subwords(files[name], kind, str(path))
        subwords.check_fits(vocabulary, str(path))
        pair.append(subwords)
    return pair[0], pair[1]


def latest_run(runs: Path = RUNS) -> RunFolder:
    """Return the run whose model was saved last.

    Raises:
        CheckpointError: there is none.
    """
    models = [path / "model" for path in runs.glob("*") if is_checksummed(path / "model")]
    models = [path for path in models if not re.search(r"\.bak-\d+$", path.parent.name)]
    if not models:
        raise CheckpointError(
            f"no trained model under {runs}/; train one with `s2s train`, "
            "or name a model folder with --model"
        )
    return RunFolder(max(models, key=read_saved_at).parent)
