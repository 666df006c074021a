import site
import subprocess
import sys
from pathlib import Path

import pytest

from benchmarks import environments
from benchmarks.environments import JOEYNMT, OPENNMT, PEERS, SHARE, Peer, alone, install


@pytest.fixture
def said(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> list[list[str]]:
    """What would be run."""
    monkeypatch.setattr(environments, "BENCH", tmp_path)
    commands: list[list[str]] = []

    def call(command: list[str], **_: object) -> int:
        commands.append(command)
        return 0

    monkeypatch.setattr(environments.subprocess, "call", call)
    return commands


def test_a_peer_is_installed_once_with_what_was_tested(said: list[list[str]]) -> None:
    assert install(JOEYNMT)
    assert not install(JOEYNMT)
    venv, pip = said
    assert venv[1:3] == ["-m", "venv"]
    assert {"torch==2.13.0", "joeynmt==2.3.0", str(JOEYNMT.constraints)} <= set(pip)


@pytest.mark.parametrize("peer", PEERS, ids=lambda peer: peer.name)
def test_with_the_torch_that_is_there_no_other_is_asked_for(
    peer: Peer, said: list[list[str]]
) -> None:
    install(peer)
    said.clear()
    assert install(peer, has_torch_here=True)
    _, share, *pips = said
    assert share[-1] in site.getsitepackages()
    assert not any(word.startswith("torch") for pip in pips for word in pip)
    limits = Path(pips[0][pips[0].index("--constraint") + 1]).read_text()
    # What is here is taken as it is; of the rest, what was tested.
    assert not [line for line in limits.split() if line.startswith(("torch", "numpy", "rich"))]
    assert set(limits.split()) <= set(peer.constraints.read_text().split())
    assert "tensorboard" in limits or "aiohttp" in limits
    assert (len(pips) == 2) == (peer is OPENNMT)


def test_an_environment_finds_what_is_installed_elsewhere(tmp_path: Path) -> None:
    (tmp_path / "elsewhere").mkdir()
    (tmp_path / "elsewhere" / "only_there.py").touch()
    subprocess.run([sys.executable, "-m", "venv", "--without-pip", tmp_path / "own"], check=True)
    python = tmp_path / "own" / "bin" / "python"
    assert subprocess.call([python, "-c", "import only_there"], stderr=subprocess.DEVNULL) == 1
    subprocess.run([python, "-c", SHARE, tmp_path / "elsewhere"], check=True)
    subprocess.run([python, "-c", "import only_there"], check=True)


def test_packages_on_our_path_are_not_taken_for_a_peers(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PYTHONPATH", "ours")
    assert "PYTHONPATH" not in alone()
