"""The systems to measure: each tool as it ships, and with other settings."""

import os
from pathlib import Path
from typing import NamedTuple

from benchmarks.environments import BENCH, Peer, alone
from benchmarks.systems import eole, joeynmt, opennmt, s2s
from benchmarks.systems.tool import Tool
from s2s_cli.storage.atomic import write_file

SWITCH = 'import torch\n\ntorch.set_float32_matmul_precision("medium")\n'
"""Code that Python runs at its start: float32 products are then computed with oneDNN, and with TF32
on a GPU."""


class System(NamedTuple):
    """A tool with some settings."""

    name: str
    tool: Tool
    title: str
    is_switched: bool = False
    """Whether `SWITCH` makes its products faster."""
    devices: tuple[str, ...] = ("cpu", "cuda")
    """Where it is measured."""
    is_bound_by: str = "float32"
    """The kind of product whose speed bounds it."""
    train_options: tuple[str, ...] | None = ()
    """None if it does not train."""
    translate_options: tuple[str, ...] | None = ()
    """None if it does not translate."""

    @property
    def is_ours(self) -> bool:
        """Whether it is s2s."""
        return self.tool is s2s.TOOL


def _with_switch(tool: Tool) -> tuple[System, ...]:
    """A tool as it ships, and with `SWITCH`."""
    onednn = System(f"{tool.name}-onednn", tool, f"{tool.title}, oneDNN", True, ("cpu",))
    tf32 = System(f"{tool.name}-tf32", tool, f"{tool.title}, TF32", True, ("cuda",), "tf32")
    return System(tool.name, tool, tool.title), onednn, tf32


SYSTEMS = (
    System("s2s", s2s.TOOL, "s2s"),
    System(
        "s2s-bf16",
        s2s.TOOL,
        "s2s, bf16",
        is_bound_by="bf16",
        train_options=("--precision", "bf16"),
        translate_options=("--precision", "bf16"),
    ),
    System(
        "s2s-int8",
        s2s.TOOL,
        "s2s, int8",
        devices=("cpu",),
        train_options=None,
        translate_options=("--precision", "int8"),
    ),
    System(
        "s2s-tf32",
        s2s.TOOL,
        "s2s, TF32",
        devices=("cuda",),
        is_bound_by="tf32",
        train_options=("--precision", "tf32"),
        translate_options=None,
    ),
    System(
        "s2s-plain",
        s2s.TOOL,
        "s2s, plain kernels",
        train_options=("--set", "training.kernels=plain"),
        translate_options=("--set", "decoding.kernels=plain"),
    ),
    *(system for tool in (joeynmt.TOOL, opennmt.TOOL, eole.TOOL) for system in _with_switch(tool)),
)


def choose(names: list[str], peers: list[Peer], device: str = "cpu") -> list[System]:
    """The selected systems that can run on the device: those of s2s and of installed toolkits."""
    tools = {"s2s", *(peer.name for peer in peers)}
    return [
        system
        for system in SYSTEMS
        if system.tool.name in tools
        and device in system.devices
        and (not names or system.name in names)
    ]


def environment_of(system: System, device: str = "cpu") -> dict[str, str]:
    """All environment variables of a system: one GPU or none, and only its own packages."""
    # Only some tools would use several GPUs.
    first_gpu = os.environ.get("CUDA_VISIBLE_DEVICES", "0").split(",")[0]
    variables = dict(os.environ) if system.is_ours else alone()
    variables["CUDA_VISIBLE_DEVICES"] = first_gpu if device == "cuda" else ""
    if system.is_switched:
        folder = BENCH / "switch"
        switch_path = folder / "sitecustomize.py"
        if not switch_path.is_file():
            write_file(switch_path, SWITCH)
        variables["PYTHONPATH"] = str(folder)
    return variables


def switched(tool: Tool, device: str = "cpu") -> System:
    """The tool with `SWITCH` if it has one, which trains a model faster."""
    found = [system for system in SYSTEMS if system.tool is tool and device in system.devices]
    return next((system for system in found if system.is_switched), found[0])


def source_files() -> list[Path]:
    """The code that affects measurements: all of s2s, and how each tool is run."""
    harness = Path(__file__).parents[1]
    names = ("work.py", "environments.py", "measure.py", "products.py", "session.py")
    return [
        *(harness.parent / "s2s_cli").rglob("*.py"),
        *(harness / "systems").glob("*.py"),
        *(harness / "peers").glob("*.txt"),
        *(harness / name for name in names),
    ]
