"""How much memory there is for a process: of the system, its control group, and its limit."""

import os
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import NamedTuple

import torch
from torch import nn

from s2s_cli.config import Config
from s2s_cli.data.batching import Batch
from s2s_cli.errors import DeviceError, is_out_of_memory
from s2s_cli.model.seq2seq import Seq2Seq
from s2s_cli.text.vocabulary import PAD_ID
from s2s_cli.training.optimizer import count_copies, make_optimizer

try:
    import resource
except ImportError:  # not on Windows
    resource = None  # type: ignore[assignment]


def available_memory(device: torch.device) -> int | None:
    """Bytes that a device still has for this process; None where that is not known."""
    if device.type == "cuda":
        return int(torch.cuda.mem_get_info(device)[0])
    limits = [free_memory(), free_of_group(), free_of_limit()]
    return min((limit for limit in limits if limit is not None), default=None)


def free_memory(meminfo: Path = Path("/proc/meminfo")) -> int | None:
    """What the system could give without swapping; where it does not say, all that there is."""
    try:
        lines = meminfo.read_text(encoding="ascii").split("\n")
        fields = dict(line.split(":", 1) for line in lines if ":" in line)
        return int(fields["MemAvailable"].split()[0]) * 1024
    except (OSError, ValueError, KeyError, IndexError):
        try:
            return os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
        except (OSError, ValueError):
            return None


_PROC_GROUP = Path("/proc/self/cgroup")
_GROUPS = Path("/sys/fs/cgroup")


def free_of_group(proc: Path = _PROC_GROUP, groups: Path = _GROUPS) -> int | None:
    """What the control group of this process, such as a container's, may still take.

    Args:
        proc: the groups of this process.
        groups: where their files are, of either version.
    """
    try:
        lines = proc.read_text(encoding="utf-8").split("\n")
    except (OSError, UnicodeDecodeError):
        return None
    found = []
    for line in lines:
        _, _, rest = line.partition(":")
        kinds, _, name = rest.partition(":")
        if kinds == "":
            root, files = groups, ("memory.max", "memory.current", "inactive_file")
        elif "memory" in kinds.split(","):
            names = ("memory.limit_in_bytes", "memory.usage_in_bytes", "total_inactive_file")
            root, files = groups / "memory", names
        else:
            continue
        own = root / name.lstrip("/")
        # Limits of the groups above hold as well; inside a container its own group is the root.
        above = [own, *own.parents] if own.is_dir() else [root]
        places = [place for place in above if place.is_relative_to(root)]
        found += [free for place in places if (free := _free_of(place, *files)) is not None]
    return min(found, default=None)


def _free_of(group: Path, most: str, used: str, reclaimable: str) -> int | None:
    """Of one control group; what it keeps of files only for speed counts as free."""
    try:
        limit = int((group / most).read_text(encoding="ascii"))
        taken = int((group / used).read_text(encoding="ascii"))
        rows = (group / "memory.stat").read_text(encoding="ascii").split("\n")
        cached = dict(row.split(" ", 1) for row in rows if " " in row).get(reclaimable, "0")
        return max(0, limit - taken + int(cached))
    except (OSError, ValueError):
        return None  # `max`: there is no limit


def free_of_limit(statm: Path = Path("/proc/self/statm")) -> int | None:
    """What `ulimit -v` leaves to this process."""
    if resource is None:
        return None
    limit, _ = resource.getrlimit(resource.RLIMIT_AS)
    if limit == resource.RLIM_INFINITY:
        return None
    try:
        pages = int(statm.read_text(encoding="ascii").split()[0])
    except (OSError, ValueError, IndexError):
        pages = 0
    return max(0, limit - pages * resource.getpagesize())


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


@contextmanager
def report_out_of_memory(batches: Sequence[Batch], device: torch.device) -> Iterator[None]:
    """Turn PyTorch's errors about lacking memory into one that says what to lower.

    Args:
        batches: of the update in progress.
        device: where it is computed.

    Raises:
        DeviceError: there was too little memory.
    """
    try:
        yield
    except (RuntimeError, MemoryError) as error:
        if not is_out_of_memory(error):
            raise
        largest = max(batches, key=lambda batch: batch.src.numel() + batch.tgt_out.numel())
        num_pairs, src_len = largest.src.shape
        lengths = f"{src_len} source and {largest.tgt_out.shape[1]} target tokens"
        reason = " ".join(str(error).split())[:200]
        if num_pairs == 1:
            problem = f"a single pair of {lengths}"
            remedy = "lower data.max_length, or make the model smaller"
        else:
            problem = f"a batch of {num_pairs} pairs of up to {lengths}"
            remedy = "halve training.batch_size and double training.accumulate"
        raise DeviceError(
            f"{device}: too little memory for {problem} ({reason}); {remedy}"
        ) from error
