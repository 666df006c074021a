"""Whether a run folder's training can go on, and from where."""

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
    "training.device",
    "data.folder",
    "data.train",
    "data.valid",
    "data.test",
    "data.split_seed",
    "decoding",
}
"""Settings that may change when a run resumes. The data's content is compared by its hash, and the
weights and directions of its sources by themselves."""


class Resumable(NamedTuple):
    """A checkpoint, read and checked."""

    loaded: LoadedModel
    state: TrainingState


def find_resumable(run: RunFolder, skipped: list[str]) -> Resumable | None:
    """The newest checkpoint that is whole, or None if the run has none.

    Args:
        run: the run folder.
        skipped: gets a line for every checkpoint that had to be passed over.

    Raises:
        CheckpointError: there are checkpoints, but none is whole.
    """
    checkpoints = run.checkpoints()
    for folder in checkpoints:
        try:
            return Resumable(load_model(folder), load_training_state(folder))
        except CheckpointError as error:
            skipped.append(str(error))
    if checkpoints:
        raise CheckpointError(
            f"{run.path}: no checkpoint can be read ({skipped[-1]}); --fresh trains from scratch"
        )
    return None


REMEDY = "--fresh trains from scratch (the old run is kept aside), --run DIR trains elsewhere"


def check_same_settings(
    former: Config, present: Config, run: RunFolder, may_differ: Collection[str] = ()
) -> None:
    """Refuse to continue a run with other settings.

    Args:
        former: the settings of the run.
        present: the settings that are asked for.
        run: the run folder.
        may_differ: further settings that may change.

    Raises:
        ConfigError: settings differ that may not change.
    """
    changes = diff(_comparable(former), _comparable(present), MAY_CHANGE | {*may_differ})
    if changes:
        raise ConfigError(
            f"{run.path}: was trained with other settings ({describe(changes)}); {REMEDY}"
        )


def check_same_run(
    former: Config,
    present: Config,
    resumable: Resumable,
    vocabularies: Vocabularies,
    trained_on: dict[str, dict[str, str]],
    run: RunFolder,
) -> None:
    """Refuse to go on with other settings, other data, or another vocabulary.

    Raises:
        ConfigError: something differs that would make the run neither the old nor a new one.
    """
    check_same_settings(former, present, run)
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


def allow_other_ranks(
    former: Config, present: Config, state: TrainingState, ranks: Ranks
) -> Config:
    """The former settings, with the present batch size if all processes together keep theirs.

    So a run of one process with batches of 64 goes on as two with batches of 32.
    """
    size = present.training.batch_size
    if state.facts.get("whole_batch_size") != size * ranks.size:
        return former
    training = former.training.model_copy(update={"batch_size": size})
    return former.model_copy(update={"training": training})


def describe_other_ranks(state: TrainingState, present: Config, ranks: Ranks) -> str | None:
    """What it means that a run goes on with more or fewer processes; None if it does not."""
    former, whole = state.facts.get("num_ranks", 1), present.training.batch_size * ranks.size
    if former == ranks.size:
        return None
    change = f"trained by {former} process{'es'[: 2 * (former > 1)]}, goes on with {ranks.size}"
    former_whole = state.facts.get("whole_batch_size", present.training.batch_size)
    if former_whole == whole:
        return f"{change}, whose batches are as large together; the weights are not the same bytes"
    again = ": the epoch begins again" if state.facts["position"]["batch"] else ""
    return (
        f"{change}, whose batches have {whole:,} {present.training.batch_by} together, not "
        f"{former_whole:,}{again}"
    )


def _comparable(config: Config) -> dict[str, object]:
    """The settings, and those of the training data that count wherever its files are."""
    sources = sources_of(config.data.train)
    return {
        **dict(config),
        "data.train weights": [source.weight for source in sources],
        "data.train directions": [source.direction for source in sources],
    }


def agree(trainer: Trainer) -> None:
    """Refuse to train what is not what the first process trains; take over its record.

    Raises:
        ConfigError: this process has read another recipe, other text, or another run folder.
    """
    own = _describe(trainer)
    changes = diff(trainer.ranks.broadcast(lambda: own), own)
    if changes:
        raise ConfigError(
            f"process {trainer.ranks.rank}: differs from the first process ({describe(changes)}); "
            "start all processes with one command, and let every machine see the same text and "
            "the same run folder"
        )
    trainer.record = parse_record(trainer.ranks.broadcast(trainer.record._asdict))


def _describe(trainer: Trainer) -> dict[str, str]:
    """What has to be the same everywhere, in words."""
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
