"""Fitting a model: consume the loop, validate, keep the best and the last, stop early, resume."""

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import cast

from s2s_cli.checkpoint import LoadedModel, TrainingState, load_card, load_model, save_model
from s2s_cli.config import Training
from s2s_cli.model.seq2seq import Seq2Seq
from s2s_cli.run import RunFolder
from s2s_cli.training.average import (
    make_moving_average,
    mean_weights,
    moving_average_tensors,
    restore_moving_average,
)
from s2s_cli.training.loop import Lessons, Position, Progress, train
from s2s_cli.training.optimizer import make_optimizer, optimizer_tensors, restore_optimizer
from s2s_cli.training.randomness import random_state, restore_random_state
from s2s_cli.training.record import Averaging, Record, Validation
from s2s_cli.training.validate import Material, Measures, validate


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
        if config.kernels == "plain":
            loaded.model.compute_plainly()
        self.device = next(loaded.model.parameters()).device
        self.optimizer = make_optimizer(loaded.model.parameters(), config)
        self.moving = make_moving_average(loaded.model, config.ema) if config.ema else None

    def restore(self, state: TrainingState) -> None:
        """Go on where a checkpoint stopped; its weights are already in the model."""
        facts = dict(state.facts)
        self.record = Record(**{**facts, "position": Position(**facts["position"])})
        restore_optimizer(self.optimizer, state.tensors)
        if self.moving is not None:
            restore_moving_average(self.moving, state.tensors)
        restore_random_state(state.tensors, self.device)

    def has_trained(self) -> bool:
        """Whether the last epoch is done or patience is at its end."""
        done, worse = self.record.position.epoch, self.record.num_worse
        return done >= self.config.epochs or worse >= self.config.patience

    def is_finished(self) -> bool:
        """Whether there is nothing left to do, averaging included."""
        return self.has_trained() and (self.config.average == 1 or self.record.is_averaged)

    def steps(self, should_stop: Callable[[], bool]) -> Iterator[Progress | Validation | Averaging]:
        """Train to the end, or until `should_stop`; saved either way when the iterator ends."""
        if not self.has_trained():
            yield from self._train(should_stop)
        if self.has_trained() and not self.is_finished() and not should_stop():
            yield self._average_epochs()

    def _train(self, should_stop: Callable[[], bool]) -> Iterator[Progress | Validation]:
        if self.record.position.step == 0:
            # Before the first update: a disk that is full or read-only shows now, not in an hour.
            self._save_last()
        updates = train(
            self.loaded.model,
            Lessons(self.material.pairs_of, self.material.train_weights),
            self.optimizer,
            self.config,
            self.record.position,
            lambda: self.record.num_decays,
        )
        for progress in updates:
            self._count(progress)
            yield progress
            if progress.is_epoch_end:
                yield from self._end_epoch(progress)
                if self.has_trained() or should_stop():
                    return
            elif should_stop():
                self._save_last()
                return
            elif progress.position.step % self.config.save_every == 0:
                self._save_last()

    def _count(self, progress: Progress) -> None:
        if self.moving is not None:
            self.moving.update_parameters(self.loaded.model)
        self.record = self.record._replace(
            position=progress.position,
            epoch_loss=self.record.epoch_loss + progress.loss,
            epoch_tokens=self.record.epoch_tokens + progress.num_tokens,
            epoch_seconds=self.record.epoch_seconds + progress.seconds,
        )

    def _end_epoch(self, progress: Progress) -> Iterator[Validation]:
        measures = validate(self.judged(), self.material, self.config)
        improved = self._is_better(measures)
        validation = self._describe(progress, measures, improved)
        record = self.record
        num_flat = 0 if improved else record.num_flat + 1
        is_plateau = num_flat > self.config.decay_patience
        position = Position(progress.position.epoch + 1, 0, progress.position.step)
        self.record = Record(
            position=position,
            best_score=record.best_score,
            best_loss=record.best_loss,
            best_epoch=record.best_epoch,
            averaged_epochs=record.averaged_epochs,
            num_worse=record.num_worse + 1,
            num_decays=record.num_decays + is_plateau,
            num_flat=0 if is_plateau else num_flat,
            valid_scores=measures.scores(),
        )
        if improved:
            self._note_best(measures)
        # Told before it is saved: a log may say too much, which resuming takes back, never too
        # little. And the best model before the last: should the process end between
        # the two, the run resumes from before this epoch's end and comes to the same best again.
        yield validation
        if improved:
            save_model(self.run.model_path, self.judged())
        if self.config.average > 1:
            save_model(self.run.epoch_path(position.epoch), self.judged())
            self._drop_epochs()
        self._save_last()

    def _average_epochs(self) -> Averaging:
        """Try the mean of the kept epochs' weights; it becomes the model if it is better."""
        kept = [load_model(path) for path in self._epochs_to_average()]
        averaged = self.judged()
        former = averaged.model.state_dict()
        former = {name: tensor.clone() for name, tensor in former.items()}
        averaged.model.load_state_dict(mean_weights([one.model.state_dict() for one in kept]))
        measures = validate(averaged, self.material, self.config)
        improved = self._is_better(measures)
        epochs = [one.card.epoch for one in kept]
        if improved:
            # How long the single epochs have not got better stays as it is: it ended the training.
            num_worse = self.record.num_worse
            self.record = self.record._replace(valid_scores=measures.scores())
            self._note_best(measures)
            self.record = self.record._replace(num_worse=num_worse, averaged_epochs=epochs)
            save_model(self.run.model_path, self.judged())
        averaged.model.load_state_dict(former)
        self.record = self.record._replace(is_averaged=True)
        self._save_last()
        return Averaging(
            epochs,
            self.record.position.step,
            **measures.scores(),
            is_best=improved,
        )

    def _epochs_to_average(self) -> list[Path]:
        """Folders of the last or of the best epochs, as many as are asked for, oldest first."""
        folders = self.run.epochs()
        if self.config.average_of == "best":
            sign = -1 if self.config.best_by == "perplexity" else 1
            folders.sort(key=lambda path: sign * load_card(path).valid_scores[self.config.best_by])
        return sorted(folders[-self.config.average :])

    def _drop_epochs(self) -> None:
        for folder in set(self.run.epochs()) - set(self._epochs_to_average()):
            self.run.remove(folder)

    def _is_better(self, measures: Measures) -> bool:
        found = (measures.rank(self.config.best_by), -measures.loss)
        return found > (self.record.best_score, -self.record.best_loss)

    def _note_best(self, measures: Measures) -> None:
        self.record = self.record._replace(
            best_score=measures.rank(self.config.best_by),
            best_loss=measures.loss,
            best_epoch=self.record.position.epoch,
            num_worse=0,
            averaged_epochs=[],
        )

    def _describe(self, progress: Progress, measures: Measures, improved: bool) -> Validation:
        record = self.record
        shown = progress.position.epoch % len(measures.hypotheses)
        source, reference = self.material.valid_pair(shown)
        return Validation(
            epoch=progress.position.epoch + 1,
            step=progress.position.step,
            train_loss=record.epoch_loss / record.epoch_tokens,
            **measures.scores(),
            is_best=improved,
            learning_rate=progress.learning_rate,
            tokens_per_second=record.epoch_tokens / record.epoch_seconds,
            seconds=record.epoch_seconds,
            valid_seconds=measures.seconds,
            example=(source, reference, measures.hypotheses[shown]),
        )

    def judged(self) -> LoadedModel:
        """The model that is validated and kept: the moving average, if there is one."""
        present = self._present()
        if self.moving is None:
            return present
        return present._replace(model=cast("Seq2Seq", self.moving.module))

    def _present(self) -> LoadedModel:
        """The model as it is now, with a card that says how far it is."""
        card = self.loaded.card.model_copy(
            update={
                "epoch": self.record.position.epoch,
                "step": self.record.position.step,
                "averaged_epochs": self.record.averaged_epochs,
                "valid_scores": self.record.valid_scores,
            }
        )
        return self.loaded._replace(card=card)

    def _save_last(self) -> None:
        """Write a checkpoint of now, and only then remove the oldest."""
        facts = {**self.record._asdict(), "position": self.record.position._asdict()}
        tensors = optimizer_tensors(self.optimizer) | random_state(self.device)
        if self.moving is not None:
            tensors |= moving_average_tensors(self.moving)
        folder = self.run.checkpoint_path(self.record.position.step)
        save_model(folder, self._present(), TrainingState(tensors, facts))
        self.run.remove_old_checkpoints()
