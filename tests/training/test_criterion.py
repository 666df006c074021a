import pytest

from s2s_cli.scoring.metrics import ScoringSettings
from s2s_cli.sources import Direction
from s2s_cli.training.training_data import ValidText
from s2s_cli.training.validate import Criterion, choose_criterion, describe_rank


def text_of(*targets: str) -> ValidText:
    rows = [(target, target) for target in targets]
    return ValidText(Direction("de", "en"), rows, ScoringSettings("en"))


LONG = text_of(*(f"this is sentence number {number}" for number in range(100)))
SHORT = text_of("one", "two")
LABELS = text_of(*["good", "bad"] * 60)


@pytest.mark.parametrize(
    ("texts", "name"),
    [
        ([LONG], "bleu"),
        ([SHORT], "perplexity"),
        ([LABELS], "accuracy"),
        ([LONG, SHORT], "perplexity"),
        ([LABELS, SHORT], "perplexity"),
    ],
)
def test_models_are_ranked_by_a_meaningful_measure(texts: list[ValidText], name: str) -> None:
    criterion = choose_criterion("bleu", texts)
    assert criterion.name == name
    assert (criterion.caveat is None) == (name == "bleu")


def test_a_measure_named_by_the_recipe_is_used() -> None:
    for best_by in ("chrf", "perplexity", "accuracy"):
        assert choose_criterion(best_by, [SHORT]) == Criterion(best_by)


def test_bleu_below_one_ranks_by_loss_and_below_every_higher_bleu() -> None:
    scores = [(0.28, 4.795), (0.10, 4.460), (0.99, 4.4), (0.11, 4.213), (1.0, 9.0), (1.2, 9.5)]
    ranks = [Criterion("bleu").rank({"bleu": bleu, "loss": loss}) for bleu, loss in scores]
    assert ranks == sorted(ranks)


def test_the_best_score_is_described_by_its_measure() -> None:
    assert describe_rank(Criterion("bleu"), 31.4, 2.0) == "BLEU 31.40"
    assert describe_rank(Criterion("bleu"), 0.0, 4.213) == "loss 4.213 (BLEU below 1.0)"
    assert describe_rank(Criterion("perplexity"), -6.5, 1.9) == "perplexity 6.50"
    assert describe_rank(Criterion("accuracy"), 0.5, 1.9) == "accuracy 0.500"
