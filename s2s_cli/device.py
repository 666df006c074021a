"""Which device computes, and how it multiplies float32 matrices."""

import os
import platform
import re
from typing import Any

import torch

from s2s_cli.errors import DeviceError
from s2s_cli.launch import Launch

# Typed Any, because PyTorch's own types do not know these modules' settings.
_ONEDNN: Any = torch.backends.mkldnn
_CUDNN: Any = torch.backends.cudnn


ALONE = Launch()


def choose_device(name: str, launch: Launch = ALONE) -> torch.device:
    """Resolve `auto`, `cpu`, `cuda`, `cuda:N` or `mps`; `auto` takes the first GPU, else the CPU.

    Args:
        name: what the user asks for.
        launch: of several processes, each takes a GPU of its own.

    Raises:
        DeviceError: there is no such kind of device, or none here, or none for each process.
    """
    if launch.size > 1:
        return _choose_own(choose_device(name), name, launch)
    if not re.fullmatch(r"auto|cpu|mps|cuda(:\d+)?", name):
        raise DeviceError(f"--device {name}: not one of auto, cpu, cuda, cuda:N, mps")
    kind, _, index = name.partition(":")
    if kind == "auto":
        if torch.cuda.is_available():
            return torch.device("cuda")
        return torch.device("mps" if torch.backends.mps.is_available() else "cpu")
    if kind == "cuda":
        count = torch.cuda.device_count() if torch.cuda.is_available() else 0
        if int(index or 0) >= count:
            found = f"{count} CUDA device(s) found" if count else "PyTorch finds no CUDA device"
            raise DeviceError(f"--device {name}: {found} here; use --device cpu or auto")
    if kind == "mps" and not torch.backends.mps.is_available():
        raise DeviceError(f"--device {name}: PyTorch finds no Apple GPU; use --device cpu or auto")
    return torch.device(name)


def _choose_own(device: torch.device, name: str, launch: Launch) -> torch.device:
    """The device of one among several processes."""
    if device.type == "cpu":
        return device
    if device.type == "mps" or device.index is not None:
        raise DeviceError(
            f"--device {name}: one device for {launch.size} processes; use --device cuda, of which "
            "each process takes its own, or cpu"
        )
    count = torch.cuda.device_count()
    if launch.local_rank >= count:
        raise DeviceError(
            f"--device {name}: {count} CUDA device(s) found here, too few for process "
            f"{launch.local_rank + 1} of this machine; give torchrun --nproc-per-node {count}, or "
            "use --device cpu"
        )
    own = torch.device("cuda", launch.local_rank)
    torch.cuda.set_device(own)
    return own


def describe_device(device: torch.device) -> str:
    """The device in words, for people."""
    if device.type == "cuda":
        return f"{device} ({torch.cuda.get_device_name(device)})"
    if device.type == "cpu":
        threads = torch.get_num_threads()
        return f"cpu ({threads} thread{'s'[: threads > 1]}, {_products_in_words()})"
    return f"{device} ({platform.processor()})"


def allow_tf32(device: torch.device) -> None:
    """Let a GPU round what it multiplies to TF32's 10 bits; else its products are float32.

    Raises:
        DeviceError: it is no GPU that PyTorch knows this of.
    """
    if device.type != "cuda":
        raise DeviceError(
            f"training.precision tf32: a kind of product of NVIDIA's GPUs, not of {device.type}; "
            "choose float32 or bf16"
        )
    torch.backends.cuda.matmul.fp32_precision = "tf32"
    _CUDNN.rnn.fp32_precision = "tf32"


def prepare_device() -> None:
    """Let oneDNN do the CPU's float32 products where they stay float32; no TF32 on CUDA.

    PyTorch sends them to MKL, which takes a slow path on processors that are not Intel's. Asking
    oneDNN for "bf16" sends them there, 2 to 3 times faster; without bfloat16 matrix units it
    still computes in float32. Whether it does is tried, not guessed: where a product comes out
    rounded, the switch is taken back.
    """
    torch.backends.cuda.matmul.fp32_precision = "ieee"
    _CUDNN.rnn.fp32_precision = "ieee"
    for name in ("ONEDNN_PRIMITIVE_CACHE_CAPACITY", "LRU_CACHE_CAPACITY"):
        os.environ.setdefault(name, CACHED_KERNELS)
    if _ONEDNN.is_available():
        _ONEDNN.matmul.fp32_precision = "bf16"
        if product_error() > FLOAT32_ERROR:
            _ONEDNN.matmul.fp32_precision = "ieee"


CACHED_KERNELS = "64"
"""oneDNN builds a kernel for every shape it meets and keeps 1,024 of them. Batches differ in
length, so few are met again: keeping all of them took more memory than the model itself."""

FLOAT32_ERROR = 1e-5
"""A float32 product of our probe is off by some 1e-6 of its greatest entry, a bfloat16 one by
some 1e-3."""


def product_error(size: int = 256) -> float:
    """Greatest error of a CPU matrix product as it is set up now, over its greatest entry."""
    left = torch.linspace(-1, 1, size * size).view(size, size).sin()
    right = torch.linspace(-7, 7, size * size).view(size, size).cos()
    exact = left.double() @ right.double()
    return float(((left @ right).double() - exact).abs().max() / exact.abs().max())


def _products_in_words() -> str:
    is_onednn = _ONEDNN.matmul.fp32_precision == "bf16"
    return f"float32 products by {'oneDNN' if is_onednn else 'PyTorch default'}"
