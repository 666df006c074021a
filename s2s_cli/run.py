"""The layout of a run folder, `runs/<name>/`.

config.yaml     the recipe, with every override
run.json        by which command, on which machine, with which versions
vocab/          src.tsv, tgt.tsv, vocab.json; with subwords src.model, tgt.model
data/           the training pairs as token ids; made anew when they are stale
model/          the best model so far: all that translating needs
checkpoints/    step-N: the last model with the state of its training
epochs/         epoch-N: models of the epochs that are averaged at the end, if any are
train.jsonl     one JSON object per validation, and per `training.log_every` updates
reports/        what `s2s eval` found
"""

import os
import re
import shutil
from pathlib import Path
from typing import Annotated, NamedTuple

from pydantic import Field

from s2s_cli.errors import CheckpointError, DataError, S2SError
from s2s_cli.section import Section
from s2s_cli.storage.checksummed import (
    is_sealed,
    parse_json,
    read_sealed,
    repair_sealed,
    saved_at,
    to_json,
    write_sealed,
)
from s2s_cli.text.normalize import Form, Script
from s2s_cli.text.subwords import SubwordPair, Subwords
from s2s_cli.text.vocabulary import Vocabulary

RUNS = Path("runs")

VOCAB_CARD, SUBWORDS = "vocab.json", ("src.model", "tgt.model")
"""In the folder of the vocabularies."""

KEPT_CHECKPOINTS = 2
"""The last, and one before it to fall back on should the last be damaged."""

DEBRIS = (
    ".tmp-config.yaml-*",
    ".tmp-run.json-*",
    ".tmp-train.jsonl-*",
    "checkpoints/.tmp-step-*",
    "checkpoints/.old-step-*",
    "epochs/.tmp-epoch-*",
    "epochs/.old-epoch-*",
    "reports/*/.tmp-*",
)
"""What interrupted writes of ours leave behind; a run folder may hold other people's files too."""


VOCAB_FORMAT = 3
"""Raised when older versions of s2s made other tokens of the same text."""


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
    """Resolved; `auto` only where the languages of several directions differ in it."""
    tgt_tokenizer: str
    """The same for the target side."""
    lowercase: bool
    """Whether the text was lower-cased."""
    max_size: int
    """Most entries a side."""
    min_freq: int
    """Least frequency of an entry."""
    trained_on: list[str]
    """SHA-256 of the training text's files, in order."""
    src_subword: str = "none"
    """What cuts the tokeniser's words into pieces: `bpe`, `unigram`, or nothing."""
    tgt_subword: str = "none"
    """The same for the target side."""
    shared: bool = False
    """Whether both sides have one vocabulary."""
    character_coverage: float | None = None
    """Share of running characters that got a subword, where the recipe says one."""
    directions: Annotated[tuple[str, ...], Field(strict=False)] = ()
    """If there are several, such as `de-en`; both languages are `mul` then."""

    def describe_tokens(self) -> tuple[str, str]:
        """What makes the tokens of source and target, as in `jieba + bpe`."""
        src, tgt = (
            tokenizer if subword == "none" else f"{tokenizer} + {subword}"
            for tokenizer, subword in (
                (self.src_tokenizer, self.src_subword),
                (self.tgt_tokenizer, self.tgt_subword),
            )
        )
        return src, tgt


class Vocabularies(NamedTuple):
    """Both sides, and where they come from."""

    src: Vocabulary
    tgt: Vocabulary
    card: VocabularyCard
    subwords: SubwordPair = (None, None)


