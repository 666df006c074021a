import pytest
import torch
from conftest import ALL_KINDS, describe_kind, make_model

from s2s_cli.config import Decoding, Training
from s2s_cli.data.batching import collate, collate_src
from s2s_cli.decoding.beam import beam_search
from s2s_cli.decoding.ensemble import Ensemble
from s2s_cli.errors import ConfigError
from s2s_cli.kernels.packed_weights import PackedWeight, can_reorder
from s2s_cli.model.kernel_selection import TrainingKernels, choose_training_kernels, select_kernels
from s2s_cli.model.search_step import FusedStep
from s2s_cli.model.seq2seq import Seq2Seq

SOURCES = [[4, 5, 6, 7, 8], [9], [6, 4, 4]]


def kernels_in_graph(model: Seq2Seq) -> set[str]:
    """The hand-written nodes of the autograd graph of a training step."""
    batch = collate([([4, 5, 6], [4, 5]), ([9], [6, 7, 8])])
    arguments = batch.src, batch.src_lengths, batch.tgt_in, batch.tgt_mask
    waiting: list[object] = [model.compute_readouts(*arguments).grad_fn]
    seen: set[object] = set()
    while waiting:
        node = waiting.pop()
        if node is not None and node not in seen:
            seen.add(node)
            waiting += [parent for parent, _ in getattr(node, "next_functions", ())]
    return {type(node).__name__ for node in seen} & {"_AttentionLoopBackward"}


def test_training_runs_the_selected_kernels() -> None:
    model = make_model({"context": "attention"}).train()
    assert kernels_in_graph(model) == set()
    select_kernels(model, Training())
    assert kernels_in_graph(model) == {"_AttentionLoopBackward"}
    select_kernels(model, Training(kernels="plain"))
    assert kernels_in_graph(model) == set()


@pytest.mark.parametrize(
    ("kind", "training", "expected"),
    [
        ({"cell": "gru"}, {}, TrainingKernels(True, True)),
        ({"cell": "gru"}, {"kernels": "plain"}, TrainingKernels()),
        ({"cell": "lstm"}, {"precision": "bf16"}, TrainingKernels(True, True)),
        ({"attention": "dot"}, {}, TrainingKernels(True, False)),
        ({"attend": "after"}, {}, TrainingKernels(True, False)),
        ({"attend": "below", "num_layers": 3}, {}, TrainingKernels(True, True)),
        ({"attend": "between"}, {}, TrainingKernels(True, False)),
        ({"transition_depth": 2}, {}, TrainingKernels(True, False)),
        ({"encoder": {"transition_depth": 2}}, {}, TrainingKernels(True, True)),
        ({"layer_norm": "output"}, {}, TrainingKernels(True, True)),
        ({"layer_norm": "cell"}, {}, TrainingKernels(True, False)),
        (
            {"attend": "below", "num_layers": 2, "layer_norm": "cell"},
            {},
            TrainingKernels(True, False),
        ),
        (
            {"attend": "below", "num_layers": 2, "transition_depth": 2},
            {},
            TrainingKernels(True, False),
        ),
        ({"num_layers": 2}, {}, TrainingKernels(True, False)),
    ],
)
def test_the_table_of_training_kernels(
    kind: dict[str, object], training: dict[str, object], expected: TrainingKernels
) -> None:
    config = Training.model_validate(training)
    assert choose_training_kernels(make_model(kind), config) == expected


def test_a_model_prepared_for_a_search_stays_in_evaluation_mode() -> None:
    kind: dict[str, object] = {"context": "attention"}
    sources = collate_src(SOURCES)
    fused = select_kernels(make_model(kind).train(), Decoding())
    assert not fused.training
    ensemble = Ensemble([fused])
    assert not ensemble.training
    ensemble.train()
    assert not any(module.training for module in fused.modules())
    torch.testing.assert_close(fused.encode(*sources), fused.encode(*sources), rtol=0, atol=0)


@pytest.mark.parametrize("precision", ["bf16", "int8"])
@pytest.mark.parametrize("kind", ALL_KINDS[::7], ids=describe_kind)
def test_lower_precision_is_close_to_float32(kind: dict[str, object], precision: str) -> None:
    torch.manual_seed(2)
    model, sources = make_model(kind), collate_src(SOURCES)
    with torch.inference_mode():
        state, memory = model.encode(*sources)
        exact, _, _ = model.step(torch.tensor([2, 2, 2]), state, memory)
    config = Decoding.model_validate({"precision": precision})
    ready = select_kernels(model, config)
    with torch.inference_mode():
        state, memory = ready.encode(*sources)
        logits, _, _ = ready.step(torch.tensor([2, 2, 2]), state, memory)
    assert 0 < (logits - exact).norm() / exact.norm() < 0.05
    assert beam_search(ready, *sources, config)


def test_plain_kernels_leave_the_model_unchanged() -> None:
    kind: dict[str, object] = {"context": "attention"}
    model = make_model(kind)
    assert isinstance(select_kernels(model, Decoding()), FusedStep)
    assert select_kernels(model, Decoding(kernels="plain")) is model
    assert not isinstance(model.output.projection.weight, PackedWeight)
    other = make_model({"context": "attention", "attention": "general"})
    assert select_kernels(other, Decoding()) is other


@pytest.mark.parametrize("kind", ALL_KINDS, ids=describe_kind)
def test_fused_kernels_compute_what_the_model_does(kind: dict[str, object]) -> None:
    model, sources = make_model(kind), collate_src(SOURCES)
    tokens, targets = torch.tensor([2, 7, 5]), torch.randint(4, 10, (3, 4))
    mask = torch.tensor([4, 2, 3]).unsqueeze(1) > torch.arange(4)
    with torch.inference_mode():
        state, memory = model.encode(*sources)
        expected = *model.step(tokens, state, memory), model(*sources, targets, mask)
    ready = select_kernels(model, Decoding())
    with torch.inference_mode():
        state, memory = ready.encode(*sources)
        found = *ready.step(tokens, state, memory), ready(*sources, targets, mask)
    torch.testing.assert_close(found, expected)


def test_matrices_of_other_models_are_packed_where_possible() -> None:
    kind: dict[str, object] = {"context": "attention", "attention": "general"}
    model = make_model(kind)
    select_kernels(model, Decoding())
    is_packed = isinstance(model.output.projection.weight, PackedWeight)
    assert is_packed == can_reorder(torch.float32)
    assert is_packed != ("output.projection.weight" in dict(model.named_parameters()))


def test_int8_needs_a_cpu() -> None:
    model = make_model({"context": "initial"}).to("meta")
    with pytest.raises(ConfigError, match="8-bit products are not available on meta; choose bf16"):
        select_kernels(model, Decoding(precision="int8"))
