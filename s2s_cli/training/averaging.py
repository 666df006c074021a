"""Averages of weights: an exponential moving average (EMA), and the mean of several epochs."""

from collections.abc import Mapping, Sequence
from pathlib import Path

import torch
from torch import Tensor
from torch.optim.swa_utils import AveragedModel, get_ema_multi_avg_fn

from s2s_cli.checkpoint import load_card, load_model
from s2s_cli.config import Training
from s2s_cli.model.seq2seq import Seq2Seq
from s2s_cli.run import RunFolder
from s2s_cli.training.validate import Criterion

PREFIX = "ema."


def make_ema(model: Seq2Seq, decay: float) -> AveragedModel:
    """Copy the model for weights that follow it: w' = decay w' + (1 - decay) w."""
    ema = AveragedModel(model, multi_avg_fn=get_ema_multi_avg_fn(decay))  # type: ignore[no-untyped-call]
    ema.requires_grad_(requires_grad=False)
    return ema


def ema_tensors(ema: AveragedModel) -> dict[str, Tensor]:
    """The state of the average as tensors to save, `ema.<name>`."""
    state = ema.state_dict()
    return {f"{PREFIX}{name}": tensor.cpu().contiguous() for name, tensor in state.items()}


def restore_ema(ema: AveragedModel, tensors: Mapping[str, Tensor]) -> None:
    """Restore what `ema_tensors` returned; other tensors are ignored."""
    ema.load_state_dict(
        {name.removeprefix(PREFIX): t for name, t in tensors.items() if name.startswith(PREFIX)}
    )


def epochs_to_average(run: RunFolder, config: Training, criterion: Criterion) -> list[Path]:
    """Folders of the last or the best `training.average` epochs, oldest first."""
    folders = run.epochs()
    if config.average_of == "best":
        folders.sort(key=lambda path: criterion.rank(load_card(path).valid_scores))
    return sorted(folders[-config.average :])


def load_mean(model: Seq2Seq, folders: Sequence[Path]) -> list[int]:
    """Set the weights of a model to the mean of several epochs; returns the epochs."""
    saved = [load_model(path) for path in folders]
    states = [one.model.state_dict() for one in saved]
    model.load_state_dict(
        {
            # Summed in double precision.
            name: torch.stack([state[name].double() for state in states]).mean(0).to(tensor.dtype)
            for name, tensor in states[0].items()
        }
    )
    return [one.card.epoch for one in saved]
