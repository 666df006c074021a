"""A small training for several tests."""

from collections.abc import Iterable
from pathlib import Path

import torch

from s2s_cli.checkpoint import LoadedModel, ModelCard, build_model, make_codecs
from s2s_cli.config import Decoding, Model, Text, Training
from s2s_cli.data.pairs import Row
from s2s_cli.parallel import SINGLE_PROCESS, Ranks
from s2s_cli.run import RunFolder
from s2s_cli.scoring.metrics import ScoringSettings
from s2s_cli.sources import Direction
from s2s_cli.text.vocabulary import Vocabulary
from s2s_cli.training.log import Validation
from s2s_cli.training.loop import Progress
from s2s_cli.training.resume import find_resumable
from s2s_cli.training.trainer import Trainer
from s2s_cli.training.training_data import TrainingData, ValidText

WORDS = ["甲", "乙", "丙", "丁"]
LETTERS = ["a", "b", "c", "d"]
TEXT = Text(src_tokenizer="space", tgt_tokenizer="space")
MODEL = Model(embed_size=8, hidden_size=16, attention_size=8, dropout=0.2)
CARD = ModelCard(
    s2s_version="0",
    src_lang="zh",
    tgt_lang="en",
    text=TEXT,
    model=MODEL,
    decoding=Decoding(),
    trained_on={"train": {"t": "1"}, "valid": {"v": "2"}},
    epoch=0,
    step=0,
    valid_scores={},
)


def make_rows(numbers: Iterable[int]) -> list[Row]:
    rows = [[(n + shift * shift) % 4 for shift in range(1 + n % 3)] for n in numbers]
    return [(" ".join(WORDS[i] for i in row), " ".join(LETTERS[i] for i in row)) for row in rows]


def make_trainer(
    folder: Path, config: Training, model: Model = MODEL, ranks: Ranks = SINGLE_PROCESS
) -> Trainer:
    """Make a small trainer, which resumes from the newest checkpoint of its folder."""
    run = RunFolder(folder)
    torch.manual_seed(config.seed)
    train, valid = make_rows(range(50)), make_rows(range(3, 13))
    src, tgt = Vocabulary(WORDS, [1] * 4), Vocabulary(LETTERS, [1] * 4)
    loaded = LoadedModel(
        build_model(model, src, tgt),
        *make_codecs(TEXT, "zh", "en", src, tgt),
        CARD.model_copy(update={"model": model}),
    )
    resumable = find_resumable(run, [])
    if resumable is not None:
        loaded = resumable.loaded
    encoded = [
        [(loaded.src.encode(row[0]), loaded.tgt.encode(row[1])) for row in rows]
        for rows in (train, valid)
    ]
    texts = [ValidText(Direction("zh", "en"), valid, ScoringSettings("en"))]
    trainer = Trainer(loaded, TrainingData(*encoded, texts), config, run, ranks)
    if resumable is not None:
        trainer.restore(resumable.state)
    return trainer


def finish(trainer: Trainer, stop_after: int | None = None) -> list[Validation]:
    """Train to the end, or until a step; return the validations."""
    validations = []
    for event in trainer.train(lambda: trainer.record.position.step == stop_after):
        if not isinstance(event, Progress):
            validations.append(event)
    return validations


CONFIG = Training(epochs=3, batch_size=8, learning_rate=0.02, teacher_forcing=0.7, save_every=4)


def weights_of(folder: Path) -> bytes:
    return (folder / "model.safetensors").read_bytes()
