"""PyTorch's random states, saved and put back; each process draws its own numbers."""

import numpy as np
import safetensors.torch
import torch
from torch import Tensor

from s2s_cli.parallel import Ranks


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


def gather_random_states(ranks: Ranks, device: torch.device) -> dict[str, Tensor]:
    """Those of all processes; the names say whose, but for the first one's."""
    states = ranks.gather(safetensors.torch.save(random_state(device)))
    return {
        f"{_prefix(rank)}{name}": tensor
        for rank, content in enumerate(states)
        for name, tensor in safetensors.torch.load(content).items()
    }


def find_random_state(tensors: dict[str, Tensor], rank: int) -> dict[str, Tensor]:
    """A process's own part of what `gather_random_states` gave; empty if there was no such one."""
    prefix = _prefix(rank)
    return {
        name.removeprefix(prefix): tensor
        for name, tensor in tensors.items()
        if name.startswith(f"{prefix}random.")
    }


def seed_rank(seed: int, rank: int, step: int) -> None:
    """Let a process that joins in after some updates draw other numbers than its fellows.

    Args:
        seed: of the run.
        rank: of the process.
        step: updates done.
    """
    state = np.random.SeedSequence([seed, rank, step]).generate_state(1, np.uint64)
    torch.manual_seed(int(state[0]))


def _prefix(rank: int) -> str:
    return f"rank-{rank}." if rank else ""
