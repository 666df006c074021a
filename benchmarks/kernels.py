"""What each kernel gains: `python -m benchmarks.kernels`, a Markdown table on stdout.

Each row compares the same work with a kernel off and on, in equal precision, with the sizes of a
recipe and random sentences as long as Multi30k's. Off and on alternate: off, on, off, on, and so
forth. A speed-up is the time of one off over that of the on after it; the table shows their median
and range. Run it on an idle machine if a decision depends on it; on a busy machine
OMP_NUM_THREADS=1 and `--cpu-time` give the most reliable numbers.

- *loss*: vocabulary projection, softmax and cross-entropy, forward and backward
- *decoder*: whole targets, forward and backward
- *training step*: loss, gradients and optimizer, with one kernel alone and with all of them
- *search*: beams of 5. In float32: packed matrices against plain ones, then the joined step against
  the plain step, both with packed matrices, then both together. Lower precisions always pack their
  matrices, so there the joined step is the only difference.
"""

import statistics
import sys
import time
from collections.abc import Callable, Iterator
from copy import deepcopy
from functools import partial
from typing import Annotated, NamedTuple

import torch
import typer
from torch import Tensor
from torch.nn import functional as F
from torch.optim import Optimizer

from benchmarks.device import make_pairs
from s2s_cli.config import Config, Training
from s2s_cli.data.batching import Batch, collate, collate_src
from s2s_cli.decoding.beam import beam_search
from s2s_cli.device import prepare_device
from s2s_cli.kernels.cross_entropy import linear_cross_entropy
from s2s_cli.kernels.packed_weights import Precision
from s2s_cli.model.kernel_selection import (
    TrainingKernels,
    choose_training_kernels,
    has_search_step,
    pack_matrices,
    select_kernels,
    use_training_kernels,
)
from s2s_cli.model.search_step import FusedStep
from s2s_cli.model.seq2seq import Seq2Seq
from s2s_cli.recipe import load_recipe, parse_override
from s2s_cli.text.vocabulary import PAD_ID
from s2s_cli.training.loss import LossModule, autocast, token_loss
from s2s_cli.training.optimizer import make_optimizer

NUM_BATCHES = 2
"""Batches in one measurement of training; their lengths differ."""

NUM_SOURCES = 16
"""Sentences in one measurement of a search."""

PLAIN = TrainingKernels()


class Comparison(NamedTuple):
    """The same work with a kernel off and on."""

    name: str
    precision: str
    off: Callable[[], object]
    on: Callable[[], object]


def make_model(config: Config) -> Seq2Seq:
    """The recipe's model with random weights and full vocabularies."""
    torch.manual_seed(1)
    size = config.vocab.max_size
    return Seq2Seq(config.model, size, size, PAD_ID)


def compare_training(config: Config, precision: str) -> Iterator[Comparison]:
    """Comparisons of the parts of a training step, and of whole steps."""
    training = config.training.model_copy(update={"precision": precision, "kernels": "fused"})
    model, size = make_model(config).train(), training.batch_size
    pairs = make_pairs(NUM_BATCHES * size, config.vocab.max_size)
    batches = [collate(pairs[first : first + size]) for first in range(0, len(pairs), size)]
    chosen = choose_training_kernels(model, training)
    optimizer = make_optimizer(model.parameters(), training)
    # The work of each part, and the kernel that computes it.
    parts: dict[str, Callable[[TrainingKernels], None]] = {
        "loss: cross_entropy": partial(run_loss, model, batches, training),
        "decoder: attention_loop": partial(run_decoder, model, batches, training),
    }
    run_steps = partial(run_training_steps, model, batches, training, optimizer)
    used: dict[str, TrainingKernels] = {}
    for name, run in parts.items():
        kernel = name.partition(": ")[2]
        if getattr(chosen, kernel):
            used[kernel] = PLAIN._replace(**{kernel: True})
            yield Comparison(name, precision, partial(run, PLAIN), partial(run, used[kernel]))
    for kernel, kernels in {**used, "all": chosen}.items():
        name, off = f"training step: {kernel}", partial(run_steps, PLAIN)
        yield Comparison(name, precision, off, partial(run_steps, kernels))


def run_loss(
    model: Seq2Seq, batches: list[Batch], training: Training, kernels: TrainingKernels
) -> None:
    """Loss of random readouts, forward and backward."""
    weight, bias = model.projection
    for batch in batches:
        readouts = torch.randn(batch.num_tokens, weight.size(1), requires_grad=True)
        targets, smoothing = batch.tgt_out[batch.tgt_mask], training.label_smoothing
        with autocast(training, readouts.device):
            if kernels.cross_entropy:
                loss = linear_cross_entropy(readouts, weight, bias, targets, smoothing)
            else:
                logits = F.linear(readouts, weight, bias)
        if not kernels.cross_entropy:
            loss = token_loss(logits.float(), targets, smoothing)
        torch.autograd.grad(loss, [readouts, weight, bias])


