"""Which device computes, and how it multiplies float32 matrices."""

import platform

import torch

from s2s_cli.errors import DeviceError


def choose_device(name: str) -> torch.device:
    """Resolve `auto`, `cpu`, `cuda`, `cuda:N` or `mps`; `auto` takes the first GPU, else the CPU.

    Raises:
        DeviceError: the device asked for is not there.
    """
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


def describe_device(device: torch.device) -> str:
    """The device in words, for people."""
    if device.type == "cuda":
        return f"{device} ({torch.cuda.get_device_name(device)})"
    if device.type == "cpu":
        return f"cpu ({torch.get_num_threads()} threads, {_products_in_words()})"
    return f"{device} ({platform.processor()})"


def prepare_float32() -> None:
    """Let oneDNN do the CPU's float32 products where that keeps them float32.

    PyTorch sends them to MKL, which takes a slow path on processors that are not Intel's. Its
    precision switch "medium" sends them to oneDNN, 2 to 3 times faster there. With AMX units
    "medium" would round to bfloat16, so on those processors the switch stays off. On CUDA it
    would allow TF32 and bfloat16, so products there are pinned to full float32.
    """
    if not torch.cpu._is_amx_tile_supported():
        torch.set_float32_matmul_precision("medium")
    if torch.cuda.is_available():
        torch.backends.cuda.matmul.allow_tf32 = False
        torch.backends.cudnn.allow_tf32 = False


def _products_in_words() -> str:
    is_onednn = torch.get_float32_matmul_precision() == "medium"
    return f"float32 products by {'oneDNN' if is_onednn else 'PyTorch default'}"
