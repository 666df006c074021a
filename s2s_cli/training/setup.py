"""Make a trainer from prepared text: a new one, or one that resumes a run."""

import torch

from s2s_cli.checkpoint import (
    LoadedModel,
    ModelCard,
    build_model,
    load_model,
    make_codecs,
    s2s_version,
    save_model,
)
from s2s_cli.config import Config
from s2s_cli.console import say, warn
from s2s_cli.errors import CheckpointError
from s2s_cli.launch import read_launch
from s2s_cli.parallel import SINGLE_PROCESS, Ranks
from s2s_cli.prepare import Prepared
from s2s_cli.recipe import load_recipe
from s2s_cli.run import RunFolder, Vocabularies
from s2s_cli.training.initialize import copy_weights, load_vectors
from s2s_cli.training.memory import check_memory
from s2s_cli.training.resume import (
    REMEDY,
    Resumable,
    allow_other_ranks,
    check_same_run,
    describe_other_ranks,
    find_resumable,
)
from s2s_cli.training.trainer import Trainer
from s2s_cli.training.training_data import make_training_data


def make_card(config: Config, prepared: Prepared) -> ModelCard:
    """Make the card of a model that is not trained yet."""
    card = prepared.vocabularies.card
    tokenizers = {"src_tokenizer": card.src_tokenizer, "tgt_tokenizer": card.tgt_tokenizer}
    splits = {name: prepared.datasets[name] for name in ("train", "valid")}
    return ModelCard(
        s2s_version=s2s_version(),
        src_lang=card.src_lang,
        tgt_lang=card.tgt_lang,
        directions=card.directions,
        text=config.text.model_copy(update=tokenizers),
        model=config.model,
        decoding=config.decoding,
        trained_on={name: dataset.manifest.origin for name, dataset in splits.items()},
        epoch=0,
        step=0,
        valid_scores={},
    )


def make_model(
    config: Config,
    card: ModelCard,
    vocabularies: Vocabularies,
    pretrained: LoadedModel | None,
) -> LoadedModel:
    """Make a model with its initial weights, on the CPU; report weights that come from files.

    Args:
        config: the settings of the run.
        card: of the model.
        vocabularies: of both sides.
        pretrained: the model to fine-tune, if any.

    Raises:
        ConfigError: the settings do not match the pretrained model or the word vectors.
    """
    src, tgt, subwords = vocabularies.src, vocabularies.tgt, vocabularies.subwords
    torch.manual_seed(config.training.seed)
    model = build_model(card.model, src, tgt)
    if pretrained is not None:
        changes = copy_weights(model, config, vocabularies, pretrained)
        tail = f"; changed: {', '.join(changes)}" if changes else ""
        say(f"fine-tuning {config.training.init_from}, epoch {pretrained.card.epoch}{tail}")
    for key, coverage in load_vectors(model, config, vocabularies):
        say(
            f"{key}: {coverage.num_found:,} of {coverage.num_entries:,} entries have vectors, "
            f"{coverage.share:.1%} of the running tokens"
            + (f"; {coverage.num_not_utf8:,} words are not UTF-8" if coverage.num_not_utf8 else "")
        )
    codecs = make_codecs(card.text, *card.all_directions[0], src, tgt, subwords)
    return LoadedModel(model, *codecs, card)


def make_or_resume_trainer(
    config: Config,
    prepared: Prepared,
    run: RunFolder,
    device: torch.device,
    ranks: Ranks = SINGLE_PROCESS,
    pretrained: LoadedModel | None = None,
) -> Trainer:
    """Resume from the newest complete checkpoint of a run; without one, make a new trainer.

    Args:
        config: the settings of the run.
        prepared: its vocabularies and datasets.
        run: the run folder.
        device: the device to train on.
        ranks: the processes that train together.
        pretrained: the model to fine-tune, if any.

    Raises:
        CheckpointError: the run has a model or checkpoints, but no complete checkpoint.
        ConfigError: the run was started with other settings, text or vocabularies.
    """
    skipped: list[str] = []
    resumable = find_resumable(run, skipped)
    for line in skipped:
        warn(f"skipped a damaged checkpoint: {line}")
    if resumable is not None:
        return _resume_trainer(config, prepared, run, device, ranks, resumable)
    if run.model_path.exists():
        raise CheckpointError(f"{run.path}: has a model but no checkpoint to resume from; {REMEDY}")
    return make_trainer(config, prepared, run, device, ranks, pretrained)


def make_trainer(
    config: Config,
    prepared: Prepared,
    run: RunFolder,
    device: torch.device,
    ranks: Ranks = SINGLE_PROCESS,
    pretrained: LoadedModel | None = None,
) -> Trainer:
    """Make a new trainer without writing files. Arguments as for `make_or_resume_trainer`.

    Raises:
        ConfigError: the settings do not match the pretrained model or the word vectors.
        DeviceError: the model does not fit into memory.
    """
    data, card = make_training_data(config, prepared), make_card(config, prepared)
    if ranks.is_first:  # before any process of this machine allocates a model
        sizes = len(prepared.vocabularies.src), len(prepared.vocabularies.tgt)
        check_memory(config, device, *sizes, read_launch().local_size)
    loaded = make_model(config, card, prepared.vocabularies, pretrained)
    loaded.model.to(device)
    return Trainer(loaded, data, config.training, run, ranks)


def _resume_trainer(
    config: Config,
    prepared: Prepared,
    run: RunFolder,
    device: torch.device,
    ranks: Ranks,
    resumable: Resumable,
) -> Trainer:
    if not run.config_path.is_file():
        raise CheckpointError(
            f"{run.config_path}: missing, so the settings of the run are not known; {REMEDY}"
        )
    data, card = make_training_data(config, prepared), make_card(config, prepared)
    saved = load_recipe(str(run.config_path)).config
    saved = allow_other_ranks(saved, config, resumable.state, ranks)
    check_same_run(saved, config, resumable, prepared.vocabularies, card.trained_on, run)
    loaded = resumable.loaded._replace(card=card)
    loaded.model.to(device)
    trainer = Trainer(loaded, data, config.training, run, ranks)
    trainer.restore(resumable.state)
    if not trainer.is_finished():
        epoch, _, step = trainer.record.position
        say(f"resumed after update {step:,}, in epoch {epoch + 1}")
        if change := describe_other_ranks(resumable.state, config, ranks):
            say(change)
    if trainer.record.best_epoch and ranks.is_first:
        _check_best_model(trainer)
    return trainer


def _check_best_model(trainer: Trainer) -> None:
    """Replace a damaged best model by the last one; update the search settings of its card."""
    path = trainer.run.model_path
    try:
        best = load_model(path)
    except CheckpointError as error:
        if trainer.has_diverged():
            raise CheckpointError(
                f"{error}; it cannot be replaced by the last weights, which have diverged; "
                "--fresh trains from scratch"
            ) from error
        warn(f"the best model is damaged ({error}); it is replaced by the last one")
        save_model(path, trainer.eval_model())
        trainer.record = trainer.record.with_latest_as_best(trainer.criterion)
        return
    wanted = trainer.loaded.card.decoding
    if best.card.decoding != wanted:
        say(f"{path}: search settings updated from the recipe")
        save_model(path, best._replace(card=best.card.model_copy(update={"decoding": wanted})))