class RunFolder(NamedTuple):
    """Where the parts of one run are."""

    path: Path

    @property
    def config_path(self) -> Path:
        """The recipe as it was run."""
        return self.path / "config.yaml"

    @property
    def facts_path(self) -> Path:
        """How the run was made."""
        return self.path / "run.json"

    @property
    def vocab_path(self) -> Path:
        """Folder of the vocabularies."""
        return self.path / "vocab"

    @property
    def data_path(self) -> Path:
        """Folder of the encoded training pairs."""
        return self.path / "data"

    @property
    def model_path(self) -> Path:
        """The best model."""
        return self.path / "model"

    @property
    def log_path(self) -> Path:
        """One JSON object per validation."""
        return self.path / "train.jsonl"

    @property
    def reports_path(self) -> Path:
        """Folder of the evaluation reports."""
        return self.path / "reports"

    def checkpoint_path(self, step: int) -> Path:
        """The checkpoint of a step."""
        return self.path / "checkpoints" / f"step-{step:08d}"

    def checkpoints(self) -> list[Path]:
        """Whole checkpoints, newest step first."""
        found = (self.path / "checkpoints").glob("step-*")
        return sorted((path for path in found if is_sealed(path)), reverse=True)

    def epoch_path(self, epoch: int) -> Path:
        """The model of an epoch, kept to be averaged."""
        return self.path / "epochs" / f"epoch-{epoch:04d}"

    def epochs(self) -> list[Path]:
        """Whole models of epochs, oldest first."""
        return sorted(path for path in (self.path / "epochs").glob("epoch-*") if is_sealed(path))

    def remove(self, folder: Path) -> None:
        """Delete one of the run's own folders; half of it is never seen by its name."""
        aside = folder.with_name(f".old-{folder.name}-{os.getpid()}")
        folder.rename(aside)
        shutil.rmtree(aside)

    def remove_old_checkpoints(self) -> None:
        """Keep the newest checkpoints, `KEPT_CHECKPOINTS` of them; the rest goes."""
        for path in self.checkpoints()[KEPT_CHECKPOINTS:]:
            self.remove(path)

    def repair(self) -> None:
        """Clear away what an interrupted save left behind."""
        for folder in (self.model_path, self.vocab_path):
            repair_sealed(folder)
        for leftover in [path for pattern in DEBRIS for path in self.path.glob(pattern)]:
            if leftover.is_dir():
                shutil.rmtree(leftover)
            else:
                leftover.unlink(missing_ok=True)

    def set_aside(self) -> Path | None:
        """Move a former training out of the way, to `<path>.bak-N`; vocabularies stay."""
        parts = [
            path
            for path in (
                self.model_path,
                self.path / "checkpoints",
                self.path / "epochs",
                self.log_path,
                self.config_path,
                self.facts_path,
                self.reports_path,
            )
            if path.exists()
        ]
        if not parts:
            return None
        number, path = 1, self.path if self.path.name else self.path.absolute()
        while (backup := path.with_name(f"{path.name}.bak-{number}")).exists():
            number += 1
        backup.mkdir()
        for part in parts:
            part.rename(backup / part.name)
        return backup

    def save_vocabularies(self, vocabularies: Vocabularies) -> None:
        """Write the tables, the subwords if there are any, and what they were built from."""
        files = {
            "src.tsv": vocabularies.src.to_tsv().encode(),
            "tgt.tsv": vocabularies.tgt.to_tsv().encode(),
            VOCAB_CARD: to_json(vocabularies.card.model_dump()),
        }
        for name, subwords in zip(SUBWORDS, vocabularies.subwords, strict=True):
            if subwords is not None:
                files[name] = subwords.content
        repair_sealed(self.vocab_path)
        write_sealed(self.vocab_path, files, {})

    def has_vocabularies(self) -> bool:
        """Whether a whole pair of vocabularies is here."""
        return is_sealed(self.vocab_path)

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
            files = read_sealed(self.vocab_path, ("src.tsv", "tgt.tsv", VOCAB_CARD), SUBWORDS)
            tree = parse_json(files[VOCAB_CARD], self.vocab_path / VOCAB_CARD)
            found = tree.get("format", 1) if isinstance(tree, dict) else VOCAB_FORMAT
            if found == VOCAB_FORMAT:
                return self._parse_vocabularies(files)
        except (S2SError, ValueError) as error:
            reason = " ".join(str(error).split())
            raise DataError(
                f"{self.vocab_path}: damaged ({reason}); build them anew with `s2s vocab build`"
            ) from error
        raise DataError(
            f"{self.vocab_path}: format {found}, this s2s reads format {VOCAB_FORMAT}; build the "
            "vocabularies again with `s2s vocab build` and train with --fresh, or use the version "
            "of s2s that wrote them"
        )

    def _parse_vocabularies(self, files: dict[str, bytes]) -> Vocabularies:
        card = VocabularyCard.model_validate_json(files[VOCAB_CARD])
        src, tgt = (
            Vocabulary.from_tsv(files[name].decode("utf-8"), str(self.vocab_path / name))
            for name in ("src.tsv", "tgt.tsv")
        )
        subwords = (
            self._load_subwords(files, SUBWORDS[0], card.src_subword, src),
            self._load_subwords(files, SUBWORDS[1], card.tgt_subword, tgt),
        )
        return Vocabularies(src, tgt, card, subwords)

    def _load_subwords(
        self, files: dict[str, bytes], name: str, kind: str, vocabulary: Vocabulary
    ) -> Subwords | None:
        if kind == "none":
            return None
        path = self.vocab_path / name
        if name not in files:
            raise DataError(f"{path}: missing, though {VOCAB_CARD} says {kind} subwords")
        subwords = Subwords(files[name], kind, str(path))
        subwords.check_fits(vocabulary, str(path))
        return subwords


def latest_run(runs: Path = RUNS) -> RunFolder:
    """The run whose model was saved last.

    Raises:
        CheckpointError: there is none.
    """
    models = [path / "model" for path in runs.glob("*") if is_sealed(path / "model")]
    models = [path for path in models if not re.search(r"\.bak-\d+$", path.parent.name)]
    if not models:
        raise CheckpointError(
            f"no trained model under {runs}/; train one with `s2s train`, "
            "or name a model folder with --model"
        )
    return RunFolder(max(models, key=saved_at).parent)
