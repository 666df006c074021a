"""What is measured: tools, each as it ships and with what is switched on beside it."""

import os
from pathlib import Path
from typing import NamedTuple

from benchmarks.environments import BENCH, Peer
from benchmarks.systems import eole, joeynmt, opennmt, s2s
from benchmarks.systems.tool import Tool
from s2s_cli.files import write_file

SWITCH = 'import torch\n\ntorch.set_float32_matmul_precision("medium")\n'
"""The one line that sends a peer's float32 products to oneDNN; Python runs it as it starts."""


class System(NamedTuple):
    """A tool in one of its settings."""

    name: str
    tool: Tool
    title: str
    environment: dict[str, str] = {}  # noqa: RUF012 (never changed, only replaced)
    is_switched: bool = False
    """Whether it has the one-line switch to oneDNN products."""
    is_bound_by: str = "float32"
    """The kind of product whose rate bounds it."""
    train_options: tuple[str, ...] | None = ()
    """None if it does not train."""
    translate_options: tuple[str, ...] | None = ()
    """None if it does not translate."""

    @property
    def is_ours(self) -> bool:
        """Whether it is s2s."""
        return self.tool is s2s.TOOL


def _both(tool: Tool) -> tuple[System, System]:
    """A peer as it ships, and with the switch."""
    return (
        System(tool.name, tool, tool.title),
        System(f"{tool.name}-onednn", tool, f"{tool.title}, oneDNN", is_switched=True),
    )


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
        train_options=None,
        translate_options=("--precision", "int8"),
    ),
    System(
        "s2s-plain",
        s2s.TOOL,
        "s2s, plain path",
        train_options=("--set", "training.kernels=plain"),
        translate_options=("--set", "decoding.kernels=plain"),
    ),
    *(system for tool in (joeynmt.TOOL, opennmt.TOOL, eole.TOOL) for system in _both(tool)),
)


def choose(names: list[str], peers: list[Peer]) -> list[System]:
    """The systems that are meant and that can run: ours, and those of installed peers."""
    tools = {"s2s", *(peer.name for peer in peers)}
    return [
        system
        for system in SYSTEMS
        if system.tool.name in tools and (not names or system.name in names)
    ]


def environment_of(system: System) -> dict[str, str]:
    """All variables of a system's processes: the CPU alone, and no Python path but its own."""
    variables = {**os.environ, "CUDA_VISIBLE_DEVICES": "", **system.environment}
    if not system.is_ours:
        variables.pop("PYTHONPATH", None)
    if system.is_switched:
        folder = BENCH / "switch"
        switch_path = folder / "sitecustomize.py"
        if not switch_path.is_file():
            write_file(switch_path, SWITCH)
        variables["PYTHONPATH"] = str(folder)
    return variables


def switched(tool: Tool) -> System:
    """A tool with its switch, if it has one: the sooner way to a trained model."""
    found = [system for system in SYSTEMS if system.tool is tool]
    return next((system for system in found if system.is_switched), found[0])


def source_files() -> list[Path]:
    """The source that decides on what is measured: all of s2s, and how each tool is run."""
    harness = Path(__file__).parents[1]
    names = ("work.py", "environments.py", "measure.py", "products.py", "session.py")
    return [
        *(harness.parent / "s2s_cli").rglob("*.py"),
        *(harness / "systems").glob("*.py"),
        *(harness / "peers").glob("*.txt"),
        *(harness / name for name in names),
    ]
