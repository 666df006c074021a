"""Fitting a model: consume the loop, validate, keep the best and the last, stop early, resume."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import cast

from s2s_cli.checkpoint import LoadedModel, TrainingState, save_model
from s2s_cli.config import Training
from s2s_cli.errors import CheckpointError, NotFiniteError, SaveError
from s2s_cli.model.kernel_selection import select_kernels
from s2s_cli.model.seq2seq import Seq2Seq
from s2s_cli.parallel import ALONE, Ranks
from s2s_cli.run import RunFolder
from s2s_cli.storage.atomic import describe_os_error, remove_folder
from s2s_cli.training.averaging import (
    epochs_to_average,
    make_moving_average,
    take_mean,
)
from s2s_cli.training.loop import Lessons, Position, Progress, train
from s2s_cli.training.not_finite import explain_skipped, find_not_finite
from s2s_cli.training.optimizer import make_optimizer, make_scaler
from s2s_cli.training.random_state import gather_random_states, seed_rank
from s2s_cli.training.record import Averaging, Record, Validation, describe_epoch
from s2s_cli.training.state import Learner, pack_state, restore_state
from s2s_cli.training.validate import (
    Material,
    Measures,
    choose_criterion,
    find_divergence,
    validate,
)


class Fit:
    """A model on its way: weights, optimizer and record of one run folder.

    Several processes each have one, and come to the same weights and the same record. The first
    alone validates and writes.
    """

    def __init__(
        self,
        loaded: LoadedModel,
        material: Material,
        config: Training,
        run: RunFolder,
        ranks: Ranks = ALONE,
    ) -> None:
        """Begin with `loaded.model` as it is, on the device where it is."""
        self.loaded = loaded
        self.material = material
        self.config = config
        self.run = run
        self.ranks = ranks
        self.criterion = choose_criterion(config.best_by, material.valid_texts)
        self.record = Record()
        select_kernels(loaded.model, config)
        self.device = next(loaded.model.parameters()).device
        self.optimizer = make_optimizer(loaded.model.parameters(), config)
        self.scaler = make_scaler(config, self.device)
        self.moving = make_moving_average(loaded.model, config.ema) if config.ema else None
        if not ranks.is_first:
            seed_rank(config.seed, ranks.rank, 0)

    @property
    def whole_batch_size(self) -> int:
        """Size of a batch of all processes together."""
        return self.config.batch_size * self.ranks.size

    @property
    def _learner(self) -> Learner:
        ranks, size = self.ranks, self.whole_batch_size
        return Learner(self.optimizer, self.moving, self.scaler, ranks, size)

    def restore(self, state: TrainingState) -> None:
        """Go on where a checkpoint stopped; its weights are already in the model.

        If all processes together have another batch size now, the batches of the present epoch
        are others too, and it begins once more.

        Raises:
            CheckpointError: the state does not belong to this model.
        """
        try:
            self.record = restore_state(self._learner, state, self.config.seed, self.device)
        except (KeyError, TypeError, ValueError, RuntimeError) as error:
            reason = " ".join(str(error).split())[:200]
            raise CheckpointError(
                f"{self.run.path}: the training state of its checkpoint does not fit its model "
                f"({reason}); restore the folder from a copy, or train from scratch with --fresh"
            ) from error

    def has_trained(self) -> bool:
        """Whether the last epoch is done or patience is at its end."""
        done, worse = self.record.position.epoch, self.record.num_worse
        return done >= self.config.epochs or worse >= self.config.patience

    def has_diverged(self) -> bool:
        """Whether the latest validation found a loss that is much too high."""
        loss = self.record.valid_scores.get("loss")
        return loss is not None and self._find_divergence(loss) is not None

    def is_finished(self) -> bool:
        """Whether there is nothing left to do, averaging included."""
        return self.has_trained() and (self.config.average == 1 or self.record.is_averaged)

    def steps(self, should_stop: Callable[[], bool]) -> Iterator[Progress | Validation | Averaging]:
        """Train to the end, or until `should_stop`; saved either way when the iterator ends.

        Args:
            should_stop: asked after each update; what one process wants, all do.
        """

        def one_should_stop() -> bool:
            return bool(self.ranks.most(should_stop()))

        if not self.has_trained():
            yield from self._train(one_should_stop)
        if self.has_trained() and not self.is_finished() and not one_should_stop():
            yield from self._average_epochs()

    def _train(self, should_stop: Callable[[], bool]) -> Iterator[Progress | Validation]:
        if self.record.position.step == 0:
            # Before the first update: a disk that is full or read-only shows now, not in an hour.
            self._save_last()
        updates = train(
            self.loaded.model,
            Lessons(self.material.pairs_of, self.material.train_weights, self.ranks),
            self.optimizer,
            self.config,
            self.record.position,
            lambda: self.record.num_decays,
            self.scaler,
        )
        for progress in updates:
            self._count(progress)
            yield progress
            if self.record.epoch_skipped > self.config.max_skipped:
                raise self._not_finite(progress)
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
        if not progress.is_applied:
            self.record = self.record._replace(
                position=progress.position,
                epoch_skipped=self.record.epoch_skipped + (not progress.is_overflow),
            )
            return
        if self.moving is not None:
            self.moving.update_parameters(self.loaded.model)
        self.record = self.record._replace(
            position=progress.position,
            epoch_loss=self.record.epoch_loss + progress.loss,
            epoch_tokens=self.record.epoch_tokens + progress.num_tokens,
            epoch_seconds=self.record.epoch_seconds + progress.seconds,
        )

    def _not_finite(self, progress: Progress) -> NotFiniteError:
        """What ended the training, and the pairs of the last update that gave it."""
        culprits = find_not_finite(self.loaded.model, self.material, progress, self.config)
        number, most = self.record.epoch_skipped, self.config.max_skipped
        return NotFiniteError(explain_skipped(progress, number, most), culprits)

    def _end_epoch(self, progress: Progress) -> Iterator[Validation]:
        measures = self._measure()
        improved = self._is_better(measures)
        record = self.record
        validation = describe_epoch(
            record, progress, measures, self.material, self.criterion, is_best=improved
        )
        divergence = self._explain_divergence(validation)
        if divergence is not None:
            validation = validation._replace(divergence=divergence, collapse=None)
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
            self._save(self.run.model_path)
        if self.config.average > 1:
            self._save(self.run.epoch_path(position.epoch))
            self._drop_epochs()
        self._save_last()

    def _measure(self) -> Measures:
        """What the model that is judged scores; the first process finds out for all."""
        measures = self.ranks.from_first(
            lambda: validate(self.judged(), self.material, self.config)
        )
        return Measures(*measures)

    def _average_epochs(self) -> Iterator[Averaging]:
        """Try the mean of the kept epochs' weights; it becomes the model if it is better."""
        model = self.judged().model
        former = {name: tensor.clone() for name, tensor in model.state_dict().items()}
        epochs = self.ranks.from_first(
            lambda: take_mean(model, epochs_to_average(self.run, self.config, self.criterion))
        )
        measures = self._measure()
        improved = self._is_better(measures)
        if improved:
            # How long the single epochs have not got better stays as it is: it ended the training.
            num_worse = self.record.num_worse
            self.record = self.record._replace(valid_scores=measures.scores())
            self._note_best(measures)
            self.record = self.record._replace(num_worse=num_worse, averaged_epochs=epochs)
        # Told before it is saved, and the best model before the last, as after an epoch.
        yield Averaging(
            epochs,
            self.record.position.step,
            **measures.scores(),
            is_best=improved,
            ranked_by=self.criterion.ranked_by(measures.scores()),
        )
        if improved:
            self._save(self.run.model_path)
        model.load_state_dict(former)
        self.record = self.record._replace(is_averaged=True)
        self._save_last()

    def _drop_epochs(self) -> None:
        if not self.ranks.is_first:
            return
        for folder in set(self.run.epochs()) - set(
            epochs_to_average(self.run, self.config, self.criterion)
        ):
            remove_folder(folder)

    def _find_divergence(self, loss: float) -> str | None:
        best_loss = self.record.best_loss if self.record.best_epoch else None
        return find_divergence(loss, best_loss, len(self.loaded.tgt.vocabulary))

    def _explain_divergence(self, validation: Validation) -> str | None:
        """That an epoch's losses are much too high, and what to lower; None if they are not."""
        remedy = (
            f"lower training.learning_rate ({validation.learning_rate:g}) or training.clip_norm "
            f"({self.config.clip_norm:g})"
        )
        if problem := self._find_divergence(validation.loss):
            return f"training diverges: the valid loss is {problem}; not kept as best; {remedy}"
        # Smoothing and dropout raise it, so that it is not compared with validation losses.
        if problem := find_divergence(validation.train_loss, None, len(self.loaded.tgt.vocabulary)):
            return f"training diverged for a while: its loss is {problem}; {remedy}"
        return None

    def _is_better(self, measures: Measures) -> bool:
        if self._find_divergence(measures.loss):
            return False
        return self.criterion.rank(measures.scores()) > (
            self.record.best_score,
            -self.record.best_loss,
        )

    def _note_best(self, measures: Measures) -> None:
        self.record = self.record._replace(
            best_score=self.criterion.rank(measures.scores())[0],
            best_loss=measures.loss,
            best_epoch=self.record.position.epoch,
            num_worse=0,
            averaged_epochs=[],
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

    def _save(self, folder: Path) -> None:
        """Write the model that is judged."""
        if self.ranks.is_first:
            with saving(self.run, self.record.position.step):
                save_model(folder, self.judged())

    def _save_last(self) -> None:
        """Write a checkpoint of now, and only then remove the oldest."""
        random_states = gather_random_states(self.ranks, self.device)
        if self.ranks.is_first:
            with saving(self.run, self.record.position.step):
                folder = self.run.checkpoint_path(self.record.position.step)
                state = pack_state(self._learner, self.record, random_states)
                save_model(folder, self._present(), state)
                self.run.remove_old_checkpoints()


@contextmanager
def saving(run: RunFolder, step: int) -> Iterator[None]:
    """Name the update that could not be saved.

    Raises:
        SaveError: the disk is full or read-only, the run folder is gone, or the like.
    """
    try:
        if step and not run.path.is_dir():
            raise CheckpointError(f"{run.path}: was deleted or moved; put it back")
        yield
    except (CheckpointError, OSError) as error:
        reason = str(error) if isinstance(error, CheckpointError) else describe_os_error(error)
        raise SaveError(
            f"update {step:,} could not be saved: {reason}; what was saved before is complete, "
            "and the same command goes on from there"
        ) from error
