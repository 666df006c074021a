"""That the hook of `audit.py` works, here and in the processes that tests start."""

import os
import subprocess
import sys
from pathlib import Path

import audit
import pytest

REFUSED = {
    "connect": "import socket; socket.create_connection(('192.0.2.1', 9), timeout=1)",
    "ask for a name": "import socket; socket.getaddrinfo('example.org', 80)",
    "unpickle": "import pickle; pickle.loads(b'cos\\nsystem\\n.')",
}
ALLOWED = {
    "talk to itself": "import socket; socket.socket().bind(('127.0.0.1', 0))",
    "use workers": "from multiprocessing import Pool; assert Pool(1).map(abs, [-1]) == [1]",
}


def run(code: str, log: Path) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-c", f"if __name__ == '__main__':\n    {code}"]
    environment = {**os.environ, audit.LOG: str(log)}
    return subprocess.run(command, env=environment, capture_output=True, text=True, check=False)


@pytest.mark.parametrize("name", REFUSED)
def test_what_is_refused_is_written_down(tmp_path: Path, name: str) -> None:
    done = run(REFUSED[name], tmp_path / "log")
    assert done.returncode == 1
    assert "refused by tests/audit.py" in done.stderr
    assert len((tmp_path / "log").read_text(encoding="utf-8").splitlines()) == 1


@pytest.mark.parametrize("name", ALLOWED)
def test_what_stays_on_the_machine_is_allowed(tmp_path: Path, name: str) -> None:
    done = run(ALLOWED[name], tmp_path / "log")
    assert done.returncode == 0, done.stderr
    assert not (tmp_path / "log").exists()
