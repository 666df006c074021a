"""The optimizer of a recipe, and its state as tensors that can be saved."""

from collections.abc import Iterable, Mapping

import torch
from torch import Tensor
from torch.optim import SGD, Adadelta, Adam, AdamW, Optimizer, RMSprop

from s2s_cli.config import Training

PREFIX = "optimizer"


def make_optimizer(parameters: Iterable[torch.nn.Parameter], config: Training) -> Optimizer:
    """One of PyTorch's optimizers, fused where PyTorch can."""
    parameters = list(parameters)
    rate, decay, momentum = config.peak_learning_rate, config.weight_decay, config.momentum
    fused = all(parameter.device.type in {"cpu", "cuda"} for parameter in parameters)
    match config.optimizer:
        case "adam":
            return Adam(parameters, rate, weight_decay=decay, fused=fused)
        case "adamw":
            return AdamW(parameters, rate, weight_decay=decay, fused=fused)
        case "sgd":
            return SGD(parameters, rate, weight_decay=decay, momentum=momentum, fused=fused)
        case "rmsprop":
            return RMSprop(parameters, rate, weight_decay=decay, momentum=momentum)
        case "adadelta":
            return Adadelta(parameters, rate, weight_decay=decay)


def set_learning_rate(optimizer: Optimizer, rate: float) -> None:
    """The step size of the next update."""
    for group in optimizer.param_groups:
        group["lr"] = rate


def optimizer_tensors(optimizer: Optimizer) -> dict[str, Tensor]:
    """The optimizer's memory, flat: `optimizer.<parameter>.<name>`."""
    return {
        f"{PREFIX}.{index}.{name}": tensor.detach().cpu().contiguous()
        for index, entries in optimizer.state_dict()["state"].items()
        for name, tensor in entries.items()
        if tensor is not None  # the momentum of an optimizer without one
    }


def restore_optimizer(optimizer: Optimizer, tensors: Mapping[str, Tensor]) -> None:
    """Put back what `optimizer_tensors` gave; settings stay those of the optimizer."""
    state: dict[int, dict[str, Tensor]] = {}
    for key, tensor in tensors.items():
        prefix, _, rest = key.partition(".")
        if prefix == PREFIX:
            index, _, name = rest.partition(".")
            state.setdefault(int(index), {})[name] = tensor
    groups = optimizer.state_dict()["param_groups"]
    optimizer.load_state_dict({"state": state, "param_groups": groups})
