"""What no test and no command may do: connect to another machine, or unpickle anything.

A hook refuses it, in the processes of the tests and in all Python processes that they start, and
writes it down, so that the suite fails even where the refusal was caught. A process may talk to
others of its own machine, and takes pickles from its own workers through `multiprocessing`; the
processes of torchrun itself, which is PyTorch's, agree on who takes part by pickles.
"""

import os
import socket
import sys
from pathlib import Path
from types import FrameType

LOG = "S2S_AUDIT_LOG"
"""The variable that names the file where it is written down."""

FOLDER = Path(__file__).with_name("audited")

_CONNECTING = frozenset({"socket.connect", "socket.bind", "socket.sendto", "socket.getaddrinfo"})
_OWN = frozenset({"127.0.0.1", "::1", "localhost", "", "0.0.0.0", "::", None, socket.gethostname()})
_PICKLING = ("multiprocessing.", "torch.distributed.elastic.")


def install() -> None:
    """Refuse it in this process from now on, and in its children."""
    sys.addaudithook(_refuse)


def found() -> list[str]:
    """What was refused so far, in any process."""
    path = Path(os.environ[LOG])
    return path.read_text(encoding="utf-8").splitlines() if path.is_file() else []


def _refuse(event: str, arguments: tuple[object, ...]) -> None:
    if event in _CONNECTING:
        where = arguments[0] if event == "socket.getaddrinfo" else arguments[1]
        # Of a socket of the file system the address is a path.
        host = where[0] if isinstance(where, tuple) else where
        if event != "socket.getaddrinfo" and not isinstance(where, tuple):
            return
        if host not in _OWN:
            _forbid(f"{event} {where}")
    elif event == "pickle.find_class" and not _is_from_own(sys._getframe()):
        _forbid(f"{event} {'.'.join(map(str, arguments))}")


def _is_from_own(frame: FrameType | None) -> bool:
    while frame is not None:
        if str(frame.f_globals.get("__name__", "")).startswith(_PICKLING):
            return True
        frame = frame.f_back
    return False


def _forbid(what: str) -> None:
    if path := os.environ.get(LOG):
        with Path(path).open("a", encoding="utf-8") as file:
            file.write(f"{what} by {' '.join(sys.argv)[:200]}\n")
    raise RuntimeError(f"refused by tests/audit.py: {what}")
