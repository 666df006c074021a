import pytest
import torch

from s2s_cli.device import (
    FLOAT32_ERROR,
    allow_tf32,
    choose_device,
    describe_device,
    prepare_device,
    product_error,
)
from s2s_cli.errors import DeviceError


def test_auto_takes_what_is_there_and_cpu_is_always_there() -> None:
    assert choose_device("cpu") == torch.device("cpu")
    has_gpu = torch.cuda.is_available() or torch.backends.mps.is_available()
    assert (choose_device("auto").type == "cpu") == (not has_gpu)


@pytest.mark.parametrize("name", ["cuda:99", "cuda", "mps"])
def test_a_device_that_is_missing_is_refused(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("torch.cuda.is_available", lambda: False)
    monkeypatch.setattr("torch.backends.mps.is_available", lambda: False)
    with pytest.raises(DeviceError, match=f"--device {name}: PyTorch finds no"):
        choose_device(name)


def test_a_gpu_number_past_the_last_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("torch.cuda.is_available", lambda: True)
    monkeypatch.setattr("torch.cuda.device_count", lambda: 1)
    assert choose_device("cuda:0") == torch.device("cuda:0")
    with pytest.raises(DeviceError, match="1 CUDA device"):
        choose_device("cuda:1")


def test_tf32_is_for_gpus() -> None:
    with pytest.raises(DeviceError, match="tf32: requires an NVIDIA GPU, and the device is cpu"):
        allow_tf32(torch.device("cpu"))


def test_float32_products_stay_float32() -> None:
    prepare_device()
    assert product_error() < FLOAT32_ERROR
    assert "float32 products by" in describe_device(torch.device("cpu"))


def test_the_trial_product_distinguishes_bfloat16_from_float32(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    exact = torch.Tensor.__matmul__

    def rounded(left: torch.Tensor, right: torch.Tensor) -> torch.Tensor:
        if left.dtype == torch.float64:
            return exact(left, right)
        return exact(left.bfloat16(), right.bfloat16()).float()

    monkeypatch.setattr(torch.Tensor, "__matmul__", rounded)
    assert product_error() > 10 * FLOAT32_ERROR
    prepare_device()
    assert "PyTorch default" in describe_device(torch.device("cpu"))
