"""The optimizer of a recipe, and its state as tensors that can be saved."""

import math
from collections.abc import Iterable, Mapping

import torch
from torch import Tensor
from torch.amp.grad_scaler import GradScaler
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


def make_scaler(config: Training, device: torch.device) -> GradScaler:
    """PyTorch's scaler of the loss: gradients that float16 would round to 0 are scaled up.

    Where it is not needed it does nothing. An update whose gradients overflow is left out, and the
    scale is halved; after 2,000 others it is doubled again.
    """
    return GradScaler(device.type, enabled=config.precision == "fp16")


MEMORY: dict[type[Optimizer], tuple[str, ...]] = {
    Adam: ("step", "exp_avg", "exp_avg_sq"),
    AdamW: ("step", "exp_avg", "exp_avg_sq"),
    SGD: (),
    RMSprop: ("step", "square_avg"),
    Adadelta: ("step", "square_avg", "acc_delta"),
}
"""What each remembers of a parameter, momentum left aside."""


def count_copies(optimizer: Optimizer) -> int:
    """How many numbers it remembers of each weight."""
    return len(_names_of(optimizer) - {"step"})


def _names_of(optimizer: Optimizer) -> set[str]:
    has_momentum = optimizer.param_groups[0].get("momentum", 0) > 0
    return {*MEMORY[type(optimizer)], *(["momentum_buffer"] if has_momentum else [])}


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
    """Put back what `optimizer_tensors` gave; settings stay those of the optimizer.

    Raises:
        ValueError: the tensors are not those of this optimizer and these parameters.
    """
    state: dict[int, dict[str, Tensor]] = {}
    for key, tensor in tensors.items():
        prefix, _, rest = key.partition(".")
        if prefix == PREFIX:
            index, _, name = rest.partition(".")
            state.setdefault(int(index), {})[name] = tensor
    _check_memory(optimizer, state)
    groups = optimizer.state_dict()["param_groups"]
    optimizer.load_state_dict({"state": state, "param_groups": groups})


def _check_memory(optimizer: Optimizer, state: Mapping[int, Mapping[str, Tensor]]) -> None:
    """Each parameter has a whole memory of its own shape, or none has any."""
    parameters = [parameter for group in optimizer.param_groups for parameter in group["params"]]
    if state and state.keys() != {*range(len(parameters))}:
        raise ValueError(f"{PREFIX}: knows {len(state)} of {len(parameters)} parameters")
    names = _names_of(optimizer)
    for index, entries in state.items():
        if entries.keys() != names:
            raise ValueError(f"{PREFIX}.{index}: has {', '.join(entries)}, not {', '.join(names)}")
        for name, tensor in entries.items():
            if tensor.shape not in {(), parameters[index].shape} or not tensor.isfinite().all():
                raise ValueError(f"{PREFIX}.{index}.{name}: {tuple(tensor.shape)}, or not finite")


def learning_rate(config: Training, epoch: int, step: int, num_decays: int) -> float:
    """The learning rate of an update.

    Args:
        config: names the schedule.
        epoch: from 0.
        step: updates done before this one.
        num_decays: how often a plateau was met so far.
    """
    warmup = min(1.0, (step + 1) / config.warmup_steps) if config.warmup_steps else 1.0
    match config.schedule:
        case "constant":
            factor = 1.0
        case "exponential":
            factor = config.learning_rate_decay ** max(0, epoch + 1 - config.decay_after)
        case "step":
            factor = config.learning_rate_decay ** (epoch // config.decay_every)
        case "plateau":
            factor = config.learning_rate_decay**num_decays
        case "inverse_sqrt":  # Vaswani et al. 2017, with its height as the learning rate
            factor = math.sqrt(config.warmup_steps / max(step + 1, config.warmup_steps))
    return config.peak_learning_rate * warmup * factor


def teacher_forcing(config: Training, step: int) -> float:
    """Chance of feeding the reference in an update (Bengio et al. 2015, section 2.4).

    Args:
        config: names the schedule.
        step: updates done before this one.
    """
    start, end, k = config.teacher_forcing, config.teacher_forcing_min, config.teacher_forcing_steps
    match config.teacher_forcing_schedule:
        case "constant":
            return start
        case "linear":
            chance = start - (start - end) * step / k
        case "exponential":
            chance = start * math.exp(-step / k)
        case "inverse_sigmoid":
            # k / (k + exp(i / k)), as 1 / (1 + exp(i / k - log k)) so that exp stays a float.
            chance = start / (1 + math.exp(min(step / k - math.log(k), 700.0)))
    return max(end, chance)
