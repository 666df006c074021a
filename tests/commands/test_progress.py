import signal
from pathlib import Path

import pytest

from s2s_cli.commands.progress import preparing
from s2s_cli.config import Config
from s2s_cli.errors import StoppedError
from s2s_cli.prepare import prepare
from s2s_cli.signals import StopRequest


def test_a_signal_stops_preparing_and_leaves_no_files(tmp_path: Path) -> None:
    def prepare_stopped() -> None:
        with StopRequest(lambda: None) as stop, preparing(workers=1, stop=stop) as workers:
            signal.raise_signal(signal.SIGTERM)
            prepare(Config(), tmp_path / "runs" / "x" / "data", workers)

    with pytest.raises(StoppedError, match="stopped while tokenising; nothing was saved") as caught:
        prepare_stopped()
    assert caught.value.status == 128 + signal.SIGTERM
    assert not list(tmp_path.iterdir())
