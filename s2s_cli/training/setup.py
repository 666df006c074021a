"""From prepared text to a model that can be trained: from scratch, or where a run stopped."""

from collections.abc import Callable

import numpy as np
import numpy.typing as npt
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
from s2s_cli.data.dataset import Dataset
from s2s_cli.data.directions import expand_directions
from s2s_cli.data.resampling import Resampling
from s2s_cli.errors import CheckpointError, ConfigError
from s2s_cli.launch import read_launch
from s2s_cli.parallel import SINGLE_PROCESS, Ranks
from s2s_cli.prepare import Prepared
from s2s_cli.recipe import load_recipe
from s2s_cli.run import RunFolder, Vocabularies
from s2s_cli.scoring.metrics import ScoringSettings, make_bleu
from s2s_cli.sources import sources_of
from s2s_cli.text.subword_sampling import SubwordSampler
from s2s_cli.training.initialize import take_vectors, take_weights
from s2s_cli.training.memory import check_memory
from s2s_cli.training.resume import (
    Resumable,
    allow_other_ranks,
    check_same_run,
    describe_other_ranks,
    find_resumable,
)
from s2s_cli.training.trainer import Trainer
from s2s_cli.training.validate import TrainingData, ValidText

Say = Callable[[str], None]


def make_training_data(config: Config, prepared: Prepared, say: Say) -> TrainingData:
    """Gather what a model is trained and validated on; reports how many pairs were left out."""
    train, valid = prepared.datasets["train"], prepared.datasets["valid"]
    for name, dataset in (("train", train), ("valid", valid)):
        _report_counts(name, dataset, config.data.max_length, say)
    texts = [
        ValidText(direction, rows, choose_scoring(config, direction.tgt, say))
        for direction, rows in valid.rows_by_direction().items()
    ]
    resampling = make_resampling(config, prepared.vocabularies)
    return TrainingData(train, valid, texts, resampling, weigh_pairs(config, train))


def weigh_pairs(config: Config, train: Dataset) -> npt.NDArray[np.float64] | None:
    """How often each training pair is seen in an epoch; None if each is seen once."""
    sources = train.manifest.sources
    weights = [
        directed.source.weight
        for source in sources_of(config.data.train)
        for directed in expand_directions(source, config.data, "train")
    ]
    if all(weight == 1 for weight, source in zip(weights, sources, strict=True) if source.pairs):
        return None
    return np.repeat(weights, [source.pairs for source in sources])


def _report_counts(split: str, dataset: Dataset, longest: int, say: Say) -> None:
    """Report how many pairs a split has, and how many were left out."""
    counts = dataset.manifest.counts
    reasons = (
        (counts.blank, "with a blank side"),
        (counts.not_utf8, "not UTF-8 (data.on_bad_utf8)"),
        (counts.too_long, f"longer than {longest} tokens (data.max_length)"),
        (counts.empty, "without tokens"),
    )
    left_out = ", ".join(f"{number:,} {reason}" for number, reason in reasons if number)
    tail = f"; left out: {left_out}" if left_out else ""
    num_tokens = counts.tgt_tokens + counts.pairs  # each target has its eos
    say(f"{split}: {counts.pairs:,} pairs, {num_tokens:,} target tokens{tail}")


def make_resampling(config: Config, vocabularies: Vocabularies) -> Resampling | None:
    """What cuts the training pairs otherwise for each epoch, if the recipe asks for it."""
    src, tgt = (
        SubwordSampler(subwords, amount) if subwords and amount else None
        for subwords, amount in zip(vocabularies.subwords, config.text.sampling, strict=True)
    )
    if src is tgt is None:
        return None
    both = vocabularies.src, vocabularies.tgt
    return Resampling((src, tgt), both, config.training.seed, config.data.max_length)


def choose_scoring(config: Config, tgt_lang: str, say: Say) -> ScoringSettings:
    """How validation scores; by characters where the language's tokeniser is not installed."""
    text = config.text
    settings = ScoringSettings(tgt_lang, text.lowercase, form=text.normalize, chinese=text.chinese)
    try:
        make_bleu(settings)
    except ConfigError as error:
        say(f"{error}; until then validation BLEU is of characters")
        return settings._replace(tokenize="char")
    return settings


