"""Speed of matrix products and of tanh on this machine: `python -m benchmarks.products`, JSON.

Products are measured in three ways, alternately and several times; the result is the median of
each, in GFLOP/s: PyTorch's default float32 (MKL), oneDNN's float32 as `s2s` uses it, and oneDNN's
bfloat16. With the argument `cuda` it measures float32, TF32 and bfloat16 of a GPU. The matrices are
square, of 1,024 rows on a CPU and 8,192 on a GPU, which is the best case; the narrow products of a
decoder's step are slower. The last figure is the time of a tanh relative to a sigmoid, for torch's
tanh and for that of `s2s`.
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
"""A JSON object."""

SIZE = 1024
GPU_SIZE = 8192
ROUNDS = 5
SECONDS = 0.3


def seconds(work: Callable[[], object]) -> float:
    """Mean duration of one call, over many calls."""
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
    """Rates of a GPU, by kind of product."""
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
    """Rates of the processor, by kind of product, and the relative time of tanh."""
    one, other = torch.rand(SIZE, SIZE) - 0.5, torch.rand(SIZE, SIZE) - 0.5
    half = one.bfloat16(), other.bfloat16()
    rates: dict[str, list[float]] = {"float32_default": [], "float32": [], "bf16": []}
    for _ in range(ROUNDS):
        torch.backends.mkldnn.matmul.fp32_precision = "ieee"  # type: ignore[attr-defined]
        rates["float32_default"].append(rate(lambda: one @ other))
        prepare_device()
        rates["float32"].append(rate(lambda: one @ other))
        rates["bf16"].append(rate(lambda: half[0] @ half[1]))
    sigmoid = seconds(one.sigmoid)
    return {
        "gflops": {name: statistics.median(found) for name, found in rates.items()},
        "tanh_over_sigmoid": {
            "torch": seconds(one.tanh) / sigmoid,
            "s2s": seconds(lambda: tanh(one)) / sigmoid,
        },
        "threads": torch.get_num_threads(),
        "float32_error": product_error(),
    }


def main() -> None:
    """Measure and print."""
    facts = measure_gpu() if sys.argv[1:] == ["cuda"] else measure_cpu()
    sys.stdout.write(json.dumps(facts) + "\n")


if __name__ == "__main__":
    main()
