"""Whether a model that is to be trained fits into the memory; counted before it is built."""

from collections import Counter
from typing import NamedTuple

import torch
from torch import nn

from s2s_cli.config import Config
from s2s_cli.errors import DeviceError
from s2s_cli.model.seq2seq import Seq2Seq
from s2s_cli.text.vocabulary import PAD_ID
from s2s_cli.training.available_memory import available_memory
from s2s_cli.training.optimizer import count_copies, make_optimizer

FLOAT = 4
"""Bytes of a weight, of its gradient, and of each number of the optimizer's state."""

FEWEST_ENTRIES = 5
"""Of a vocabulary: the markers and one word."""

CAUSES = {
    "encoder": ("model.hidden_size", "model.num_layers"),
    "decoder": ("model.hidden_size", "model.num_layers"),
    "src_embedding": ("model.embed_size", "vocab.max_size"),
    "tgt_embedding": ("model.embed_size", "vocab.max_size"),
    "output": ("vocab.max_size", "model.hidden_size", "model.embed_size"),
}
"""For each part of a model the keys that make it large."""


class Need(NamedTuple):
    """How much memory a training takes before its first batch."""

    num_weights: int
    num_copies: int
    """Numbers that are kept of each weight: itself, its gradient, what the optimizer remembers."""
    largest_part: str
    """Of the model."""

    @property
    def num_bytes(self) -> int:
        """Of all of it."""
        return self.num_weights * self.num_copies * FLOAT


def count_need(config: Config, src_entries: int, tgt_entries: int) -> Need:
    """Bytes of a model with its gradients, optimizer state and moving average; allocates none.

    Args:
        config: the recipe.
        src_entries: of the source vocabulary.
        tgt_entries: of the target vocabulary.
    """
    with torch.device("meta"):
        model = Seq2Seq(config.model, src_entries, tgt_entries, PAD_ID)
    sizes = Counter(
        {name: sum(p.numel() for p in part.parameters()) for name, part in model.named_children()}
    )
    # Of a parameter that is there, because an optimizer needs one.
    optimizer = make_optimizer([nn.Parameter(torch.zeros(1))], config.training)
    num_copies = 2 + count_copies(optimizer) + (config.training.ema > 0)
    return Need(model.num_parameters(), num_copies, sizes.most_common(1)[0][0])


def check_memory(
    config: Config,
    device: torch.device,
    src_entries: int = FEWEST_ENTRIES,
    tgt_entries: int = FEWEST_ENTRIES,
    num_processes: int = 1,
) -> None:
    """Refuse a model whose training cannot fit into the memory.

    Args:
        config: the recipe.
        device: where the model is to be trained.
        src_entries: of the source vocabulary; by default as few as there can be.
        tgt_entries: of the target vocabulary.
        num_processes: that share the device's memory, none of which has its model yet.

    Raises:
        DeviceError: there is too little, naming the sizes to lower.
        ConfigError: the model cannot be made at all.
    """
    need = count_need(config, src_entries, tgt_entries)
    each = f" in each of {num_processes} processes" if num_processes > 1 else ""
    what = f"its {need.num_weights:,} weights{each}"
    if device.type != "cpu":  # where they are made
        num_bytes = need.num_weights * FLOAT * num_processes
        _compare(torch.device("cpu"), what, num_bytes, need, config)
    others = f"gradients and the state of {config.training.optimizer}"
    num_bytes = need.num_bytes * (num_processes if device.type == "cpu" else 1)
    _compare(device, f"{what}, with {others},", num_bytes, need, config)


def _compare(device: torch.device, what: str, num_bytes: int, need: Need, config: Config) -> None:
    available = available_memory(device)
    if available is not None and num_bytes > available:
        sizes = {key: _value(config, key) for key in CAUSES[need.largest_part]}
        keys = [f"{key} ({size})" for key, size in sizes.items() if size > 1]
        raise DeviceError(
            f"{device}: too little memory to train this model: {what} need "
            f"{describe_bytes(num_bytes)}, and {describe_bytes(available)} are available; lower "
            f"{' or '.join(keys)}"
        )


def _value(config: Config, dotted: str) -> int:
    section, _, key = dotted.partition(".")
    return int(getattr(getattr(config, section), key))


def describe_bytes(number: int) -> str:
    """A size of memory for people, as in `1.5 GB`."""
    return f"{number / 1e9:,.1f} GB" if number >= 1e8 else f"{number / 1e6:,.1f} MB"
