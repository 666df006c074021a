import json
import math
from pathlib import Path
from typing import Any

import pytest
import torch
from conftest import KINDS, describe_kind
from jobs import (
    CARD,
    CONFIG,
    WORDS,
    finish,
    make_trainer,
    weights_of,
)
from torch import Tensor

import s2s_cli.training.trainer
from s2s_cli.checkpoint import (
    load_model,
    load_training_state,
)
from s2s_cli.config import Config, Model, Training
from s2s_cli.data.batching import Batch
from s2s_cli.errors import CheckpointError, ConfigError, NotFiniteError, SaveError
from s2s_cli.recipe import check_config
from s2s_cli.run import RunFolder, Vocabularies, VocabularyCard
from s2s_cli.text.vocabulary import Vocabulary
from s2s_cli.training.log import Validation, log_event, truncate_log
from s2s_cli.training.loop import Position, Progress
from s2s_cli.training.loss import LossModule
from s2s_cli.training.resume import check_same_run, find_resumable
from s2s_cli.training.state import Record
from s2s_cli.training.trainer import Trainer
from s2s_cli.training.validate import Criterion, Measures


def test_pairs_occur_as_often_as_their_weights_say(tmp_path: Path) -> None:
    trainer = make_trainer(tmp_path, CONFIG)
    once = trainer.data.train
    weights = [2.0] * 10 + [0.5] * (len(once) - 10)
    trainer.data = trainer.data._replace(train_weights=weights)
    num_pairs = 20 + round(0.5 * (len(once) - 10))
    num_batches = {
        event.num_batches
        for event in trainer.train(lambda: False)
        if not isinstance(event, Validation)
    }
    assert num_batches == {-(-num_pairs // CONFIG.batch_size)}


@pytest.mark.parametrize("kind", KINDS, ids=describe_kind)
@pytest.mark.parametrize("teacher_forcing", [1.0, 0.5])
def test_every_kind_of_model_resumes_to_the_same_bytes(
    tmp_path: Path, kind: dict[str, object], teacher_forcing: float
) -> None:
    config = CONFIG.model_copy(update={"teacher_forcing": teacher_forcing, "epochs": 2})
    model = Model(embed_size=8, hidden_size=16, attention_size=8, dropout=0.2, **kind)
    finish(make_trainer(tmp_path / "whole", config, model))
    for stop in (5, None):
        finish(make_trainer(tmp_path / "halved", config, model), stop)
    one, other = RunFolder(tmp_path / "whole"), RunFolder(tmp_path / "halved")
    assert weights_of(one.checkpoints()[0]) == weights_of(other.checkpoints()[0])


@pytest.mark.parametrize("consistency", ["rdrop", "simcut"])
@pytest.mark.parametrize("kernels", ["fused", "plain"])
def test_consistency_training_resumes_to_the_same_bytes(
    tmp_path: Path, consistency: str, kernels: str
) -> None:
    keys = {"teacher_forcing": 1.0, "consistency": consistency, "kernels": kernels, "accumulate": 2}
    config = CONFIG.model_copy(update={**keys, "epochs": 2, "consistency_cut": 0.3})
    finish(make_trainer(tmp_path / "whole", config))
    for stop in (3, None):
        finish(make_trainer(tmp_path / "halved", config), stop)
    one, other = RunFolder(tmp_path / "whole"), RunFolder(tmp_path / "halved")
    assert weights_of(one.checkpoints()[0]) == weights_of(other.checkpoints()[0])


@pytest.mark.parametrize("stops", [[1], [5], [7], [14], [3, 4, 9, 20]])
def test_stopping_and_resuming_equals_never_having_stopped(
    tmp_path: Path, stops: list[int]
) -> None:
    whole = finish(make_trainer(tmp_path / "whole", CONFIG))
    halved: list[Validation] = []
    for stop in [*stops, None]:
        halved += finish(make_trainer(tmp_path / "halved", CONFIG), stop)
    one, other = RunFolder(tmp_path / "whole"), RunFolder(tmp_path / "halved")
    assert weights_of(one.checkpoints()[0]) == weights_of(other.checkpoints()[0])
    assert weights_of(one.model_path) == weights_of(other.model_path)
    for name in ("training.safetensors",):
        assert (one.checkpoints()[0] / name).read_bytes() == (
            other.checkpoints()[0] / name
        ).read_bytes()
    assert [(v.step, v.bleu, v.loss, v.train_loss) for v in whole] == [
        (v.step, v.bleu, v.loss, v.train_loss) for v in halved
    ]


def test_a_process_that_dies_repeats_at_most_one_save_interval(tmp_path: Path) -> None:
    finish(make_trainer(tmp_path / "whole", CONFIG))
    trainer = make_trainer(tmp_path / "killed", CONFIG)
    for event in trainer.train(lambda: False):
        if isinstance(event, Progress) and event.position.step == 11:
            break  # as a kill would: no save
    again = make_trainer(tmp_path / "killed", CONFIG)
    assert again.record.position.step == 8
    finish(again)
    one, other = RunFolder(tmp_path / "whole"), RunFolder(tmp_path / "killed")
    assert weights_of(one.model_path) == weights_of(other.model_path)


def test_the_best_model_is_kept_and_two_checkpoints(tmp_path: Path) -> None:
    trainer = make_trainer(tmp_path, CONFIG)
    validations = finish(trainer)
    best = min(validations, key=lambda v: v.loss)  # BLEU says little of so few short sentences
    card = load_model(trainer.run.model_path).card
    assert (card.epoch, card.valid_scores["loss"]) == (best.epoch, best.loss)
    assert {v.ranked_by for v in validations} == {"perplexity"}
    assert "fewer than 100 sentences" in str(validations[0].caveat)
    assert [path.name for path in trainer.run.checkpoints()] == ["step-00000021", "step-00000020"]
    assert load_training_state(trainer.run.checkpoints()[0]).facts["position"]["step"] == 21
    names = {path.name for path in tmp_path.iterdir()}
    assert names == {"model", "checkpoints"}


def test_patience_ends_a_training_that_does_not_get_better(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("s2s_cli.training.loop.learning_rate", lambda *_: 0.0)
    config = Training(epochs=50, batch_size=50, patience=3)
    validations = finish(make_trainer(tmp_path, config))
    assert [v.is_best for v in validations] == [True, False, False, False]
    assert make_trainer(tmp_path, config).is_finished()


def test_a_plateau_lowers_the_learning_rate(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen: list[int] = []

    def note(config: Training, epoch: int, step: int, num_decays: int) -> float:
        seen.append(num_decays)
        return 0.0  # nothing is ever learnt: every validation after the first misses the best

    monkeypatch.setattr("s2s_cli.training.loop.learning_rate", note)
    config = Training(
        epochs=7,
        batch_size=50,
        patience=9,
        schedule="plateau",
        learning_rate_decay=0.5,
        decay_patience=1,
    )
    finish(make_trainer(tmp_path, config), stop_after=4)
    finish(make_trainer(tmp_path, config))  # what was counted is remembered
    assert seen == [0, 0, 0, 1, 1, 2, 2]


@pytest.mark.parametrize("best_by", ["chrf", "perplexity", "accuracy"])
def test_the_chosen_measure_chooses_the_model(tmp_path: Path, best_by: str) -> None:
    config = CONFIG.model_copy(update={"best_by": best_by, "learning_rate": 0.2, "epochs": 6})
    trainer = make_trainer(tmp_path, config)
    validations = finish(trainer)
    sign = -1 if best_by == "perplexity" else 1
    best = max(validations, key=lambda v: (sign * getattr(v, best_by), -v.loss))
    assert load_model(trainer.run.model_path).card.epoch == best.epoch
    assert trainer.record.best_score == sign * getattr(best, best_by)


def test_epochs_of_noise_rank_by_loss_and_under_all_others(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    config = CONFIG.model_copy(update={"average": 2, "epochs": 9, "patience": 3})
    #         1     2     3    4    5    6    7: no better than 4, nor are 5 and 6
    bleus = [0.28, 0.10, 0.11, 1.0, 0.9, 0.9, 0.0, 0.0]
    losses = [3.8, 3.5, 3.2, 4.0, 1.0, 3.9, 3.85, 0.1]  # all below twice log(entries)
    measure, scores = s2s_cli.training.trainer.validate, zip(bleus, losses, strict=True)

    def pretend(*arguments: object) -> Measures:
        bleu, loss = next(scores)
        return measure(*arguments)._replace(bleu=bleu, loss=loss)

    monkeypatch.setattr("s2s_cli.training.trainer.validate", pretend)
    trainer = make_trainer(tmp_path, config)
    trainer.criterion = Criterion("bleu")
    *validations, averaging = finish(trainer)
    assert [v.is_best for v in validations] == [True] * 4 + [False] * 3
    assert [v.ranked_by for v in validations] == ["loss"] * 3 + ["bleu"] + ["loss"] * 3
    assert averaging.averaged_epochs == [4, 5]  # 5: the least loss of those below 1
    assert (averaging.is_best, averaging.ranked_by) == (False, "loss")
    assert trainer.record.best_epoch == 4


@pytest.mark.parametrize("average_of", ["last", "best"])
def test_the_mean_of_epochs_is_tried_at_the_end(tmp_path: Path, average_of: str) -> None:
    config = CONFIG.model_copy(
        update={"average": 2, "average_of": average_of, "best_by": "perplexity", "epochs": 4}
    )
    trainer = make_trainer(tmp_path, config)
    *validations, averaging = finish(trainer)
    order = sorted(validations, key=lambda v: -v.perplexity if average_of == "best" else v.epoch)
    expected = sorted(v.epoch for v in order[-2:])
    assert averaging.averaged_epochs == expected
    assert [path.name for path in trainer.run.epochs()] == [f"epoch-{n:04d}" for n in expected]
    assert averaging.is_best == (averaging.perplexity < min(v.perplexity for v in validations))
    kept = [load_model(path).model.state_dict() for path in trainer.run.epochs()]
    mean = {name: (kept[0][name] + kept[1][name]) / 2 for name in kept[0]}
    model = load_model(trainer.run.model_path)
    if averaging.is_best:
        torch.testing.assert_close(model.model.state_dict(), mean)
        assert model.card.valid_scores["perplexity"] == averaging.perplexity
    assert trainer.is_finished()
    assert make_trainer(tmp_path, config).is_finished()


def test_a_run_that_patience_ended_stays_ended_when_the_mean_is_better(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    config = CONFIG.model_copy(
        update={"average": 2, "best_by": "perplexity", "epochs": 30, "patience": 1}
    )
    measure = s2s_cli.training.trainer.validate
    perplexities = iter([5.0, 4.0, 6.0, 1.0])  # the third epoch is worse, the mean the best of all

    def pretend(*arguments: object) -> Measures:
        return measure(*arguments)._replace(perplexity=next(perplexities))

    monkeypatch.setattr("s2s_cli.training.trainer.validate", pretend)
    trainer = make_trainer(tmp_path, config)
    *validations, averaging = finish(trainer)
    assert (len(validations), averaging.is_best) == (3, True)
    assert trainer.is_finished()
    again = make_trainer(tmp_path, config)
    assert again.is_finished()
    assert again.record.averaged_epochs == averaging.averaged_epochs
    assert load_model(trainer.run.model_path).card.averaged_epochs == averaging.averaged_epochs


@pytest.mark.parametrize("stop", [3, 14, 21])
def test_averages_resume_to_the_same_bytes(tmp_path: Path, stop: int) -> None:
    config = CONFIG.model_copy(update={"average": 2, "ema": 0.9})
    finish(make_trainer(tmp_path / "whole", config))
    finish(make_trainer(tmp_path / "halved", config), stop)
    finish(make_trainer(tmp_path / "halved", config))
    one, other = RunFolder(tmp_path / "whole"), RunFolder(tmp_path / "halved")
    assert weights_of(one.model_path) == weights_of(other.model_path)
    assert weights_of(one.checkpoints()[0]) == weights_of(other.checkpoints()[0])


def test_the_scale_of_the_loss_resumes_to_the_same_bytes(tmp_path: Path) -> None:
    config = CONFIG.model_copy(update={"precision": "fp16"})
    for stops in ([None], [5, None]):
        for stop in stops:
            trainer = make_trainer(tmp_path / str(len(stops)), config)
            trainer.step.scaler.set_growth_interval(3)
            finish(trainer, stop)
    assert weights_of(tmp_path / "1/model") == weights_of(tmp_path / "2/model")
    one, other = (
        load_training_state(RunFolder(tmp_path / name).checkpoints()[0]).facts["loss_scale"]
        for name in ("1", "2")
    )
    assert one == other
    assert one["scale"] > 2.0**16


def test_the_moving_average_is_what_is_validated_and_kept(tmp_path: Path) -> None:
    config = CONFIG.model_copy(update={"ema": 0.5, "epochs": 1, "batch_size": 25})
    trainer = make_trainer(tmp_path, config)
    weights = []
    for event in trainer.train(lambda: False):
        if isinstance(event, Progress):
            weights.append(trainer.loaded.model.state_dict()["output.projection.bias"].clone())
    mean = 0.5 * weights[0] + 0.5 * weights[1]  # it begins at the first update's weights
    kept = load_model(trainer.run.model_path).model.state_dict()["output.projection.bias"]
    torch.testing.assert_close(kept, mean)
    last = load_model(trainer.run.checkpoints()[0]).model.state_dict()["output.projection.bias"]
    assert torch.equal(last, weights[1])


def test_the_lower_loss_decides_between_equal_scores(tmp_path: Path) -> None:
    # Targets of one to three words never match four in a row: BLEU stays 0 while the loss falls.
    validations = finish(make_trainer(tmp_path, CONFIG))
    assert {v.bleu for v in validations} == {0.0}
    assert [v.is_best for v in validations] == [True, True, True]


def test_more_epochs_take_a_finished_run_further(tmp_path: Path) -> None:
    finish(make_trainer(tmp_path / "two", CONFIG.model_copy(update={"epochs": 2})))
    finish(make_trainer(tmp_path / "two", CONFIG))
    finish(make_trainer(tmp_path / "three", CONFIG))
    assert weights_of(RunFolder(tmp_path / "two").model_path) == weights_of(
        RunFolder(tmp_path / "three").model_path
    )


def test_a_damaged_checkpoint_is_passed_over_for_the_one_before(tmp_path: Path) -> None:
    finish(make_trainer(tmp_path / "whole", CONFIG))
    trainer = make_trainer(tmp_path / "torn", CONFIG)
    finish(trainer, stop_after=10)
    newest, older = trainer.run.checkpoints()
    assert (newest.name, older.name) == ("step-00000010", "step-00000008")
    (newest / "model.safetensors").write_bytes(b"torn")
    skipped: list[str] = []
    assert find_resumable(trainer.run, skipped) is not None
    assert "step-00000010" in skipped[0]
    finish(make_trainer(tmp_path / "torn", CONFIG))
    assert weights_of(trainer.run.model_path) == weights_of(
        RunFolder(tmp_path / "whole").model_path
    )
    for path in trainer.run.checkpoints():
        (path / "model.safetensors").write_bytes(b"torn")
    with pytest.raises(CheckpointError, match="all checkpoints are damaged"):
        find_resumable(trainer.run, [])


def test_a_full_disk_shows_before_the_first_update(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full_disk(path: Path, content: bytes) -> None:
        raise OSError(28, "No space left on device", str(path))

    monkeypatch.setattr("s2s_cli.storage.checksummed.write_synced", full_disk)
    events = make_trainer(tmp_path, CONFIG).train(lambda: False)
    with pytest.raises(SaveError, match=r"No space left.*MB are needed, .* MB are free"):
        next(events)


def test_the_log_loses_the_lines_of_what_will_be_done_again(tmp_path: Path) -> None:
    path = tmp_path / "train.jsonl"
    config = CONFIG.model_copy(update={"average": 2})
    trainer = make_trainer(tmp_path / "run", config)
    for event in finish(trainer):
        log_event(path, event, trainer.record, 0)
    with path.open("a", encoding="utf-8") as file:
        file.write('{"step": 99, "cut sho')

    def steps_kept(record: Record) -> list[int]:
        truncate_log(path, record)
        return [json.loads(line)["step"] for line in path.read_text("utf-8").splitlines()]

    assert steps_kept(trainer.record) == [7, 14, 21, 21]  # the last is the averaging
    assert steps_kept(trainer.record._replace(is_averaged=False)) == [7, 14, 21]
    assert steps_kept(trainer.record._replace(position=Position(2, 0, 14))) == [7, 14]


def progress_lines(
    trainer: Trainer, path: Path, stop_after: int | None = None
) -> list[dict[str, object]]:
    """The log of a training from where it stands, without what no two runs share."""
    for event in trainer.train(lambda: trainer.record.position.step == stop_after):
        if isinstance(event, Progress):
            log_event(path, event, trainer.record, 1)
    lines = [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]
    return [{key: line[key] for key in line if key != "epoch_seconds"} for line in lines]


def test_a_progress_line_describes_its_epoch_so_far(tmp_path: Path) -> None:
    trainer = make_trainer(tmp_path / "run", CONFIG)
    lines = progress_lines(trainer, tmp_path / "log")
    num_tokens = sum(len(tgt) + 1 for _, tgt in trainer.data.train)
    assert [line["step"] for line in lines] == list(range(1, 22))
    assert [line["epoch_tokens"] for line in lines[6::7]] == [num_tokens] * 3
    assert [line["epoch"] for line in lines[6::7]] == [1, 2, 3]


def test_the_progress_lines_of_a_resumed_run_are_those_of_a_whole_one(tmp_path: Path) -> None:
    whole = progress_lines(make_trainer(tmp_path / "whole", CONFIG), tmp_path / "whole.jsonl")
    progress_lines(make_trainer(tmp_path / "halved", CONFIG), tmp_path / "halved.jsonl", 10)
    halved = progress_lines(make_trainer(tmp_path / "halved", CONFIG), tmp_path / "halved.jsonl")
    assert whole == halved


class TestWhatMayDiffer:
    """A run resumes only with the settings and data that it started with."""

    def check(self, tmp_path: Path, tree: dict[str, object], **changes: object) -> None:
        trainer = make_trainer(tmp_path, CONFIG)
        finish(trainer, stop_after=2)
        resumable = find_resumable(trainer.run, [])
        assert resumable is not None
        loaded = resumable.loaded
        card = VocabularyCard(
            src_lang="zh",
            tgt_lang="en",
            src_tokenizer="space",
            tgt_tokenizer="space",
            lowercase=False,
            max_size=9,
            min_freq=1,
            trained_on=[],
        )
        vocabularies = Vocabularies(
            changes.get("src", loaded.src.vocabulary), loaded.tgt.vocabulary, card
        )
        trained_on = changes.get("trained_on", CARD.trained_on)
        check_same_run(
            Config(), check_config(tree, "new"), resumable, vocabularies, trained_on, trainer.run
        )

    def test_epochs_device_and_decoding_may(self, tmp_path: Path) -> None:
        tree = {
            "training": {"epochs": 99, "device": "cpu", "patience": 9},
            "decoding": {"beam_size": 2},
            "data": {"folder": "elsewhere"},
        }
        self.check(tmp_path, tree)

    def test_settings_may_not(self, tmp_path: Path) -> None:
        with pytest.raises(ConfigError, match=r"training\.seed 1 -> 2.*--fresh"):
            self.check(tmp_path, {"training": {"seed": 2}})

    def test_the_weights_of_the_data_may_not(self, tmp_path: Path) -> None:
        train = {"phrasebook": "train", "weight": 2.0}
        with pytest.raises(ConfigError, match=r"data\.train weights \[1\.0\] -> \[2\.0\]"):
            self.check(tmp_path, {"data": {"train": train}})

    def test_the_data_may_not(self, tmp_path: Path) -> None:
        with pytest.raises(ConfigError, match=r"the train text \(t\) has changed"):
            self.check(tmp_path, {}, trained_on={"train": {"t": "9"}, "valid": {"v": "2"}})

    def test_the_vocabulary_may_not(self, tmp_path: Path) -> None:
        with pytest.raises(ConfigError, match=r"src\.tsv is not the vocabulary"):
            self.check(tmp_path, {}, src=Vocabulary(WORDS[::-1], [1] * 4))


def spoil(monkeypatch: pytest.MonkeyPatch, token_id: int) -> None:
    """Let the loss of a batch be NaN if one of its sources starts with a token."""

    forward = LossModule.forward

    def spoiled(module: LossModule, batch: Batch, *rest: Any) -> Tensor:
        loss = forward(module, batch, *rest)
        return loss * torch.nan if bool((batch.src[:, 0] == token_id).any()) else loss

    monkeypatch.setattr(LossModule, "forward", spoiled)


def test_updates_that_are_not_finite_are_skipped_and_counted(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    spoil(monkeypatch, 4)  # every fourth pair begins with it
    trainer = make_trainer(tmp_path, Training(epochs=2, batch_size=1, save_every=7))
    trainer.data = trainer.data._replace(train=trainer.data.train[:30])
    events = list(trainer.train(lambda: False))
    skipped = [
        event for event in events if isinstance(event, Progress) and not event.result.is_applied
    ]
    assert len(skipped) == 16
    assert {event.pairs for event in skipped} == {(i,) for i in range(30) if i % 4 == 0}
    assert trainer.record.epoch_skipped == 0  # the epoch is over
    validations = [event for event in events if isinstance(event, Validation)]
    assert all(math.isfinite(validation.train_loss) for validation in validations)
    for tensor in trainer.loaded.model.parameters():
        assert bool(tensor.isfinite().all())


def test_too_many_skipped_updates_end_the_training_and_name_their_pairs(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    spoil(monkeypatch, 4)
    config = Training(epochs=2, batch_size=10, save_every=1, max_skipped=3)
    trainer = make_trainer(tmp_path, config)
    with pytest.raises(NotFiniteError, match="in 4 updates of epoch 1") as caught:
        list(trainer.train(lambda: False))
    assert caught.value.pairs
    assert all(index % 4 == 0 for index in caught.value.pairs)
    resumed = make_trainer(tmp_path, config)
    assert resumed.record.epoch_skipped == resumed.record.position.step == 3
    with pytest.raises(NotFiniteError, match="update 4 the last"):
        list(resumed.train(lambda: False))


def test_a_skipped_update_resumes_to_the_same_bytes(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    spoil(monkeypatch, 4)
    config = Training(epochs=2, batch_size=2, ema=0.9)
    finish(make_trainer(tmp_path / "whole", config))
    finish(make_trainer(tmp_path / "parts", config), stop_after=9)
    finish(make_trainer(tmp_path / "parts", config))
    for name in ("model.safetensors", "training.safetensors"):
        whole, parts = (
            (RunFolder(tmp_path / which).checkpoints()[0] / name).read_bytes()
            for which in ("whole", "parts")
        )
        assert whole == parts
