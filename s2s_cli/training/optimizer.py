"""The optimizer of a recipe, its state as tensors to save, and the schedules of an update."""

import math
from collections.abc import Iterable, Mapping

import torch
from torch import Tensor
from torch.amp.grad_scaler import GradScaler
from torch.optim import SGD, Adadelta, Adam, AdamW, Optimizer, RMSprop

from s2s_cli.config import Training

PREFIX = "optimizer"


def make_optimizer(parameters: Iterable[torch.nn.Parameter], config: Training) -> Optimizer:
    """Make the recipe's optimizer, fused where PyTorch supports it."""
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
    """Make PyTorch's loss scaler, which keeps float16 from rounding small gradients to 0.

    It does nothing unless the precision is fp16. An update whose gradient overflows is skipped and
    the scale is halved; after 2,000 updates without overflow it is doubled.
    """
    return GradScaler(device.type, enabled=config.precision == "fp16")


STATE_NAMES: dict[type[Optimizer], tuple[str, ...]] = {
    Adam: ("step", "exp_avg", "exp_avg_sq"),
    AdamW: ("step", "exp_avg", "exp_avg_sq"),
    SGD: (),
    RMSprop: ("step", "square_avg"),
    Adadelta: ("step", "square_avg", "acc_delta"),
}
"""The tensors that each optimizer keeps per parameter, momentum excluded."""


def count_copies(optimizer: Optimizer) -> int:
    """Count the numbers that the optimizer keeps per weight."""
    return len(_state_names(optimizer) - {"step"})


def _state_names(optimizer: Optimizer) -> set[str]:
    has_momentum = optimizer.param_groups[0].get("momentum", 0) > 0
    return {*STATE_NAMES[type(optimizer)], *(["momentum_buffer"] if has_momentum else [])}


def set_learning_rate(optimizer: Optimizer, rate: float) -> None:
    """Set the learning rate of the next update."""
    for group in optimizer.param_groups:
        group["lr"] = rate


def optimizer_tensors(optimizer: Optimizer) -> dict[str, Tensor]:
    """The optimizer's state as tensors to save, `optimizer.<parameter>.<name>`."""
    return {
        f"{PREFIX}.{index}.{name}": tensor.detach().cpu().contiguous()
        for index, entries in optimizer.state_dict()["state"].items()
        for name, tensor in entries.items()
        if tensor is not None  # momentum, where there is none
    }


def restore_optimizer(optimizer: Optimizer, tensors: Mapping[str, Tensor]) -> None:
    """Restore what `optimizer_tensors` returned; the optimizer keeps its settings.

    Raises:
        ValueError: the tensors are not those of this optimizer and these parameters.
    """
    state: dict[int, dict[str, Tensor]] = {}
    for key, tensor in tensors.items():
        prefix, _, rest = key.partition(".")
        if prefix == PREFIX:
            index, _, name = rest.partition(".")
            state.setdefault(int(index), {})[name] = tensor
    _check_state(optimizer, state)
    groups = optimizer.state_dict()["param_groups"]
    optimizer.load_state_dict({"state": state, "param_groups": groups})


def _check_state(optimizer: Optimizer, state: Mapping[int, Mapping[str, Tensor]]) -> None:
    """Check that all parameters have a complete state of their shape, or that none has any."""
    parameters = [parameter for group in optimizer.param_groups for parameter in group["params"]]
    if state and state.keys() != {*range(len(parameters))}:
        raise ValueError(f"{PREFIX}: has {len(state)} of {len(parameters)} parameters")
    names = _state_names(optimizer)
    for index, entries in state.items():
        if entries.keys() != names:
            raise ValueError(f"{PREFIX}.{index}: has {', '.join(entries)}, not {', '.join(names)}")
        for name, tensor in entries.items():
            if tensor.shape not in {(), parameters[index].shape} or not tensor.isfinite().all():
                raise ValueError(f"{PREFIX}.{index}.{name}: {tuple(tensor.shape)}, or not finite")


def learning_rate(config: Training, epoch: int, step: int, num_decays: int) -> float:
    """The learning rate of an update.

    Args:
        config: selects the schedule.
        epoch: from 0.
        step: updates done before this one.
        num_decays: plateaus that lowered the learning rate so far.
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
        case "inverse_sqrt":  # Vaswani et al. 2017, scaled so that its peak is the learning rate
            factor = math.sqrt(config.warmup_steps / max(step + 1, config.warmup_steps))
    return config.peak_learning_rate * warmup * factor


def teacher_forcing(config: Training, step: int) -> float:
    """Probability of feeding the reference token (Bengio et al. 2015, section 2.4).

    Args:
        config: selects the schedule.
        step: updates done before this one.
    """
    start, end, k = config.teacher_forcing, config.teacher_forcing_min, config.teacher_forcing_steps
    match config.teacher_forcing_schedule:
        case "constant":
            return start
        case "linear":
            probability = start - (start - end) * step / k
        case "exponential":
            probability = start * math.exp(-step / k)
        case "inverse_sigmoid":
            # k / (k + exp(i / k)), as 1 / (1 + exp(i / k - log k)) so that exp stays a float.
            probability = start / (1 + math.exp(min(step / k - math.log(k), 700.0)))
    return max(end, probability)
