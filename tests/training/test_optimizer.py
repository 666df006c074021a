import math

import pytest

from s2s_cli.config import Training
from s2s_cli.training.optimizer import learning_rate, teacher_forcing


def rates(config: Training, epochs: int = 5) -> list[float]:
    """At the start of each epoch; an epoch has ten updates."""
    return [learning_rate(config, epoch, 10 * epoch, 0) for epoch in range(epochs)]


def decaying(schedule: str, **keys: object) -> Training:
    return Training(learning_rate=1.0, learning_rate_decay=0.5, schedule=schedule, **keys)


def test_a_constant_rate_stays() -> None:
    assert rates(Training(learning_rate=2.0)) == [2.0] * 5


def test_exponential_decay_begins_after_the_epochs_at_full_rate() -> None:
    assert rates(decaying("exponential", decay_after=2)) == [1.0, 1.0, 0.5, 0.25, 0.125]


def test_a_step_comes_every_so_many_epochs() -> None:
    assert rates(decaying("step", decay_every=2)) == [1.0, 1.0, 0.5, 0.5, 0.25]


def test_a_plateau_costs_one_factor_each() -> None:
    config = decaying("plateau")
    assert [learning_rate(config, 3, 30, met) for met in range(3)] == [1.0, 0.5, 0.25]


def test_warm_up_climbs_in_a_line_under_any_schedule() -> None:
    config = Training(learning_rate=1.0, warmup_steps=4)
    found = [learning_rate(config, 0, step, 0) for step in range(6)]
    assert found == [0.25, 0.5, 0.75, 1.0, 1.0, 1.0]


def test_the_inverse_square_root_meets_its_height_at_the_end_of_the_warm_up() -> None:
    config = Training(learning_rate=1.0, warmup_steps=4, schedule="inverse_sqrt")
    found = [learning_rate(config, 0, step, 0) for step in (0, 3, 15, 63)]
    assert found == [0.25, 1.0, 0.5, 0.25]


def forcing(schedule: str, **keys: object) -> Training:
    return Training(teacher_forcing_schedule=schedule, teacher_forcing_steps=100, **keys)


@pytest.mark.parametrize(
    ("schedule", "step", "expected"),
    [
        ("constant", 500, 1.0),
        ("linear", 0, 1.0),
        ("linear", 50, 0.5),
        ("linear", 200, 0.0),
        ("exponential", 0, 1.0),
        ("exponential", 100, 1 / math.e),
        # Bengio et al. 2015: k / (k + exp(i / k))
        ("inverse_sigmoid", 0, 100 / 101),
        ("inverse_sigmoid", 300, 100 / (100 + math.exp(3))),
        ("inverse_sigmoid", 10**9, 0.0),
    ],
)
def test_teacher_forcing_falls_as_the_paper_has_it(
    schedule: str, step: int, expected: float
) -> None:
    assert teacher_forcing(forcing(schedule), step) == pytest.approx(expected, abs=1e-12)


@pytest.mark.parametrize("schedule", ["linear", "exponential", "inverse_sigmoid"])
def test_teacher_forcing_stops_at_its_minimum(schedule: str) -> None:
    assert teacher_forcing(forcing(schedule, teacher_forcing_min=0.25), 10**6) == 0.25


@pytest.mark.parametrize(
    ("keys", "message"),
    [
        ({"learning_rate_decay": 0.5}, "schedule constant does not use it"),
        ({"schedule": "step"}, "schedule step: requires a learning_rate_decay below 1"),
        ({"schedule": "inverse_sqrt"}, "requires warmup_steps"),
        ({"teacher_forcing": 0.5, "teacher_forcing_min": 0.6}, "is above teacher_forcing"),
        ({"momentum": 0.9}, "momentum: adam does not use it"),
    ],
)
def test_settings_that_contradict_each_other_are_refused(
    keys: dict[str, object], message: str
) -> None:
    with pytest.raises(ValueError, match=message):
        Training.model_validate(keys)


@pytest.mark.parametrize(
    ("optimizer", "rate"), [("adam", 1e-3), ("rmsprop", 1e-3), ("sgd", 1.0), ("adadelta", 1.0)]
)
def test_every_optimizer_has_a_rate_that_learns(optimizer: str, rate: float) -> None:
    assert learning_rate(Training(optimizer=optimizer), 0, 0, 0) == rate
    assert learning_rate(Training(optimizer=optimizer, learning_rate=0.5), 0, 0, 0) == 0.5
