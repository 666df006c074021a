"""The other toolkits (peers), each installed from the package index into its own environment."""

import os
import re
import site
import subprocess
import sys
from importlib.metadata import distributions
from pathlib import Path
from typing import NamedTuple

from s2s_cli.errors import S2SError
from s2s_cli.storage.atomic import write_file

BENCH = Path(__file__).resolve().parents[1] / ".bench"
"""Everything that a benchmark writes; git ignores it."""
CONSTRAINTS = Path(__file__).parent / "peers"
TORCH = "torch==2.13.0"


class InstallError(S2SError):
    """A toolkit cannot be installed here; the benchmark continues without it."""


class Peer(NamedTuple):
    """Another toolkit, and what it needs to run."""

    name: str
    distribution: str
    requirements: tuple[str, ...]
    alone: tuple[str, ...] = ()
    """Installed last, without its own requirements."""

    @property
    def folder(self) -> Path:
        """Where its environment is."""
        return BENCH / "environments" / self.name

    @property
    def python(self) -> Path:
        """Its Python."""
        return self.program("python")

    @property
    def constraints(self) -> Path:
        """The versions that were tested together."""
        return CONSTRAINTS / f"{self.name}.txt"

    def program(self, name: str) -> Path:
        """A program that it installs."""
        return self.folder / "bin" / name


JOEYNMT = Peer("joeynmt", "joeynmt", (TORCH, "joeynmt==2.3.0", "importlib_metadata"))
"""It imports `importlib_metadata` without requiring it."""
OPENNMT = Peer(
    "opennmt",
    "OpenNMT-py",
    (
        *(TORCH, "configargparse", "ctranslate2", "fasttext-wheel", "flask", "pyahocorasick"),
        *("pyonmttok", "pyyaml", "rapidfuzz", "sacrebleu", "six", "spacy", "tensorboard"),
        *("waitress", "setuptools"),
    ),
    ("OpenNMT-py==3.5.1",),
)
"""It requires torch below 2.3, which has no wheel for current Pythons, but runs with newer ones."""
EOLE = Peer("eole", "eole", (TORCH, "eole==0.6.4", "aiohttp"))
"""It imports `aiohttp` without requiring it."""
PEERS = (JOEYNMT, OPENNMT, EOLE)


SHARE = """\
import pathlib, site, sys
pathlib.Path(site.getsitepackages()[0], "shared.pth").write_text("\\n".join(sys.argv[1:]) + "\\n")
"""
"""Run by the Python of an environment: also makes it find the packages of other folders."""


def install(peer: Peer, *, has_torch_here: bool = False) -> bool:
    """Make the environment of a toolkit, unless it exists and is up to date.

    Args:
        peer: which one.
        has_torch_here: use the packages of this Python, such as PyTorch, in any version; only the
            missing ones come from the package index.

    Returns:
        Whether it was installed now.

    Raises:
        InstallError: it cannot be installed; the message names the log.
    """
    wanted = repr(peer) + peer.constraints.read_text(encoding="utf-8") + "here" * has_torch_here
    marker = peer.folder / "installed"
    if marker.is_file() and marker.read_text(encoding="utf-8") == wanted:
        return False
    log = peer.folder.with_suffix(".log")
    log.parent.mkdir(parents=True, exist_ok=True)
    pip = [str(peer.python), "-m", "pip", "install", "--disable-pip-version-check"]
    limits, requirements, share = peer.constraints, peer.requirements, []
    if has_torch_here:
        limits = peer.folder.with_suffix(".txt")
        write_file(limits, "".join(f"{line}\n" for line in missing_constraints(peer)))
        requirements = tuple(name for name in requirements if name != TORCH)
        share = [str(peer.python), "-c", SHARE, *site.getsitepackages()]
    with log.open("wb") as output:
        for command in (
            [sys.executable, "-m", "venv", "--clear", str(peer.folder)],
            share,
            [*pip, "--constraint", str(limits), *requirements],
            [*pip, "--no-deps", *peer.alone] if peer.alone else [],
        ):
            if command and subprocess.call(command, stdout=output, stderr=output, env=alone()):
                raise InstallError(
                    f"{peer.distribution}: could not be installed ({_last_error(log)}); see {log}"
                )
    write_file(marker, wanted)
    return True


def missing_constraints(peer: Peer) -> list[str]:
    """Tested versions of packages that this Python lacks and that do not depend on PyTorch's."""
    there = {normalize(found.name) for found in distributions()}
    lines = peer.constraints.read_text(encoding="utf-8").split("\n")
    named = [(normalize(line.partition("==")[0]), line) for line in lines if "==" in line]
    return [line for name, line in named if name not in there and not name.startswith("torch")]


def normalize(name: str) -> str:
    """The normalised name of a distribution."""
    return re.sub(r"[-_.]+", "-", name).lower()


def alone() -> dict[str, str]:
    """Environment variables of a process that finds only its own Python packages."""
    return {name: value for name, value in os.environ.items() if name != "PYTHONPATH"}


def _last_error(log: Path) -> str:
    lines = log.read_text(encoding="utf-8", errors="replace").split("\n")
    errors = [line for line in lines if line.startswith("ERROR")]
    return (errors or [line for line in lines if line] or ["no output"])[-1].strip()
