"""Trains a model: runs the loop, validates, keeps the best and the last, stops early, resumes."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import cast

from s2s_cli.checkpoint import LoadedModel, TrainingState, save_model
from s2s_cli.config import Training
from s2s_cli.errors import CheckpointError, NotFiniteError, SaveError
from s2s_cli.model.kernel_selection import select_kernels
from s2s_cli.model.seq2seq import Seq2Seq
from s2s_cli.parallel import SINGLE_PROCESS, Ranks
from s2s_cli.run import RunFolder
from s2s_cli.storage.atomic import describe_os_error, remove_folder
from s2s_cli.training.averaging import epochs_to_average, load_mean, make_ema
from s2s_cli.training.log import Averaging, Event, Validation, describe_epoch, explain_skipped
from s2s_cli.training.loop import Progress, train
from s2s_cli.training.optimizer import make_optimizer
from s2s_cli.training.state import (
    Record,
    gather_random_states,
    pack_state,
    restore_state,
    seed_rank,
)
from s2s_cli.training.step import TrainingStep
from s2s_cli.training.training_data import TrainingData
from s2s_cli.training.validate import (
    Measures,
    choose_criterion,
    find_divergence,
    validate,
)


class Trainer:
    """Model, optimizer and record of one run folder.

    Every rank has one, and all reach the same weights and the same record. Only rank 0 validates
    and writes.
    """

    def __init__(
        self,
        loaded: LoadedModel,
        data: TrainingData,
        config: Training,
        run: RunFolder,
        ranks: Ranks = SINGLE_PROCESS,
    ) -> None:
        """Start with the weights of `loaded.model`, on the device where it is."""
        self.loaded = loaded
        self.data = data
        self.config = config
        self.run = run
        self.ranks = ranks
        self.criterion = choose_criterion(config.best_by, data.valid_texts)
        self.record = Record()
        select_kernels(loaded.model, config)
        optimizer = make_optimizer(loaded.model.parameters(), config)
        self.step = TrainingStep(loaded.model, optimizer, config, ranks)
        self.ema = make_ema(loaded.model, config.ema) if config.ema else None
        if not ranks.is_first:
            seed_rank(config.seed, ranks.rank, 0)

    def restore(self, state: TrainingState) -> None:
        """Resume from a checkpoint whose weights are already in the model.

        If the global batch size has changed, the batches of the current epoch have changed too, and
        the epoch starts again.

        Raises:
            CheckpointError: the state does not belong to this model.
        """
        try:
            self.record = restore_state(self.step, self.ema, state)
        except (KeyError, TypeError, ValueError, RuntimeError) as error:
            reason = " ".join(str(error).split())[:200]
            raise CheckpointError(
                f"{self.run.path}: the training state of its checkpoint does not fit its model "
                f"({reason}); restore the folder from a copy, or train from scratch with --fresh"
            ) from error

    def has_trained(self) -> bool:
        """Whether the last epoch is done or patience has run out."""
        num_epochs, num_worse = self.record.position.epoch, self.record.num_worse
        return num_epochs >= self.config.epochs or num_worse >= self.config.patience

    def has_diverged(self) -> bool:
        """Whether the latest validation loss is much too high."""
        loss = self.record.valid_scores.get("loss")
        return loss is not None and self._find_divergence(loss) is not None

    def is_finished(self) -> bool:
        """Whether nothing is left to do, averaging included."""
        return self.has_trained() and (self.config.average == 1 or self.record.is_averaged)

    def train(self, should_stop: Callable[[], bool]) -> Iterator[Event]:
        """Train to the end, or until `should_stop`; everything is saved when the iterator ends.

        Args:
            should_stop: called after each update; if it is true on one rank, all stop.

        Raises:
            NotFiniteError: more updates of an epoch were skipped than `training.max_skipped`.
            SaveError: a checkpoint or a model could not be saved.
        """

        def any_should_stop() -> bool:
            return bool(self.ranks.max(should_stop()))

        for progress in self._remaining_updates():
            self.record = self.record.after_update(progress)
            if self.ema is not None and progress.result.is_applied:
                self.ema.update_parameters(self.loaded.model)
            yield progress
            if self.record.epoch_skipped > self.config.max_skipped:
                pairs = self.data.pairs_of(progress.position.epoch)
                raise NotFiniteError(
                    explain_skipped(progress, self.record, self.config),
                    self.step.find_not_finite(pairs, progress.pairs),
                )
            if progress.is_epoch_end:
                yield from self._end_epoch(progress)
                if self.has_trained():
                    break
                if any_should_stop():
                    return
            elif any_should_stop():
                self._save_checkpoint()
                return
            elif progress.position.step % self.config.save_every == 0:
                self._save_checkpoint()
        if not self.is_finished() and not any_should_stop():
            yield from self._average_epochs()

    def _remaining_updates(self) -> Iterator[Progress]:
        if self.has_trained():
            return iter(())
        if self.record.position.step == 0:
            # Before the first update: a full or read-only disk shows now, not in an hour.
            self._save_checkpoint()
        return train(
            self.step,
            self.data.pairs_of,
            self.record.position,
            self.data.train_weights,
            lambda: self.record.num_decays,
        )

    def _end_epoch(self, progress: Progress) -> Iterator[Validation]:
        """Validate; save the model if it is the best, and a checkpoint in any case."""
        measures = self._validate()
        is_best = self._is_better(measures)
        shown = self.config.show_sentences
        validation = describe_epoch(
            self.record, progress, measures, self.data, self.criterion, shown
        )
        validation = validation._replace(is_best=is_best)
        if divergence := self._explain_divergence(validation):
            validation = validation._replace(divergence=divergence, collapse=None)
        self.record = self.record.after_epoch(
            measures.scores(), self.config.decay_patience, is_best=is_best
        )
        if is_best:
            self.record = self.record.with_latest_as_best(self.criterion)
        # Reported before it is saved: the log may be ahead of the checkpoint, which resuming
        # corrects, but never behind. And the best model is saved before the checkpoint: if the
        # process ends between the two, the resumed run repeats the epoch and finds the same best.
        yield validation
        if is_best:
            self._save_model(self.run.model_path)
        if self.config.average > 1:
            self._save_model(self.run.epoch_path(self.record.position.epoch))
            self._remove_epochs()
        self._save_checkpoint()

    def _average_epochs(self) -> Iterator[Averaging]:
        """Validate the mean of the kept epochs' weights; it becomes the model if it is better."""
        model = self.eval_model().model
        former = {name: tensor.clone() for name, tensor in model.state_dict().items()}
        epochs = self.ranks.broadcast(
            lambda: load_mean(model, epochs_to_average(self.run, self.config, self.criterion))
        )
        scores = (measures := self._validate()).scores()
        if is_best := self._is_better(measures):
            record = self.record._replace(valid_scores=scores).with_latest_as_best(self.criterion)
            # `num_worse` stays: it counts single epochs, and it ended the training.
            self.record = record._replace(num_worse=self.record.num_worse, averaged_epochs=epochs)
        # In this order for the same reasons as after an epoch.
        yield Averaging(
            epochs,
            self.record.position.step,
            **scores,
            is_best=is_best,
            ranked_by=self.criterion.ranked_by(scores),
        )
        if is_best:
            self._save_model(self.run.model_path)
        model.load_state_dict(former)
        self.record = self.record._replace(is_averaged=True)
        self._save_checkpoint()

    def _validate(self) -> Measures:
        """Measure the evaluated model on rank 0, for all ranks."""
        return Measures(
            *self.ranks.broadcast(lambda: validate(self.eval_model(), self.data, self.config))
        )

    def _is_better(self, measures: Measures) -> bool:
        if self._find_divergence(measures.loss):
            return False
        best = self.record.best_score, -self.record.best_loss
        return self.criterion.rank(measures.scores()) > best

    def _find_divergence(self, loss: float) -> str | None:
        best_loss = self.record.best_loss if self.record.best_epoch else None
        return find_divergence(loss, best_loss, len(self.loaded.tgt.vocabulary))

    def _explain_divergence(self, validation: Validation) -> str | None:
        """Say that a loss is much too high, and what to lower; None if it is not."""
        remedy = (
            f"lower training.learning_rate ({validation.learning_rate:g}) or training.clip_norm "
            f"({self.config.clip_norm:g})"
        )
        if problem := self._find_divergence(validation.loss):
            return f"training diverges: the valid loss is {problem}; not kept as best; {remedy}"
        # Smoothing and dropout raise it, so it is not compared with validation losses.
        if problem := find_divergence(validation.train_loss, None, len(self.loaded.tgt.vocabulary)):
            return f"training diverged for a while: its loss is {problem}; {remedy}"
        return None

    def eval_model(self) -> LoadedModel:
        """The model that is validated and saved: the moving average, if there is one."""
        current = self._current_model()
        if self.ema is None:
            return current
        return current._replace(model=cast("Seq2Seq", self.ema.module))

    def _current_model(self) -> LoadedModel:
        """The model with its current weights, and a card that says how far it is."""
        card = self.loaded.card.model_copy(
            update={
                "epoch": self.record.position.epoch,
                "step": self.record.position.step,
                "averaged_epochs": self.record.averaged_epochs,
                "valid_scores": self.record.valid_scores,
            }
        )
        return self.loaded._replace(card=card)

    def _save_model(self, folder: Path) -> None:
        """Save the evaluated model."""
        if self.ranks.is_first:
            with saving(self.run, self.record.position.step):
                save_model(folder, self.eval_model())

    def _remove_epochs(self) -> None:
        """Remove the saved epochs that will not be averaged."""
        if self.ranks.is_first:
            kept = epochs_to_average(self.run, self.config, self.criterion)
            for folder in set(self.run.epochs()) - set(kept):
                remove_folder(folder)

    def _save_checkpoint(self) -> None:
        """Save a checkpoint, and only then remove the oldest."""
        random_states = gather_random_states(self.ranks, self.step.device)
        if self.ranks.is_first:
            with saving(self.run, self.record.position.step):
                folder = self.run.checkpoint_path(self.record.position.step)
                state = pack_state(self.record, self.step, self.ema, random_states)
                save_model(folder, self._current_model(), state)
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
            f"update {step:,} could not be saved: {reason}; earlier checkpoints are complete; run "
            "the same command again to continue from them"
        ) from error
