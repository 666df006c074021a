"""PyTorch's random states, saved and put back."""

import torch
from torch import Tensor


def random_state(device: torch.device) -> dict[str, Tensor]:
    """PyTorch's random states as tensors."""
    state = {"random.cpu": torch.get_rng_state()}
    if device.type == "cuda":
        state["random.cuda"] = torch.cuda.get_rng_state(device)
    if device.type == "mps":
        state["random.mps"] = torch.mps.get_rng_state()
    return state


def restore_random_state(tensors: dict[str, Tensor], device: torch.device) -> None:
    """Put back what `random_state` gave."""
    torch.set_rng_state(tensors["random.cpu"])
    if device.type == "cuda" and "random.cuda" in tensors:
        torch.cuda.set_rng_state(tensors["random.cuda"], device)
    if device.type == "mps" and "random.mps" in tensors:
        torch.mps.set_rng_state(tensors["random.mps"])
