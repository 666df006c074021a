"""Fitting a model: consume the loop, validate, keep the best and the last, stop early, resume."""

import sys
import time
from collections.abc import Callable, Iterator
from typing import NamedTuple

import torch
from torch import Tensor

from s2s_cli.checkpoint import LoadedModel, TrainingState, save_model
from s2s_cli.config import Decoding, Training
from s2s_cli.data.batch import collate
from s2s_cli.data.corpus import Corpus
from s2s_cli.data.tokenized import EncodedCorpus
from s2s_cli.decoding.translator import Translator
from s2s_cli.run import RunFolder
from s2s_cli.scoring.metrics import ScoringSettings, score_corpus
from s2s_cli.training.loop import BEGINNING, Position, Progress, train
from s2s_cli.training.loss import measure_tokens
from s2s_cli.training.optimizer import make_optimizer, optimizer_tensors, restore_optimizer

GREEDY = Decoding(beam_size=1, length_penalty=0.0)
"""Validation decodes greedily: it ranks checkpoints, and it must be quick."""


class Material(NamedTuple):
    """What a model is fitted to and chosen by."""

    train: EncodedCorpus
    valid: EncodedCorpus
    valid_text: Corpus
    """The same pairs as `valid`, as text."""
    scoring: ScoringSettings


class Record(NamedTuple):
    """What a run remembers besides tensors; saved as JSON with every checkpoint."""

    position: Position = BEGINNING
    best_score: float = -1.0
    best_loss: float = sys.float_info.max
    """Valid loss at the best score; of equal scores (0 or 100, often) the lower loss is better."""
    best_epoch: int = 0
    num_worse: int = 0
    """Validations since the best."""
    epoch_loss: float = 0.0
    """Sum over the target tokens of the present epoch so far."""
    epoch_tokens: int = 0
    epoch_seconds: float = 0.0
    """Seconds of updates in the present epoch, validation and saving not counted."""
    valid_scores: dict[str, float] = {}  # noqa: RUF012 (never changed, only replaced)
    """Of the latest validation."""


class Validation(NamedTuple):
    """What an epoch came to."""

    epoch: int
    """From 1."""
    step: int
    train_loss: float
    """Nats per real target token, label smoothing and dropout included."""
    loss: float
    perplexity: float
    accuracy: float
    bleu: float
    is_best: bool
    learning_rate: float
    tokens_per_second: float
    """Real target tokens per second of updates."""
    seconds: float
    """Of the epoch's updates."""
    valid_seconds: float
    example: tuple[str, str, str]
    """Source, reference and present translation of one validation sentence."""


