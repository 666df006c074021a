"""The machine that measures: its processor, who else uses it, and how fast it multiplies."""

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
"""As JSON."""


def describe_machine(device: str = "cpu") -> Facts:
    """What does not change while a benchmark runs."""
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
    """The processor's name, and which of the instructions that matter here it has."""
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
    """The first GPU, as PyTorch calls it.

    Raises:
        DeviceError: there is none.
    """
    from s2s_cli.device import choose_device, describe_device  # noqa: PLC0415 (imports torch)

    return describe_device(choose_device("cuda"))


def load_average() -> float:
    """Of the last minute."""
    return os.getloadavg()[0]


def busy_seconds() -> float | None:
    """Seconds that the machine's cores have been busy since it started; None if it does not say."""
    stat = Path("/proc/stat")
    if not stat.is_file():
        return None
    user, nice, system, _idle, _wait, irq, softirq, steal = map(
        int, stat.read_text(encoding="ascii").split("\n")[0].split()[1:9]
    )
    return (user + nice + system + irq + softirq + steal) / os.sysconf("SC_CLK_TCK")


def versions_of(peers: Iterable[Peer]) -> Facts:
    """The versions of s2s and of the peers, each with its torch.

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
            "s2s itself: pip install --no-deps -e ."
        )
    own, torch = json.loads(done.stdout)
    return {"version": own, "torch": torch}


def product_rates(device: str = "cpu") -> Facts:
    """GFLOP/s of matrix products, on all threads or a GPU, in a process of its own."""
    command = [sys.executable, "-m", "benchmarks.products", device]
    done = subprocess.run(command, capture_output=True, check=False, text=True)
    if done.returncode:
        raise RunError(f"{' '.join(command)}: ended with {done.returncode}: {done.stderr[-500:]}")
    return dict(json.loads(done.stdout))
