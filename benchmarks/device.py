"""Check and time one device: `python -m benchmarks.device`.

The checks compare the device with the CPU, plain kernels and float32. The timings are of training
and searching, by batch size, kernels and precision, and of square matrix products. JSON lines go to
stdout, messages to stderr. It needs only s2s: no data, no other toolkits, no network. Batches
are random tokens in sentences as long as Multi30k's; speeds count real tokens, eos included.

With `--peers` it then compares s2s with other toolkits (peers), for each batch size and with the
installed PyTorch; the page goes to stdout. The other requirements of the toolkits come from the
package index or, without network, from wheels: PIP_NO_INDEX=1 PIP_FIND_LINKS=wheels. s2s must be
installed for this.
"""

import json
import statistics
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from functools import partial
from itertools import product
from pathlib import Path
from typing import Annotated, Any, NamedTuple

import numpy as np
import torch
import typer
from torch import Tensor

from benchmarks.work import FIGURES, SIZES
from s2s_cli.config import Decoding, Model, Training
from s2s_cli.console import say
from s2s_cli.data.batching import Batch, collate, collate_src
from s2s_cli.decoding.beam import beam_search
from s2s_cli.device import choose_device, describe_device, prepare_device
from s2s_cli.errors import DeviceError, S2SError
from s2s_cli.model.kernel_selection import select_kernels
from s2s_cli.model.seq2seq import Seq2Seq
from s2s_cli.text.vocabulary import PAD_ID
from s2s_cli.training.optimizer import make_optimizer
from s2s_cli.training.step import TrainingStep

VOCAB_SIZE = 8000
KINDS: dict[str, dict[str, object]] = {
    "bahdanau": {"context": "attention"},
    "initial": {"context": "initial", "cell": "lstm", "num_layers": 2},
    "luong": {"context": "attention", "attend": "after", "input_feeding": True, "cell": "lstm"},
    "gnmt": {"context": "attention", "attend": "below", "cell": "lstm", "num_layers": 4},
}
KERNELS = ("fused", "plain")

MOST_DIFFERENCE = 1e-4
"""Largest relative difference of a loss or a gradient: sums in another order, over many steps."""

FEWEST_SAME = 15
"""Of 16 translations: rounding may decide once between two hypotheses of nearly equal score."""


class Sizes(NamedTuple):
    """Sizes of the model and of the batches, and how much is measured."""

    hidden: int
    batches: tuple[int, ...]
    updates: int
    sentences: int


FULL = Sizes(512, (64, 256, 1024, 2048), 20, 4000)
QUICK = Sizes(16, (4, 8), 2, 20)


def check_and_time(device: torch.device, sizes: Sizes) -> Iterator[dict[str, Any]]:
    """All checks and timings, one by one."""
    yield {"device": describe_device(device), "torch": torch.__version__}
    yield {"products": product_rates(device, 256 if sizes is QUICK else 4096)}
    for name, kind in KINDS.items():
        for kernels in KERNELS:
            yield {"check": name, "kernels": kernels, **agreement(kind, kernels, device, sizes)}
    measures = {
        "train": lambda named: training_speed(Training.model_validate(named), device, sizes),
        "beam 5": lambda named: search_speed(Decoding.model_validate(named), device, sizes),
    }
    precisions = {"train": ("float32", "bf16", "fp16"), "beam 5": ("float32", "bf16")}
    for what, measure in measures.items():
        for kernels, precision, batch_size in product(KERNELS, precisions[what], sizes.batches):
            named = {"kernels": kernels, "precision": precision, "batch_size": batch_size}
            yield {what: named, **or_out_of_memory(partial(measure, named))}


def or_out_of_memory(measure: Callable[[], dict[str, Any]]) -> dict[str, Any]:
    """A measurement, or an out-of-memory report in its place, so that the others still run."""
    try:
        return measure()
    except torch.OutOfMemoryError as error:
        torch.cuda.empty_cache()
        return {"out_of_memory": str(error).split("\n")[0]}