class Fit:
    """A model on its way: weights, optimizer and record of one run folder."""

    def __init__(
        self, loaded: LoadedModel, material: Material, config: Training, run: RunFolder
    ) -> None:
        """Begin with `loaded.model` as it is, on the device where it is."""
        self.loaded = loaded
        self.material = material
        self.config = config
        self.run = run
        self.record = Record()
        self.device = next(loaded.model.parameters()).device
        self.optimizer = make_optimizer(loaded.model.parameters(), config)

    def restore(self, state: TrainingState) -> None:
        """Go on where a checkpoint stopped; its weights are already in the model."""
        facts = dict(state.facts)
        self.record = Record(**{**facts, "position": Position(**facts["position"])})
        restore_optimizer(self.optimizer, state.tensors)
        restore_random_state(state.tensors, self.device)

    def is_finished(self) -> bool:
        """Whether the last epoch is done or patience is at its end."""
        done, worse = self.record.position.epoch, self.record.num_worse
        return done >= self.config.epochs or worse >= self.config.patience

    def steps(self, should_stop: Callable[[], bool]) -> Iterator[Progress | Validation]:
        """Train to the end, or until `should_stop`; saved either way when the iterator ends."""
        if self.is_finished():
            return
        if self.record.position.step == 0:
            # Before the first update: a disk that is full or read-only shows now, not in an hour.
            self._save_last()
        updates = train(
            self.loaded.model,
            self.material.train.pairs,
            self.optimizer,
            self.config,
            self.record.position,
        )
        for progress in updates:
            self._count(progress)
            yield progress
            if progress.is_epoch_end:
                yield from self._end_epoch(progress)
                if self.is_finished() or should_stop():
                    return
            elif should_stop():
                self._save_last()
                return
            elif progress.position.step % self.config.save_every == 0:
                self._save_last()

    def _count(self, progress: Progress) -> None:
        self.record = self.record._replace(
            position=progress.position,
            epoch_loss=self.record.epoch_loss + progress.loss,
            epoch_tokens=self.record.epoch_tokens + progress.num_tokens,
            epoch_seconds=self.record.epoch_seconds + progress.seconds,
        )

    def _end_epoch(self, progress: Progress) -> Iterator[Validation]:
        validation = self._validate(progress)
        improved = validation.is_best
        self.record = Record(
            position=Position(progress.position.epoch + 1, 0, progress.position.step),
            best_score=validation.bleu if improved else self.record.best_score,
            best_loss=validation.loss if improved else self.record.best_loss,
            best_epoch=validation.epoch if improved else self.record.best_epoch,
            num_worse=0 if improved else self.record.num_worse + 1,
            valid_scores={
                "bleu": validation.bleu,
                "loss": validation.loss,
                "perplexity": validation.perplexity,
                "accuracy": validation.accuracy,
            },
        )
        # Told before it is saved: a log may say too much, which resuming takes back, never too
        # little. And the best model before the last: should the process end between
        # the two, the run resumes from before this epoch's end and comes to the same best again.
        yield validation
        if improved:
            save_model(self.run.model_path, self._present())
        self._save_last()

    def _validate(self, progress: Progress) -> Validation:
        started = time.perf_counter()
        model, config = self.loaded.model, self.config
        model.eval()
        size = config.batch_size
        pairs = sorted(self.material.valid.pairs, key=lambda pair: len(pair[1]))
        measures = measure_tokens(
            model,
            (collate(pairs[i : i + size]).to(self.device) for i in range(0, len(pairs), size)),
        )
        text = self.material.valid_text
        translator = Translator(model, self.loaded.src, self.loaded.tgt, self.device)
        translations = translator.translate(text.src, GREEDY)
        hypotheses = [translation.text for translation in translations]
        bleu = score_corpus(["bleu"], hypotheses, [text.tgt], self.material.scoring)[0].value
        shown = progress.position.epoch % len(text)
        record = self.record
        return Validation(
            epoch=progress.position.epoch + 1,
            step=progress.position.step,
            train_loss=record.epoch_loss / record.epoch_tokens,
            loss=measures.loss,
            perplexity=measures.perplexity,
            accuracy=measures.accuracy,
            bleu=bleu,
            is_best=(bleu, -measures.loss) > (record.best_score, -record.best_loss),
            learning_rate=progress.learning_rate,
            tokens_per_second=record.epoch_tokens / record.epoch_seconds,
            seconds=record.epoch_seconds,
            valid_seconds=time.perf_counter() - started,
            example=(text.src[shown], text.tgt[shown], hypotheses[shown]),
        )

    def _present(self) -> LoadedModel:
        """The model as it is now, with a card that says how far it is."""
        card = self.loaded.card.model_copy(
            update={
                "epoch": self.record.position.epoch,
                "step": self.record.position.step,
                "valid_scores": self.record.valid_scores,
            }
        )
        return self.loaded._replace(card=card)

    def _save_last(self) -> None:
        """Write a checkpoint of now, and only then remove the oldest."""
        facts = {**self.record._asdict(), "position": self.record.position._asdict()}
        tensors = optimizer_tensors(self.optimizer) | random_state(self.device)
        folder = self.run.checkpoint_path(self.record.position.step)
        save_model(folder, self._present(), TrainingState(tensors, facts))
        self.run.remove_old_checkpoints()


def random_state(device: torch.device) -> dict[str, Tensor]:
    """PyTorch's random states as tensors."""
    state = {"random.cpu": torch.get_rng_state()}
    if device.type == "cuda":
        state["random.cuda"] = torch.cuda.get_rng_state(device)
    if device.type == "mps":
        state["random.mps"] = torch.mps.get_rng_state()
    return state


def restore_random_state(tensors: dict[str, Tensor], device: torch.device) -> None:
    """Put back what `random_state` gave."""
    torch.set_rng_state(tensors["random.cpu"])
    if device.type == "cuda" and "random.cuda" in tensors:
        torch.cuda.set_rng_state(tensors["random.cuda"], device)
    if device.type == "mps" and "random.mps" in tensors:
        torch.mps.set_rng_state(tensors["random.mps"])
