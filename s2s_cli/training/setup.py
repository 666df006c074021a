"""From a recipe to a model that can be trained: read, encode, begin or take up again."""

from collections.abc import Callable
from itertools import islice
from typing import NamedTuple

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
from s2s_cli.config import Config, Data
from s2s_cli.data.corpus import Corpus, join_by_direction, join_corpora
from s2s_cli.data.encoded_corpus import count_encoded
from s2s_cli.data.manifest import Counts
from s2s_cli.data.resampling import Resampling
from s2s_cli.data.splits import load_split
from s2s_cli.data.tokenized import TokenizedCorpus, encode_corpus, fits, segment_corpus
from s2s_cli.errors import CheckpointError, ConfigError, DataError
from s2s_cli.launch import read_launch
from s2s_cli.parallel import SINGLE_PROCESS, Ranks
from s2s_cli.preparation.facts import weigh_pairs
from s2s_cli.preparation.preparation import Preparation
from s2s_cli.recipe import load_recipe
from s2s_cli.run import RunFolder, Vocabularies
from s2s_cli.scoring.metrics import ScoringSettings, make_bleu
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
from s2s_cli.vocabularies import tokenize_corpora

Say = Callable[[str], None]


class Texts(NamedTuple):
    """The text of a training: what it learns from on disk, what it is chosen by in memory."""

    train: Preparation
    valid: Corpus
    valid_words: TokenizedCorpus
    valid_corpora: list[Corpus]
    """The sources of `valid`, in order; each is of one direction."""


class Plan(NamedTuple):
    """All that a training needs before its first update."""

    config: Config
    run: RunFolder
    card: ModelCard
    vocabularies: Vocabularies
    material: TrainingData
    device: torch.device
    ranks: Ranks = SINGLE_PROCESS
    former: LoadedModel | None = None
    """The model that training begins with, where it begins with one."""


def read_texts(config: Config, train: Preparation, *, is_known: bool) -> Texts:
    """Read what a recipe chooses by, and split it into words; look into what it trains on.

    Args:
        config: the recipe.
        train: the training pairs.
        is_known: whether they have vocabularies, so that it may be enough to compare hashes.

    Raises:
        DataError: a file is missing, malformed, or does not fit its partner; a split is empty.
    """
    valid_corpora = read_valid(config.data, train, is_known=is_known)
    words = tokenize_corpora(config, valid_corpora)
    return Texts(train, join_corpora(valid_corpora), words, valid_corpora)


def read_valid(data: Data, train: Preparation, *, is_known: bool) -> list[Corpus]:
    """The validation corpora; those of files before the training pairs, which take longer."""
    held_out = isinstance(data.valid, float)
    corpora = [] if held_out else load_split(data.valid, data, "valid")
    if not is_known:
        train.words()
    return train.facts().valid if held_out else corpora


def encode_texts(
    config: Config, texts: Texts, vocabularies: Vocabularies, say: Say
) -> tuple[TrainingData, dict[str, Counts]]:
    """Turn words into ids, saying how many pairs are left out and why.

    Returns:
        The pairs, and how much there is of `train` and of `valid`.

    Raises:
        DataError: nothing is left of a split.
    """
    longest, preparation = config.data.max_length, texts.train
    train, manifest = preparation.encode(vocabularies)
    if preparation.why is not None:
        say(f"{preparation.folder}: {preparation.why}; the training pairs were encoded anew")
    tokens = segment_corpus(texts.valid_words, vocabularies.subwords)
    valid = encode_corpus(tokens, vocabularies.src, vocabularies.tgt, longest)
    _tell_counts("train", preparation.name, manifest.counts, longest, say)
    valid_counts = count_encoded(valid, texts.valid.num_blank)
    _tell_counts("valid", texts.valid.name, valid_counts, longest, say)
    fitting = [fits(src, tgt, longest) for src, tgt in zip(tokens.src, tokens.tgt, strict=True)]
    valid_texts = [
        ValidText(text, choose_scoring(config, text.tgt_lang, say))
        for text in _keep_fitting(texts.valid_corpora, fitting)
    ]
    weights = weigh_pairs(preparation.text, manifest)
    material = TrainingData(
        train, valid, valid_texts, make_resampling(config, vocabularies), weights
    )
    return material, {"train": manifest.counts, "valid": valid_counts}


def _tell_counts(split: str, name: str, counts: Counts, longest: int, say: Say) -> None:
    """Say how many pairs a split has, and how many were left out.

    Raises:
        DataError: it has none.
    """
    if not counts.pairs:
        raise DataError(
            f"data.{split}: no pair of {name} is left; check data.max_length and the text"
        )
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


