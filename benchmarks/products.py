"""How fast this machine multiplies matrices: `python -m benchmarks.products`, JSON on stdout.

Three ways, one after the other and that several times, the median of each in GFLOP/s:
PyTorch's own float32 (MKL), oneDNN's float32 as `s2s` uses it, and oneDNN's bfloat16. Square
products of 1,024 are as good as it gets; the narrow ones of a decoder's step stay below.
"""

import json
import statistics
import sys
import time
from collections.abc import Callable

import torch

from s2s_cli.device import prepare_device, product_error

SIZE = 1024
ROUNDS = 5
SECONDS = 0.3


def rate(product: Callable[[], object]) -> float:
    """GFLOP/s of a product of two square matrices."""
    product()
    done, started = 0, time.perf_counter()
    while (elapsed := time.perf_counter() - started) < SECONDS:
        product()
        done += 1
    return done * 2 * SIZE**3 / elapsed / 1e9


def main() -> None:
    """Measure, and write what was found."""
    one, other = torch.rand(SIZE, SIZE) - 0.5, torch.rand(SIZE, SIZE) - 0.5
    half = one.bfloat16(), other.bfloat16()
    found: dict[str, list[float]] = {"float32_default": [], "float32": [], "bf16": []}
    for _ in range(ROUNDS):
        torch.backends.mkldnn.matmul.fp32_precision = "ieee"  # type: ignore[attr-defined]
        found["float32_default"].append(rate(lambda: one @ other))
        prepare_device()
        found["float32"].append(rate(lambda: one @ other))
        found["bf16"].append(rate(lambda: half[0] @ half[1]))
    facts = {
        "gflops": {name: statistics.median(rates) for name, rates in found.items()},
        "threads": torch.get_num_threads(),
        "float32_error": product_error(),
    }
    sys.stdout.write(json.dumps(facts) + "\n")


if __name__ == "__main__":
    main()
