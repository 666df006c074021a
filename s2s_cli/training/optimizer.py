"""Adam, its learning rate, and its state as tensors that can be saved."""

from collections.abc import Iterable, Mapping

import torch
from torch import Tensor
from torch.optim import Adam

from s2s_cli.config import Training

PREFIX = "optimizer"


def make_optimizer(parameters: Iterable[torch.nn.Parameter], config: Training) -> Adam:
    """Adam (Kingma and Ba 2015), fused where PyTorch can."""
    parameters = list(parameters)
    is_fused = all(parameter.device.type in {"cpu", "cuda"} for parameter in parameters)
    return Adam(parameters, lr=config.learning_rate, fused=is_fused)


def learning_rate(config: Training, epoch: int) -> float:
    """The learning rate of an epoch (from 0): a pure function, so nothing needs to be saved."""
    num_decays = max(0, epoch + 1 - config.decay_after)
    return config.learning_rate * config.learning_rate_decay**num_decays


def optimizer_tensors(optimizer: Adam) -> dict[str, Tensor]:
    """The optimizer's memory, flat: `optimizer.<parameter>.<name>`."""
    return {
        f"{PREFIX}.{index}.{name}": tensor.detach().cpu().contiguous()
        for index, entries in optimizer.state_dict()["state"].items()
        for name, tensor in entries.items()
    }


def restore_optimizer(optimizer: Adam, tensors: Mapping[str, Tensor]) -> None:
    """Put back what `optimizer_tensors` gave; settings stay those of the optimizer."""
    state: dict[int, dict[str, Tensor]] = {}
    for key, tensor in tensors.items():
        prefix, _, rest = key.partition(".")
        if prefix == PREFIX:
            index, _, name = rest.partition(".")
            state.setdefault(int(index), {})[name] = tensor
    groups = optimizer.state_dict()["param_groups"]
    optimizer.load_state_dict({"state": state, "param_groups": groups})
