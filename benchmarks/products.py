"""How fast this machine multiplies matrices, and its tanh: `python -m benchmarks.products`.

Products are done in three ways, one after the other and that several times, the median of each in
GFLOP/s: PyTorch's own float32 (MKL), oneDNN's float32 as `s2s` uses it, and oneDNN's bfloat16; with
`cuda` behind it, a GPU's float32, TF32 and bfloat16. Square products of 1,024, on a GPU of 8,192,
are as good as it gets; the narrow ones of a decoder's step stay below.
Then how many times as long as a sigmoid a tanh takes: torch's own, and the one that `s2s` uses.
All as JSON on stdout.
"""

import json
import statistics
import sys
import time
from collections.abc import Callable
from functools import partial
from typing import Any

import torch
from torch import Tensor

from s2s_cli.device import choose_device, prepare_device, product_error
from s2s_cli.kernels.cells import tanh

Facts = dict[str, Any]
"""As JSON."""

SIZE = 1024
GPU_SIZE = 8192
ROUNDS = 5
SECONDS = 0.3


def seconds(work: Callable[[], object]) -> float:
    """What some work takes once, in the mean of many times."""
    work()
    done, started = 0, time.perf_counter()
    while (elapsed := time.perf_counter() - started) < SECONDS:
        work()
        done += 1
    return elapsed / done


def rate(product: Callable[[], object], size: int = SIZE) -> float:
    """GFLOP/s of a product of two square matrices."""
    return 2 * size**3 / seconds(product) / 1e9


def measure_gpu(size: int = GPU_SIZE) -> Facts:
    """A GPU's rates, by kind of product."""
    device = choose_device("cuda")
    one = torch.rand(size, size, device=device) - 0.5
    half, setting = one.bfloat16(), torch.backends.cuda.matmul
    rates = {}

    def multiply(matrix: Tensor) -> None:
        _ = matrix @ matrix
        torch.cuda.synchronize(device)

    for name, precision, matrix in (
        ("float32", "ieee", one),
        ("tf32", "tf32", one),
        ("bf16", "ieee", half),
    ):
        setting.fp32_precision = precision
        rates[name] = statistics.median(
            rate(partial(multiply, matrix), size) for _ in range(ROUNDS)
        )
    return {"gflops": rates, "threads": torch.get_num_threads()}


def measure_cpu() -> Facts:
    """The processor's rates, by kind of product, and its tanh."""
    one, other = torch.rand(SIZE, SIZE) - 0.5, torch.rand(SIZE, SIZE) - 0.5
    half = one.bfloat16(), other.bfloat16()
    found: dict[str, list[float]] = {"float32_default": [], "float32": [], "bf16": []}
    for _ in range(ROUNDS):
        torch.backends.mkldnn.matmul.fp32_precision = "ieee"  # type: ignore[attr-defined]
        found["float32_default"].append(rate(lambda: one @ other))
        prepare_device()
        found["float32"].append(rate(lambda: one @ other))
        found["bf16"].append(rate(lambda: half[0] @ half[1]))
    sigmoid = seconds(one.sigmoid)
    return {
        "gflops": {name: statistics.median(rates) for name, rates in found.items()},
        "tanh_over_sigmoid": {
            "torch": seconds(one.tanh) / sigmoid,
            "s2s": seconds(lambda: tanh(one)) / sigmoid,
        },
        "threads": torch.get_num_threads(),
        "float32_error": product_error(),
    }


def main() -> None:
    """Measure, and write what was found."""
    facts = measure_gpu() if sys.argv[1:] == ["cuda"] else measure_cpu()
    sys.stdout.write(json.dumps(facts) + "\n")


if __name__ == "__main__":
    main()
