"""Where the time of a training step goes: `python -m benchmarks.profile`, a table on stdout.

PyTorch's profiler measures updates of the benchmark's model, alternately with plain and with fused
kernels. The operations' own times are summed by purpose. Run it on an idle machine; shares are
more reliable than milliseconds.
"""

import sys
from collections import Counter
from typing import Annotated

import torch
import typer
from torch.profiler import ProfilerActivity, profile

from benchmarks.device import FULL, KINDS, make_model, make_pairs
from s2s_cli.config import Training
from s2s_cli.data.batching import collate
from s2s_cli.device import prepare_device
from s2s_cli.model.kernel_selection import select_kernels
from s2s_cli.training.optimizer import make_optimizer
from s2s_cli.training.step import TrainingStep

PURPOSES = {
    "matrix products": "mm addmm bmm baddbmm addmv mv linear dot",
    "softmax and loss": "softmax log_softmax nll_loss exp log logsumexp amax gather scatter",
    "gates and scores": "sigmoid tanh lerp addcmul mul sub rsub neg gru",
    "sums": "add sum mean",
    "copies": "copy cat stack fill zero index clone contiguous embedding to expand slice select",
    "dropout": "bernoulli native_dropout div",
    "optimizer": "fused_adam linalg_vector_norm foreach",
}
"""Names of operations without `aten::`, up to an underscore."""
REST = "the rest"


def purpose_of(name: str) -> str:
    """The purpose of an operation."""
    parts = name.removeprefix("aten::").strip("_")
    for purpose, operations in PURPOSES.items():
        for operation in operations.split():
            if name.startswith("aten::") and f"{parts}_".startswith(f"{operation}_"):
                return purpose
    return REST


def profile_updates(config: Training, batch_size: int, hidden: int, updates: int) -> Counter[str]:
    """Milliseconds of an update, by purpose."""
    model = make_model(KINDS["bahdanau"], hidden)
    select_kernels(model, config)
    step = TrainingStep(model, make_optimizer(model.parameters(), config), config)
    batch = collate(make_pairs(batch_size))
    for _ in range(2):
        step.apply(*step.backward([batch]))
    with profile(activities=[ProfilerActivity.CPU]) as profiled:
        for _ in range(updates):
            step.apply(*step.backward([batch]))
    spent: Counter[str] = Counter()
    for event in profiled.key_averages():
        spent[purpose_of(event.key)] += event.self_cpu_time_total / 1000 / updates
    return spent


def main(
    precision: Annotated[str, typer.Option(help="float32 or bf16.")] = "float32",
    batch_size: Annotated[int, typer.Option(min=1)] = 64,
    hidden: Annotated[int, typer.Option(min=2)] = FULL.hidden,
    updates: Annotated[int, typer.Option(min=1)] = 10,
) -> None:
    """Profile a training step with plain and with fused kernels."""
    prepare_device()
    kinds = ("plain", "fused")
    spent: dict[str, Counter[str]] = {kernels: Counter() for kernels in kinds}
    rounds = 2
    for _ in range(rounds):
        for kernels in kinds:
            config = Training.model_validate(
                {"kernels": kernels, "precision": precision, "label_smoothing": 0.1}
            )
            found = profile_updates(config, batch_size, hidden, updates)
            spent[kernels] += Counter({name: value / rounds for name, value in found.items()})
    sys.stdout.write(format_table(spent, torch.get_num_threads()))


def format_table(spent: dict[str, Counter[str]], num_threads: int) -> str:
    """A Markdown table of milliseconds and shares."""
    totals = {kernels: found.total() for kernels, found in spent.items()}
    lines = [
        f"Milliseconds of an update, {num_threads} threads.",
        "",
        f"| | {' | '.join(spent)} |",
        f"|---|{'---|' * len(spent)}",
    ]
    for purpose in (*PURPOSES, REST):
        cells = (
            f"{found[purpose]:.1f} ({found[purpose] / totals[kernels]:.0%})"
            for kernels, found in spent.items()
        )
        lines.append(f"| {purpose} | {' | '.join(cells)} |")
    lines.append(f"| total | {' | '.join(f'{total:.1f}' for total in totals.values())} |")
    return "\n".join(lines) + "\n"


if __name__ == "__main__":
    typer.run(main)
