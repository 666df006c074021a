"""Choose the device, and set the precision of its float32 matrix products."""

import os
import platform
import re
from typing import Any

import torch

from s2s_cli.errors import DeviceError
from s2s_cli.launch import Launch

# Typed Any, because PyTorch's types lack the settings of these modules.
_ONEDNN: Any = torch.backends.mkldnn
_CUDNN: Any = torch.backends.cudnn


ALONE = Launch()


def choose_device(name: str, launch: Launch = ALONE) -> torch.device:
    """Resolve `auto`, `cpu`, `cuda`, `cuda:N` or `mps`; `auto` is the first GPU, else the CPU.

    Args:
        name: the requested device.
        launch: this process; of several, each gets a GPU of its own.

    Raises:
        DeviceError: the name is wrong, or there is no such device, or not one for each process.
    """
    if launch.size > 1:
        return _choose_own_gpu(choose_device(name), name, launch)
    if not re.fullmatch(r"auto|cpu|mps|cuda(:\d+)?", name):
        raise DeviceError(f"--device {name}: unknown; choose auto, cpu, cuda, cuda:N or mps")
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


def _choose_own_gpu(device: torch.device, name: str, launch: Launch) -> torch.device:
    """The device of one of several processes."""
    if device.type == "cpu":
        return device
    if device.type == "mps" or device.index is not None:
        raise DeviceError(
            f"--device {name}: one device for {launch.size} processes; use --device cuda, which "
            "gives each process its own GPU, or cpu"
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
    """Describe the device for messages."""
    if device.type == "cuda":
        return f"{device} ({torch.cuda.get_device_name(device)})"
    if device.type == "cpu":
        threads = torch.get_num_threads()
        return f"cpu ({threads} thread{'s'[: threads > 1]}, {_describe_products()})"
    return f"{device} ({platform.processor()})"


def allow_tf32(device: torch.device) -> None:
    """Let a GPU round the inputs of float32 products to the 10 bits of TF32.

    Raises:
        DeviceError: the device is not an NVIDIA GPU.
    """
    if device.type != "cuda":
        raise DeviceError(
            f"training.precision tf32: requires an NVIDIA GPU, and the device is {device.type}; "
            "choose float32 or bf16"
        )
    torch.backends.cuda.matmul.fp32_precision = "tf32"
    _CUDNN.rnn.fp32_precision = "tf32"


def prepare_device() -> None:
    """Compute float32 products on the CPU with oneDNN where that is exact; no TF32 on CUDA.

    By default PyTorch uses MKL, which is slow on processors of other makers than Intel. The
    setting "bf16" makes it use oneDNN, which is 2 to 3 times faster and, on processors without
    bfloat16 matrix units, still computes in float32. A trial product shows whether it does; if the
    product is rounded, the setting is undone.
    """
    torch.backends.cuda.matmul.fp32_precision = "ieee"
    _CUDNN.rnn.fp32_precision = "ieee"
    for name in ("ONEDNN_PRIMITIVE_CACHE_CAPACITY", "LRU_CACHE_CAPACITY"):
        os.environ.setdefault(name, NUM_CACHED_KERNELS)
    if _ONEDNN.is_available():
        _ONEDNN.matmul.fp32_precision = "bf16"
        if product_error() > FLOAT32_ERROR:
            _ONEDNN.matmul.fp32_precision = "ieee"


NUM_CACHED_KERNELS = "64"
"""oneDNN builds a kernel for every shape and caches 1,024 of them. Batches differ in length, so
few shapes recur, and the full cache took more memory than the model itself."""

FLOAT32_ERROR = 1e-5
"""The trial product has a relative error of about 1e-6 in float32, and 1e-3 in bfloat16."""


def product_error(size: int = 256) -> float:
    """Largest error of a CPU matrix product with the present settings, over its largest entry."""
    left = torch.linspace(-1, 1, size * size).view(size, size).sin()
    right = torch.linspace(-7, 7, size * size).view(size, size).cos()
    exact = left.double() @ right.double()
    return float(((left @ right).double() - exact).abs().max() / exact.abs().max())


def _describe_products() -> str:
    is_onednn = _ONEDNN.matmul.fp32_precision == "bf16"
    return f"float32 products by {'oneDNN' if is_onednn else 'PyTorch default'}"
