import pytest
from conftest import ALL_KINDS, describe_kind, make_model

from s2s_cli.config import Training
from s2s_cli.data.batching import collate
from s2s_cli.training.step import Gradients

PAIRS = [([4, 5, 6], [7, 8]), ([6, 5], [9])]


@pytest.mark.parametrize("kind", ALL_KINDS, ids=describe_kind)
def test_every_weight_of_every_model_gets_a_gradient(kind: dict[str, object]) -> None:
    """As several processes need: each waits until every gradient has come."""
    for forcing in (1.0, 0.0):
        model = make_model(kind).train()
        Gradients(model, Training()).add_up([collate(PAIRS)], forcing)
        assert [name for name, p in model.named_parameters() if p.grad is None] == []


def test_a_batch_that_does_not_count_changes_nothing() -> None:
    found = []
    for more in ([], [collate(PAIRS[1:])._replace(num_tokens=0)]):
        model = make_model({"dropout": 0.0}).train()
        sums = Gradients(model, Training()).add_up([collate(PAIRS[:1]), *more], 1.0)
        found.append((sums, [p.grad.tolist() for p in model.parameters() if p.grad is not None]))
    assert found[0] == found[1]
