"""How much memory there is for a process: of the system, its control group, and its limit."""

import os
from pathlib import Path

import torch

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
