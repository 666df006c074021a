"""How a run was made: by which command, on which machine, with which versions."""

import platform
import shlex
import sys
from pathlib import Path

import torch

from s2s_cli.checkpoint import s2s_version
from s2s_cli.device import describe_device
from s2s_cli.distributed import ALONE, Ranks

CPU_INFO = Path("/proc/cpuinfo")


def describe_run(
    recipe: str, num_parameters: int, device: torch.device, ranks: Ranks = ALONE
) -> dict[str, object]:
    """The facts that `run.json` keeps."""
    together = f"; {ranks.size} such processes" if ranks.size > 1 else ""
    return {
        "recipe": recipe,
        "command": shlex.join(["s2s", *sys.argv[1:]]),
        "machine": f"{_processor()}; {describe_device(device)}{together}",
        "num_parameters": num_parameters,
        "s2s_version": s2s_version(),
        "torch_version": torch.__version__,
        "python_version": platform.python_version(),
    }


def _processor() -> str:
    """The processor's name, where the system tells it."""
    if CPU_INFO.is_file():
        for line in CPU_INFO.read_text(encoding="utf-8", errors="replace").split("\n"):
            name, _, value = line.partition(":")
            if name.strip() == "model name":
                return value.strip()
    return platform.processor() or platform.machine()