def make_card(config: Config, prepared: Prepared) -> ModelCard:
    """What a model folder will say about its model."""
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
    former: LoadedModel | None,
    say: Say,
) -> LoadedModel:
    """Make a model with its first weights, on the CPU.

    Args:
        config: the recipe.
        card: of the model.
        vocabularies: of both sides.
        former: the model whose weights it starts with, in fine-tuning.
        say: receives what was taken from files.

    Raises:
        ConfigError: the model cannot be made, or does not trainer what it is to start with.
    """
    src, tgt, subwords = vocabularies.src, vocabularies.tgt, vocabularies.subwords
    torch.manual_seed(config.training.seed)
    model = build_model(card.model, src, tgt)
    if former is not None:
        differing = take_weights(model, config, vocabularies, former)
        tail = f"; differs in {', '.join(differing)}" if differing else ""
        say(f"fine-tuning {config.training.init_from}, epoch {former.card.epoch}{tail}")
    for key, coverage in take_vectors(model, config, vocabularies):
        say(
            f"{key}: {coverage.num_found:,} of {coverage.num_entries:,} entries have vectors, "
            f"{coverage.share:.1%} of the running tokens"
            + (f"; {coverage.num_not_utf8:,} words not in UTF-8" if coverage.num_not_utf8 else "")
        )
    codecs = make_codecs(card.text, *card.all_directions[0], src, tgt, subwords)
    return LoadedModel(model, *codecs, card)


def begin_or_resume(
    config: Config,
    prepared: Prepared,
    run: RunFolder,
    device: torch.device,
    say: Say,
    ranks: Ranks = SINGLE_PROCESS,
    former: LoadedModel | None = None,
) -> Trainer:
    """Continue from the newest complete checkpoint of a run, or start from the beginning.

    Args:
        config: the recipe as it is run.
        prepared: its vocabularies and datasets.
        run: the run folder.
        device: where the model is trained.
        say: receives what people should know.
        ranks: the processes that train together.
        former: the model to start with, in fine-tuning.

    Raises:
        CheckpointError: the run has a model or checkpoints, but none to continue from.
        ConfigError: the run was started with other settings, text or vocabularies.
    """
    skipped: list[str] = []
    resumable = find_resumable(run, skipped)
    for line in skipped:
        say(f"warning: skipped a damaged checkpoint: {line}")
    if resumable is not None:
        return _resume(config, prepared, run, device, say, ranks, resumable)
    if run.model_path.exists():
        raise CheckpointError(
            f"{run.path}: has a model but no checkpoint to go on from; --fresh trains from "
            "scratch (the old run is kept aside), --run DIR trains elsewhere"
        )
    return begin(config, prepared, run, device, say, ranks, former)


def begin(
    config: Config,
    prepared: Prepared,
    run: RunFolder,
    device: torch.device,
    say: Say,
    ranks: Ranks = SINGLE_PROCESS,
    former: LoadedModel | None = None,
) -> Trainer:
    """Start from the beginning; nothing is written yet. Arguments as `begin_or_resume`.

    Raises:
        ConfigError: the model cannot be made, or does not trainer what it is to start with.
        DeviceError: it does not trainer into memory.
    """
    data, card = make_training_data(config, prepared, say), make_card(config, prepared)
    if ranks.is_first:  # before any process of this machine has a model
        sizes = len(prepared.vocabularies.src), len(prepared.vocabularies.tgt)
        check_memory(config, device, *sizes, read_launch().local_size)
    loaded = make_model(config, card, prepared.vocabularies, former, say)
    loaded.model.to(device)
    return Trainer(loaded, data, config.training, run, ranks)


def _resume(
    config: Config,
    prepared: Prepared,
    run: RunFolder,
    device: torch.device,
    say: Say,
    ranks: Ranks,
    resumable: Resumable,
) -> Trainer:
    if not run.config_path.is_file():
        raise CheckpointError(
            f"{run.config_path}: missing, so the run's settings are not known; "
            "--fresh trains from scratch (the old run is kept aside)"
        )
    data, card = make_training_data(config, prepared, say), make_card(config, prepared)
    former = load_recipe(str(run.config_path)).config
    former = allow_other_ranks(former, config, resumable.state, ranks)
    check_same_run(former, config, resumable, prepared.vocabularies, card.trained_on, run)
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
        _tend_model(trainer, say)
    return trainer


def _tend_model(trainer: Trainer, say: Say) -> None:
    """See to it that the best model is there, and knows the search settings that are wanted."""
    path = trainer.run.model_path
    try:
        best = load_model(path)
    except CheckpointError as error:
        if trainer.has_diverged():
            raise CheckpointError(
                f"{error}; the last state of its training has diverged and cannot take its place; "
                "--fresh trains from scratch"
            ) from error
        say(f"warning: the best model is lost ({error}); the last one takes its place")
        save_model(path, trainer.eval_model())
        trainer.record = trainer.record.with_latest_as_best(trainer.criterion)
        return
    wanted = trainer.loaded.card.decoding
    if best.card.decoding != wanted:
        say(f"{path}: takes over the recipe's search settings")
        save_model(path, best._replace(card=best.card.model_copy(update={"decoding": wanted})))
