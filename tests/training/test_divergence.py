import math
from pathlib import Path

import pytest
import torch
from jobs import CONFIG, finish, make_trainer, weights_of

from s2s_cli.checkpoint import load_model
from s2s_cli.errors import S2SError
from s2s_cli.scoring.metrics import format_perplexity
from s2s_cli.training.validate import find_divergence, validate


def test_a_loss_far_above_guessing_is_divergence() -> None:
    assert find_divergence(2 * math.log(1000) - 0.01, None, 1000) is None
    for loss in (2 * math.log(1000) + 0.01, 9_114_248_091.0, math.inf, math.nan):
        assert "a uniform guess among 1,000 entries has 6.908" in str(
            find_divergence(loss, None, 1000)
        )


def test_a_loss_ten_times_the_best_is_divergence() -> None:
    assert find_divergence(1.2 * 9.9, 1.2, 1000) is None
    assert "ten times the best so far (1.2)" in str(find_divergence(1.2 * 10.1, 1.2, 1000))
    # A loss this low is never divergence.
    assert find_divergence(0.9, 0.01, 1000) is None


def test_an_epoch_that_diverged_is_never_best(tmp_path: Path) -> None:
    config = CONFIG.model_copy(update={"epochs": 2, "best_by": "accuracy"})
    trainer = make_trainer(tmp_path, config)
    finish(trainer, stop_after=7)
    assert trainer.record.best_epoch == 1
    kept = weights_of(trainer.run.model_path)
    trainer.record = trainer.record._replace(best_score=-1.0)  # anything would be better
    with torch.no_grad():
        for parameter in trainer.loaded.model.parameters():
            parameter.mul_(1000)
    (validation,) = finish(trainer)
    assert not validation.is_best
    assert "learning_rate (0.02)" in str(validation.divergence)
    assert trainer.has_diverged()
    assert weights_of(trainer.run.model_path) == kept
    assert load_model(trainer.run.model_path).card.epoch == 1


def test_too_high_a_learning_rate_gives_no_model(tmp_path: Path) -> None:
    trainer = make_trainer(
        tmp_path, CONFIG.model_copy(update={"learning_rate": 100.0, "average": 2})
    )
    *validations, averaging = finish(trainer)
    assert len(validations) == CONFIG.epochs
    assert not any(validation.is_best for validation in (*validations, averaging))
    assert all("learning_rate (100)" in str(one.divergence) for one in validations)
    assert trainer.record.best_epoch == 0
    assert not trainer.run.model_path.exists()


def test_a_loss_that_is_not_finite_ends_the_training_with_its_learning_rate(tmp_path: Path) -> None:
    trainer = make_trainer(tmp_path, CONFIG)
    with torch.no_grad():
        trainer.loaded.model.output.projection.bias.fill_(torch.nan)
    with pytest.raises(S2SError, match=r"not finite; lower training.learning_rate \(0.02\)"):
        validate(trainer.eval_model(), trainer.data, trainer.config)


def test_successful_training_does_not_diverge(tmp_path: Path) -> None:
    assert all(one.divergence is None for one in finish(make_trainer(tmp_path, CONFIG)))


def test_perplexities_above_a_million_have_no_digits() -> None:
    assert [format_perplexity(value) for value in (5.678, 1e6, 1.1e6, math.inf)] == [
        "5.68",
        "1000000.00",
        ">1e6",
        ">1e6",
    ]
