"""The machine of a benchmark: its processor, its load, and its speed of multiplication."""

import json
import os
import platform
import subprocess
import sys
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from benchmarks.environments import Peer, alone
from benchmarks.errors import RunError

Facts = dict[str, Any]
"""A JSON object."""


def describe_machine(device: str = "cpu") -> Facts:
    """Facts that do not change while a benchmark runs."""
    return {
        **({"gpu": gpu_name()} if device == "cuda" else {}),
        "processor": processor_name(),
        "cores": os.cpu_count(),
        "memory_gb": round(os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 2**30, 1),
        "system": f"{platform.system()} {platform.machine()}",
        "python": platform.python_version(),
        "threads_asked": os.environ.get("OMP_NUM_THREADS"),
    }


def processor_name() -> str:
    """The name of the processor, and its relevant instruction sets."""
    info = Path("/proc/cpuinfo")
    if not info.is_file():
        return platform.processor() or platform.machine()
    facts: dict[str, str] = {}
    for line in info.read_text(encoding="utf-8", errors="replace").split("\n"):
        name, _, value = line.partition(":")
        facts.setdefault(name.strip(), value.strip())
    flags = set(facts.get("flags", "").split())
    known = [flag for flag in ("avx2", "avx512f", "avx512_bf16", "amx_bf16") if flag in flags]
    return f"{facts.get('model name', platform.machine())} ({', '.join(known)})"


def gpu_name() -> str:
    """The name of the first GPU in PyTorch.

    Raises:
        DeviceError: there is none.
    """
    from s2s_cli.device import choose_device, describe_device  # noqa: PLC0415 (imports torch)

    return describe_device(choose_device("cuda"))


def load_average() -> float:
    """The load average of the last minute."""
    return os.getloadavg()[0]


def busy_seconds() -> float | None:
    """CPU seconds that all cores have been busy since the machine started; None if unknown."""
    stat = Path("/proc/stat")
    if not stat.is_file():
        return None
    user, nice, system, _idle, _wait, irq, softirq, steal = map(
        int, stat.read_text(encoding="ascii").split("\n")[0].split()[1:9]
    )
    return (user + nice + system + irq + softirq + steal) / os.sysconf("SC_CLK_TCK")


def versions_of(peers: Iterable[Peer]) -> Facts:
    """The versions of s2s and of other toolkits, each with its version of torch.

    Raises:
        RunError: one is not installed.
    """
    own = _versions(Path(sys.executable), "s2s-cli", dict(os.environ))
    theirs = {peer.name: _versions(peer.python, peer.distribution, alone()) for peer in peers}
    return {"s2s": own} | theirs


def _versions(python: Path, distribution: str, environment: dict[str, str]) -> Facts:
    code = (
        "import importlib.metadata as m, json, sys;"
        "print(json.dumps([m.version(name) for name in sys.argv[1:]]))"
    )
    arguments = [str(python), "-c", code, distribution, "torch"]
    done = subprocess.run(arguments, capture_output=True, check=False, text=True, env=environment)
    if done.returncode:
        raise RunError(
            f"{python}: {distribution} is not installed there ({done.stderr.strip()[-200:]}); "
            "for s2s run: pip install --no-deps -e ."
        )
    own, torch = json.loads(done.stdout)
    return {"version": own, "torch": torch}


def product_rates(device: str = "cpu") -> Facts:
    """GFLOP/s of matrix products, with all threads or on a GPU, measured in a separate process."""
    command = [sys.executable, "-m", "benchmarks.products", device]
    done = subprocess.run(command, capture_output=True, check=False, text=True)
    if done.returncode:
        raise RunError(f"{' '.join(command)}: ended with {done.returncode}: {done.stderr[-500:]}")
    return dict(json.loads(done.stdout))
