"""Averages of weights: a moving one along the way, and one of several epochs at the end."""

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

PREFIX = "ema"


def make_moving_average(model: Seq2Seq, decay: float) -> AveragedModel:
    """A copy of the model whose weights follow it: w' = decay w' + (1 - decay) w."""
    averaged = AveragedModel(model, multi_avg_fn=get_ema_multi_avg_fn(decay))  # type: ignore[no-untyped-call]
    averaged.requires_grad_(requires_grad=False)
    return averaged


def moving_average_tensors(averaged: AveragedModel) -> dict[str, Tensor]:
    """Its memory as tensors that can be saved, `ema.<name>`."""
    return {
        f"{PREFIX}.{name}": tensor.cpu().contiguous()
        for name, tensor in averaged.state_dict().items()
    }


def restore_moving_average(averaged: AveragedModel, tensors: Mapping[str, Tensor]) -> None:
    """Put back what `moving_average_tensors` gave."""
    prefix = f"{PREFIX}."
    averaged.load_state_dict(
        {name.removeprefix(prefix): t for name, t in tensors.items() if name.startswith(prefix)}
    )


def mean_weights(models: Sequence[Mapping[str, Tensor]]) -> dict[str, Tensor]:
    """The mean of several models' weights, summed in double precision."""
    return {
        name: torch.stack([weights[name].double() for weights in models]).mean(0).to(tensor.dtype)
        for name, tensor in models[0].items()
    }


def epochs_to_average(run: RunFolder, config: Training, criterion: Criterion) -> list[Path]:
    """Folders of the last or of the best epochs, as many as are asked for, oldest first."""
    folders = run.epochs()
    if config.average_of == "best":
        folders.sort(key=lambda path: criterion.rank(load_card(path).valid_scores))
    return sorted(folders[-config.average :])


def take_mean(model: Seq2Seq, folders: Sequence[Path]) -> list[int]:
    """Put the mean of some epochs' weights into a model; which epochs those are."""
    kept = [load_model(path) for path in folders]
    model.load_state_dict(mean_weights([one.model.state_dict() for one in kept]))
    return [one.card.epoch for one in kept]
