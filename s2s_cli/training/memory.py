"""Whether a model and its batches fit into memory: what is available, and what is needed.

What is available to a process is the least of three: the free memory of the system, what the
control group of the process (as in a container) may still take, and what `ulimit -v` leaves.
"""

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
    """Bytes that this process can still allocate on a device; None if unknown."""
    if device.type == "cuda":
        return int(torch.cuda.mem_get_info(device)[0])
    limits = [free_in_system(), free_in_cgroup(), free_in_rlimit()]
    return min((limit for limit in limits if limit is not None), default=None)


def free_in_system(meminfo: Path = Path("/proc/meminfo")) -> int | None:
    """What the system can provide without swapping; if it does not say, its total memory."""
    try:
        lines = meminfo.read_text(encoding="ascii").split("\n")
        fields = dict(line.split(":", 1) for line in lines if ":" in line)
        return int(fields["MemAvailable"].split()[0]) * 1024
    except (OSError, ValueError, KeyError, IndexError):
        try:
            return os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
        except (OSError, ValueError):
            return None


_PROC_CGROUP = Path("/proc/self/cgroup")
_CGROUPS = Path("/sys/fs/cgroup")


def free_in_cgroup(proc: Path = _PROC_CGROUP, groups: Path = _CGROUPS) -> int | None:
    """What the control group of this process, such as a container's, may still allocate.

    Args:
        proc: lists the groups of this process.
        groups: contains the files of the groups, of version 1 or 2.
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
        # Limits of parent groups apply too; inside a container its own group is the root.
        parents = [own, *own.parents] if own.is_dir() else [root]
        inside = [group for group in parents if group.is_relative_to(root)]
        found += [free for group in inside if (free := _free_in(group, *files)) is not None]
    return min(found, default=None)


def _free_in(group: Path, limit_name: str, used_name: str, cache_name: str) -> int | None:
    """What one control group may still allocate; its reclaimable file cache counts as free."""
    try:
        limit = int((group / limit_name).read_text(encoding="ascii"))
        used = int((group / used_name).read_text(encoding="ascii"))
        rows = (group / "memory.stat").read_text(encoding="ascii").split("\n")
        cached = dict(row.split(" ", 1) for row in rows if " " in row).get(cache_name, "0")
        return max(0, limit - used + int(cached))
    except (OSError, ValueError):
        return None  # `max`: there is no limit


def free_in_rlimit(statm: Path = Path("/proc/self/statm")) -> int | None:
    """What `ulimit -v` lets this process still allocate; None if there is no limit."""
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


BYTES_PER_NUMBER = 4
"""Of weights, gradients and the optimizer's state."""

MIN_ENTRIES = 5
"""Of a vocabulary: the markers and one word."""

SIZE_KEYS = {
    "encoder": ("model.hidden_size", "model.num_layers"),
    "decoder": ("model.hidden_size", "model.num_layers"),
    "src_embedding": ("model.embed_size", "vocab.max_size"),
    "tgt_embedding": ("model.embed_size", "vocab.max_size"),
    "output": ("vocab.max_size", "model.hidden_size", "model.embed_size"),
}
"""For each part of a model, the keys that determine its size."""


class MemoryNeed(NamedTuple):
    """The memory that a training needs before its first batch."""

    num_weights: int
    num_copies: int
    """Numbers kept per weight: itself, its gradient, the optimizer's state, the moving average."""
    largest_part: str
    """The part of the model with the most weights."""

    @property
    def num_bytes(self) -> int:
        """Total size."""
        return self.num_weights * self.num_copies * BYTES_PER_NUMBER


def estimate_need(config: Config, src_entries: int, tgt_entries: int) -> MemoryNeed:
    """Compute the size of model, gradients, optimizer state and moving average; allocates nothing.

    Args:
        config: the recipe.
        src_entries: size of the source vocabulary.
        tgt_entries: size of the target vocabulary.
    """
    with torch.device("meta"):
        model = Seq2Seq(config.model, src_entries, tgt_entries, PAD_ID)
    sizes = Counter(
        {name: sum(p.numel() for p in part.parameters()) for name, part in model.named_children()}
    )
    # A real parameter, because an optimizer needs one.
    optimizer = make_optimizer([nn.Parameter(torch.zeros(1))], config.training)
    num_copies = 2 + count_copies(optimizer) + (config.training.ema > 0)
    return MemoryNeed(model.num_parameters(), num_copies, sizes.most_common(1)[0][0])


def check_memory(
    config: Config,
    device: torch.device,
    src_entries: int = MIN_ENTRIES,
    tgt_entries: int = MIN_ENTRIES,
    num_processes: int = 1,
) -> None:
    """Refuse a model whose training does not fit into memory.

    Args:
        config: the recipe.
        device: where the model will be trained.
        src_entries: size of the source vocabulary; by default the smallest possible one.
        tgt_entries: size of the target vocabulary.
        num_processes: number of processes that share the memory and have no model yet.

    Raises:
        DeviceError: there is too little memory; the message names the sizes to lower.
        ConfigError: the model cannot be made at all.
    """
    need = estimate_need(config, src_entries, tgt_entries)
    each = f" in each of {num_processes} processes" if num_processes > 1 else ""
    what = f"its {need.num_weights:,} weights{each}"
    if device.type != "cpu":  # weights are created on the CPU
        num_bytes = need.num_weights * BYTES_PER_NUMBER * num_processes
        _check_available(torch.device("cpu"), what, num_bytes, need, config)
    rest = f"gradients and the state of {config.training.optimizer}"
    num_bytes = need.num_bytes * (num_processes if device.type == "cpu" else 1)
    _check_available(device, f"{what}, with {rest},", num_bytes, need, config)


def _check_available(
    device: torch.device, what: str, num_bytes: int, need: MemoryNeed, config: Config
) -> None:
    available = available_memory(device)
    if available is not None and num_bytes > available:
        sizes = {key: _setting(config, key) for key in SIZE_KEYS[need.largest_part]}
        keys = [f"{key} ({size})" for key, size in sizes.items() if size > 1]
        raise DeviceError(
            f"{device}: too little memory to train this model: {what} need "
            f"{describe_bytes(num_bytes)}, and {describe_bytes(available)} are available; lower "
            f"{' or '.join(keys)}"
        )


def _setting(config: Config, dotted: str) -> int:
    section, _, key = dotted.partition(".")
    return int(getattr(getattr(config, section), key))


def describe_bytes(number: int) -> str:
    """Format a size of memory, as in `1.5 GB`."""
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
            remedy = "lower data.max_length or make the model smaller"
        else:
            problem = f"a batch of {num_pairs} pairs of up to {lengths}"
            remedy = "halve training.batch_size and double training.accumulate"
        raise DeviceError(
            f"{device}: too little memory for {problem} ({reason}); {remedy}, then train from "
            "scratch with --fresh"
        ) from error
