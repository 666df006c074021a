import site
from pathlib import Path

import pytest

from benchmarks import environments
from benchmarks.environments import JOEYNMT, OPENNMT, PEERS, Peer, install


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
    assert not any(word.startswith(("torch", "--constraint")) for pip in pips for word in pip)
    assert (len(pips) == 2) == (peer is OPENNMT)