def make_model(kind: dict[str, object], hidden: int, vocab_size: int = VOCAB_SIZE) -> Seq2Seq:
    """A model with random weights."""
    torch.manual_seed(1)
    widths = {"embed_size": hidden // 2, "hidden_size": hidden, "attention_size": hidden}
    config = Model.model_validate({**widths, "dropout": 0.0, **kind})
    return Seq2Seq(config, vocab_size, vocab_size, PAD_ID)


def make_pairs(number: int, vocab_size: int = VOCAB_SIZE) -> list[tuple[list[int], list[int]]]:
    """Random pairs with the lengths of Multi30k: 13 tokens on average, standard deviation 4."""
    generator = np.random.default_rng(1)
    lengths = generator.normal(13, 4, (number, 2)).round().clip(3, 40).astype(int)

    def draw(length: int) -> list[int]:
        return list(map(int, generator.integers(4, vocab_size, length)))

    return [(draw(src), draw(tgt)) for src, tgt in lengths.tolist()]


def agreement(
    kind: dict[str, object], kernels: str, device: torch.device, sizes: Sizes
) -> dict[str, Any]:
    """Compare loss, gradients and translations with plain float32 on the CPU."""
    batch = collate(make_pairs(16, vocab_size=100))
    found = []
    for place, its_kernels in ((torch.device("cpu"), "plain"), (device, kernels)):
        config = Training.model_validate({"kernels": its_kernels})
        model = make_model(kind, sizes.hidden, vocab_size=100).to(place)
        select_kernels(model, config)
        step = TrainingStep(model, make_optimizer(model.parameters(), config), config)
        losses, _ = step.backward([batch.to(place)])
        gradients = [p.grad.cpu() for p in model.parameters() if p.grad is not None]
        searched = select_kernels(model.eval(), Decoding.model_validate({"kernels": its_kernels}))
        src, lengths = collate_src([src for src, _ in make_pairs(16, vocab_size=100)])
        hypotheses = beam_search(searched, src.to(place), lengths, Decoding())
        best = [of_sentence[0].token_ids for of_sentence in hypotheses]
        found.append((losses[0].item(), gradients, best))
    (plain_loss, plain, expected), (loss, ours, best) = found
    loss_off = abs(loss - plain_loss) / plain_loss
    differences = torch.cat([(a - b).flatten() for a, b in zip(ours, plain, strict=True)])
    off = float(differences.norm() / torch.cat([b.flatten() for b in plain]).norm())
    same = sum(a == b for a, b in zip(best, expected, strict=True))
    is_right = max(loss_off, off) < MOST_DIFFERENCE and same >= FEWEST_SAME
    return {"loss": loss_off, "gradients": off, "same": f"{same} of 16", "is_right": is_right}


def training_speed(config: Training, device: torch.device, sizes: Sizes) -> dict[str, Any]:
    """Real target tokens per second of complete updates, over four batches of different lengths.

    `first_seconds` is the time of the first update with each batch, one-time costs included.
    """
    model = make_model(KINDS["bahdanau"], sizes.hidden).to(device)
    select_kernels(model, config)
    step = TrainingStep(model, make_optimizer(model.parameters(), config), config)
    reset_memory(device)
    pairs = make_pairs(config.batch_size * 4)
    batches = [collate(pairs[first::4]) for first in range(4)]

    def run(batch: Batch) -> None:
        step.apply(*step.backward([batch.to(device)]))

    first = sum(timed(partial(run, batch), device) for batch in batches)
    speeds = []
    for number in range(sizes.updates):
        batch = batches[number % 4]
        speeds.append(batch.num_tokens / timed(partial(run, batch), device))
    return {"first_seconds": first, **described(speeds, "tokens_per_second", device)}


def search_speed(config: Decoding, device: torch.device, sizes: Sizes) -> dict[str, Any]:
    """Sentences per second with beams of 5, by an untrained model, up to the maximum length."""
    model = make_model(KINDS["bahdanau"], sizes.hidden).to(device).eval()
    reset_memory(device)
    searched = select_kernels(model, config)
    sources = sorted((src for src, _ in make_pairs(sizes.sentences)), key=len)
    size = config.num_sentences
    batches = [collate_src(sources[i : i + size]) for i in range(0, len(sources), size)]

    def run(src: Tensor, lengths: Tensor) -> None:
        beam_search(searched, src.to(device), lengths, config)

    run(*batches[0])
    spent = [timed(partial(run, *batch), device) for batch in batches]
    return described([len(sources) / sum(spent)], "sentences_per_second", device)


def product_rates(device: torch.device, size: int) -> dict[str, float]:
    """TFLOP/s of square matrix products, by type."""
    rates = {}
    for dtype in (torch.float32, torch.bfloat16):
        one = torch.randn(size, size, device=device, dtype=dtype)
        seconds = min(timed(partial(torch.mm, one, one), device) for _ in range(6))
        rates[str(dtype).removeprefix("torch.")] = 2 * size**3 / seconds / 1e12
    return rates


def timed(work: Callable[[], object], device: torch.device) -> float:
    """Seconds until the device has finished some work."""
    started = time.perf_counter()
    work()
    if device.type == "cuda":
        torch.cuda.synchronize(device)
    return time.perf_counter() - started


def described(speeds: list[float], name: str, device: torch.device) -> dict[str, Any]:
    """Minimum, median and maximum, and peak memory on a GPU."""
    facts = {name: [min(speeds), statistics.median(speeds), max(speeds)]}
    if device.type != "cuda":
        return facts
    peak, held = torch.cuda.max_memory_allocated(device), torch.cuda.max_memory_reserved(device)
    return {**facts, "peak_mb": peak / 2**20, "peak_reserved_mb": held / 2**20}


def reset_memory(device: torch.device) -> None:
    """Measure peak memory from now on."""
    if device.type == "cuda":
        torch.cuda.reset_peak_memory_stats(device)


def release_memory(device: torch.device) -> None:
    """Return the memory that PyTorch caches to the device."""
    if device.type == "cuda":
        torch.cuda.empty_cache()
    if device.type == "mps":
        torch.mps.empty_cache()


def peer_command(device: str, batch_size: int, more: list[str]) -> list[str]:
    """The command that compares s2s with other toolkits."""
    command = [sys.executable, "-m", "benchmarks", "run", "--torch-here", *more]
    return [*command, "--device", device, "--batch-size", str(batch_size)]


def main(
    device: Annotated[str, typer.Option(help="auto, cpu, cuda, cuda:N or mps.")] = "auto",
    is_quick: Annotated[
        bool, typer.Option("--quick", help="Tiny sizes, to see that everything runs.")
    ] = False,
    has_peers: Annotated[
        bool, typer.Option("--peers", help="Also compare s2s with other toolkits.")
    ] = False,
    data_dir: Annotated[
        Path | None, typer.Option(help="With --peers: folder of Multi30k; default: the phrasebook.")
    ] = None,
    repetitions: Annotated[
        int, typer.Option(min=1, help="With --peers: repetitions of each measurement.")
    ] = FIGURES.repetitions,
) -> None:
    """Check and time a device."""
    prepare_device()
    place = choose_device(device)
    if has_peers and str(place) not in {"cpu", "cuda"}:
        raise DeviceError(f"--peers: cannot run on {place}; select one GPU by CUDA_VISIBLE_DEVICES")
    is_right, failures = True, 0
    for facts in check_and_time(place, QUICK if is_quick else FULL):
        line = json.dumps(facts)
        sys.stdout.write(f"{line}\n")
        sys.stdout.flush()
        is_right = bool(facts.get("is_right", True)) and is_right
    if has_peers:
        release_memory(place)
        more = ["--quick"] if is_quick else ["--repetitions", str(repetitions)]
        more += ["--data-dir", str(data_dir)] if data_dir else []
        for batch_size in (SIZES.batch,) if is_quick else FULL.batches:
            failures += subprocess.call(peer_command(place.type, batch_size, more)) != 0
    say("the device agrees with the CPU" if is_right else "the device does NOT agree with the CPU")
    raise typer.Exit(0 if is_right and not failures else 1)


if __name__ == "__main__":
    try:
        typer.run(main)
    except S2SError as error:
        sys.stderr.write(f"error: {error}\n")
        sys.exit(1)