def run_decoder(
    model: Seq2Seq, batches: list[Batch], training: Training, kernels: TrainingKernels
) -> None:
    """The decoder over random embeddings and the encoder's outputs, forward and backward."""
    for batch in batches:
        use_training_kernels(model, kernels)
        with torch.no_grad():
            encoding = model.encoder(
                random_embeddings(batch.src, model.src_table), batch.src_lengths
            )
        embedded = random_embeddings(batch.tgt_in, model.tgt_table)
        with autocast(training, embedded.device):
            features = model.decoder(embedded, *model.decoder.init_state(encoding))
        used = [embedded, *model.decoder.parameters()]
        torch.autograd.grad(features.float().sum(), used, allow_unused=True)


def random_embeddings(token_ids: Tensor, table: Tensor) -> Tensor:
    """Embeddings `(batch, length, embed)` that require gradients."""
    return torch.randn(*token_ids.shape, table.size(1), requires_grad=True)


def run_training_steps(
    model: Seq2Seq,
    batches: list[Batch],
    training: Training,
    optimizer: Optimizer,
    kernels: TrainingKernels,
) -> None:
    """One training step with each batch."""
    use_training_kernels(model, kernels)
    for batch in batches:
        optimizer.zero_grad(set_to_none=True)
        loss = LossModule(model, training)(batch) / batch.num_tokens
        loss.backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), training.clip_norm)
        optimizer.step()


def compare_search(config: Config, precision: Precision) -> Iterator[Comparison]:
    """Comparisons of searches, with models of the same weights."""
    settings = {"precision": precision, "beam_size": 5}
    decoding = config.decoding.model_copy(update=settings)
    plain = make_model(config).eval()
    packed, prepared = deepcopy(plain), deepcopy(plain)
    pack_matrices(packed, precision)
    fused = select_kernels(prepared, decoding)
    pairs = make_pairs(NUM_SOURCES, config.vocab.max_size)
    sources = collate_src([src for src, _ in pairs])

    def search(model: Seq2Seq | FusedStep) -> None:
        beam_search(model, *sources, decoding)

    if precision == "float32":
        off, on = partial(search, plain), partial(search, packed)
        yield Comparison("search: packed_weights", precision, off, on)
    if has_search_step(plain.decoder):
        off, on = partial(search, packed), partial(search, fused)
        yield Comparison("search: search_step", precision, off, on)
        if precision == "float32":
            off = partial(search, plain)
            yield Comparison("search: both", precision, off, on)


def measure(comparison: Comparison, rounds: int, clock: Callable[[], float]) -> list[float]:
    """The speed-up of each round."""

    def seconds(work: Callable[[], object]) -> float:
        started = clock()
        work()
        return clock() - started

    comparison.off()
    comparison.on()
    return [seconds(comparison.off) / seconds(comparison.on) for _ in range(rounds)]


def main(
    recipe: Annotated[str, typer.Option(help="Recipe whose sizes are used.")] = "de-en-fast",
    sets: Annotated[
        list[str] | None, typer.Option("--set", help="Override a key, as model.cell=lstm.")
    ] = None,
    rounds: Annotated[int, typer.Option(min=1, help="Rounds of off and on.")] = 5,
    cpu_time: Annotated[
        bool, typer.Option("--cpu-time", help="Measure processor time, not elapsed time.")
    ] = False,
) -> None:
    """Measure what each kernel gains."""
    prepare_device()
    clock = time.process_time if cpu_time else time.perf_counter
    config = load_recipe(recipe, [parse_override(text) for text in sets or []]).config
    sys.stdout.write(
        f"Recipe {recipe}{''.join(f', {text}' for text in sets or [])}; vocabularies of "
        f"{config.vocab.max_size}, batches of {config.training.batch_size}; "
        f"{torch.get_num_threads()} threads, {rounds} rounds. "
        f"{'Processor' if cpu_time else 'Elapsed'} time off / on.\n\n"
        "| work: kernel | precision | median | range |\n|---|---|---|---|\n"
    )
    for compare in (compare_training, compare_search):
        for precision in ("float32", "bf16"):
            for comparison in compare(config, precision):
                found = measure(comparison, rounds, clock)
                median, least, greatest = statistics.median(found), min(found), max(found)
                sys.stdout.write(
                    f"| {comparison.name} | {comparison.precision} "
                    f"| **{median:.2f}** | {least:.2f} to {greatest:.2f} |\n"
                )
                sys.stdout.flush()


if __name__ == "__main__":
    typer.run(main)