def _keep_fitting(corpora: list[Corpus], kept: list[bool]) -> list[Corpus]:
    """A corpus for each direction, of the pairs whose place in `kept` is True."""
    rest = iter(kept)
    parts = [corpus.keep(list(islice(rest, len(corpus)))) for corpus in corpora]
    return join_by_direction([part for part in parts if part.src])


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


def make_card(config: Config, texts: Texts, vocabularies: Vocabularies) -> ModelCard:
    """What a model folder will say about its model."""
    card = vocabularies.card
    tokenizers = {"src_tokenizer": card.src_tokenizer, "tgt_tokenizer": card.tgt_tokenizer}
    return ModelCard(
        s2s_version=s2s_version(),
        src_lang=card.src_lang,
        tgt_lang=card.tgt_lang,
        directions=card.directions,
        text=config.text.model_copy(update=tokenizers),
        model=config.model,
        decoding=config.decoding,
        trained_on={"train": texts.train.facts().origin, "valid": texts.valid.origin},
        epoch=0,
        step=0,
        valid_scores={},
    )


def begin_or_resume(plan: Plan, say: Say) -> Trainer:
    """Where the run's newest whole checkpoint stopped, or from the beginning.

    Raises:
        CheckpointError: the run has a model or checkpoints, but none to go on from.
        ConfigError: the run was begun with other settings, data or vocabularies.
    """
    skipped: list[str] = []
    resumable = find_resumable(plan.run, skipped)
    for line in skipped:
        say(f"warning: passed over a damaged checkpoint: {line}")
    if resumable is not None:
        return _resume(plan, resumable, say)
    if plan.run.model_path.exists():
        raise CheckpointError(
            f"{plan.run.path}: has a model but no checkpoint to go on from; --fresh trains from "
            "scratch (the old run is kept aside), --run DIR trains elsewhere"
        )
    return begin(plan, say)


def begin(plan: Plan, say: Say) -> Trainer:
    """A model with its first weights; nothing is written yet.

    Raises:
        ConfigError: the model cannot be made, or does not fit what it is to begin with.
        DeviceError: it does not fit into the memory.
    """
    card, src, tgt = plan.card, plan.vocabularies.src, plan.vocabularies.tgt
    if plan.ranks.is_first:  # before any other process of this machine has a model
        num_processes = read_launch().local_size
        check_memory(plan.config, plan.device, len(src), len(tgt), num_processes)
    torch.manual_seed(plan.config.training.seed)
    model = build_model(card.model, src, tgt)
    if plan.former is not None:
        differing = take_weights(model, plan.config, plan.vocabularies, plan.former)
        tail = f"; other than there: {', '.join(differing)}" if differing else ""
        say(f"fine-tuning {plan.config.training.init_from}, epoch {plan.former.card.epoch}{tail}")
    for key, coverage in take_vectors(model, plan.config, plan.vocabularies):
        say(
            f"{key}: {coverage.num_found:,} of {coverage.num_entries:,} entries have vectors, "
            f"{coverage.share:.1%} of the running tokens"
            + (f"; {coverage.num_not_utf8:,} words not in UTF-8" if coverage.num_not_utf8 else "")
        )
    model.to(plan.device)
    subwords = plan.vocabularies.subwords
    codecs = make_codecs(card.text, *card.all_directions[0], src, tgt, subwords)
    loaded = LoadedModel(model, *codecs, card)
    return Trainer(loaded, plan.material, plan.config.training, plan.run, plan.ranks)


def _resume(plan: Plan, resumable: Resumable, say: Say) -> Trainer:
    run, ranks, state = plan.run, plan.ranks, resumable.state
    if not run.config_path.is_file():
        raise CheckpointError(
            f"{run.config_path}: missing, so the run's settings are not known; "
            "--fresh trains from scratch (the old run is kept aside)"
        )
    former = load_recipe(str(run.config_path)).config
    former = allow_other_ranks(former, plan.config, state, ranks)
    check_same_run(former, plan.config, resumable, plan.vocabularies, plan.card.trained_on, run)
    loaded = resumable.loaded._replace(card=plan.card)
    loaded.model.to(plan.device)
    trainer = Trainer(loaded, plan.material, plan.config.training, run, ranks)
    trainer.restore(state)
    epoch, _, step = trainer.record.position
    if not trainer.is_finished():
        say(f"resumed after update {step:,}, in epoch {epoch + 1}")
        if change := describe_other_ranks(state, plan.config, ranks):
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
