"""Find the checkpoint to resume from, and check that settings and data have not changed."""

import hashlib
from collections.abc import Collection
from typing import NamedTuple

from s2s_cli.checkpoint import LoadedModel, TrainingState, load_model, load_training_state
from s2s_cli.config import Config
from s2s_cli.differences import describe, diff
from s2s_cli.errors import CheckpointError, ConfigError
from s2s_cli.parallel import Ranks
from s2s_cli.run import RunFolder, Vocabularies
from s2s_cli.sources import sources_of
from s2s_cli.training.state import parse_record
from s2s_cli.training.trainer import Trainer

MAY_CHANGE = {
    "training.epochs",
    "training.patience",
    "training.max_skipped",
    "training.save_every",
    "training.log_every",
    "training.show_sentences",
    "training.device",
    "data.folder",
    "data.train",
    "data.valid",
    "data.test",
    "data.split_seed",
    "decoding",
}
"""Settings that may change when a run resumes. The content of the data is compared by its hash;
the weights and directions of its sources are compared separately."""


class Resumable(NamedTuple):
    """A complete checkpoint."""

    loaded: LoadedModel
    state: TrainingState


def find_resumable(run: RunFolder, skipped: list[str]) -> Resumable | None:
    """Load the newest complete checkpoint; None if the run has no checkpoints.

    Args:
        run: the run folder.
        skipped: receives the error of each damaged checkpoint.

    Raises:
        CheckpointError: there are checkpoints, but all are damaged.
    """
    checkpoints = run.checkpoints()
    for folder in checkpoints:
        try:
            return Resumable(load_model(folder), load_training_state(folder))
        except CheckpointError as error:
            skipped.append(str(error))
    if checkpoints:
        raise CheckpointError(
            f"{run.path}: all checkpoints are damaged ({skipped[-1]}); --fresh trains from scratch"
        )
    return None


REMEDY = "train from scratch with --fresh (moves this run aside), or elsewhere with --run DIR"


def check_same_settings(
    saved: Config, present: Config, run: RunFolder, may_differ: Collection[str] = ()
) -> None:
    """Refuse to continue a run with other settings.

    Args:
        saved: the settings of the run.
        present: the settings of this command.
        run: the run folder.
        may_differ: further settings that may change.

    Raises:
        ConfigError: settings differ that may not change.
    """
    changes = diff(_comparable(saved), _comparable(present), MAY_CHANGE | {*may_differ})
    if changes:
        raise ConfigError(
            f"{run.path}: was trained with other settings ({describe(changes)}); {REMEDY}"
        )


def check_same_run(
    saved: Config,
    present: Config,
    resumable: Resumable,
    vocabularies: Vocabularies,
    trained_on: dict[str, dict[str, str]],
    run: RunFolder,
) -> None:
    """Refuse to resume a run with other settings, data or vocabularies.

    Raises:
        ConfigError: something differs that may not change.
    """
    check_same_settings(saved, present, run)
    card = resumable.loaded.card
    for split, origin in trained_on.items():
        if list(card.trained_on.get(split, {}).values()) != list(origin.values()):
            names = ", ".join(origin)
            raise ConfigError(f"{run.path}: the {split} text ({names}) has changed; {REMEDY}")
    for side in ("src", "tgt"):
        if getattr(resumable.loaded, side).vocabulary != getattr(vocabularies, side):
            raise ConfigError(
                f"{run.path}: {run.vocab_path / side}.tsv is not the vocabulary that the run "
                f"was trained with; {REMEDY}"
            )
    trained = resumable.loaded.src.tokenizer.subwords, resumable.loaded.tgt.tokenizer.subwords
    if trained != vocabularies.subwords:
        raise ConfigError(
            f"{run.path}: the subwords in {run.vocab_path} are not those that the run was trained "
            f"with; {REMEDY}"
        )


def allow_other_ranks(saved: Config, present: Config, state: TrainingState, ranks: Ranks) -> Config:
    """Return the saved settings, with the present batch size if the global batch size is the same.

    So a run of one process with batches of 64 can be resumed by two with batches of 32.
    """
    size = present.training.batch_size
    if state.facts.get("whole_batch_size") != size * ranks.size:
        return saved
    training = saved.training.model_copy(update={"batch_size": size})
    return saved.model_copy(update={"training": training})


def describe_other_ranks(state: TrainingState, present: Config, ranks: Ranks) -> str | None:
    """Describe the effect of resuming with another number of processes; None if it is the same."""
    num_saved, batch_size = (
        state.facts.get("num_ranks", 1),
        present.training.batch_size * ranks.size,
    )
    if num_saved == ranks.size:
        return None
    change = (
        f"trained by {num_saved} process{'es'[: 2 * (num_saved > 1)]}, continued by {ranks.size}"
    )
    saved_batch_size = state.facts.get("whole_batch_size", present.training.batch_size)
    if saved_batch_size == batch_size:
        return f"{change} with the same global batch size; the weights will not be the same bytes"
    restart = ": the epoch starts again" if state.facts["position"]["batch"] else ""
    return (
        f"{change} with batches of {batch_size:,} {present.training.batch_by} in total, not "
        f"{saved_batch_size:,}{restart}"
    )


def _comparable(config: Config) -> dict[str, object]:
    """Return the settings, with those of the training sources that do not depend on file names."""
    sources = sources_of(config.data.train)
    return {
        **dict(config),
        "data.train weights": [source.weight for source in sources],
        "data.train directions": [source.direction for source in sources],
    }


def check_same_on_all_ranks(trainer: Trainer) -> None:
    """Check that this process has the same training as the first one, and copy its record.

    Raises:
        ConfigError: this process has read another recipe, other text, or another run folder.
    """
    own = _fingerprint(trainer)
    changes = diff(trainer.ranks.broadcast(lambda: own), own)
    if changes:
        raise ConfigError(
            f"process {trainer.ranks.rank}: differs from the first process ({describe(changes)}); "
            "start all processes with the same command, and share the text and the run folder "
            "between all machines"
        )
    trainer.record = parse_record(trainer.ranks.broadcast(trainer.record._asdict))


def _fingerprint(trainer: Trainer) -> dict[str, str]:
    """Hash or count everything that must be the same in all processes."""
    card = trainer.loaded.card
    vocabularies = trainer.loaded.src.vocabulary, trainer.loaded.tgt.vocabulary
    texts = [[*origin.values()] for origin in card.trained_on.values()]
    return {
        "recipe": _hash(
            trainer.config.model_dump_json(exclude={"device"}),
            card.model_dump_json(exclude={"trained_on"}),
        ),
        "text": _hash(str(texts)),
        "vocabulary": _hash(*(vocabulary.to_tsv() for vocabulary in vocabularies)),
        "number of training pairs": f"{len(trainer.data.train):,}",
        "last saved update": f"{trainer.record.position.step:,}",
    }


def _hash(*texts: str) -> str:
    return hashlib.sha256("\0".join(texts).encode()).hexdigest()[:12]
