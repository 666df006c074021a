import signal
from pathlib import Path

import pytest

from s2s_cli.commands.progress import preparing
from s2s_cli.config import Config
from s2s_cli.errors import StoppedError
from s2s_cli.recipe import Recipe
from s2s_cli.run import RunFolder
from s2s_cli.signals import StopRequest


def test_a_signal_stops_preparing_and_nothing_is_left(tmp_path: Path) -> None:
    recipe, run = Recipe("x", Config()), RunFolder(tmp_path / "runs" / "x")

    def prepare() -> None:
        with (
            StopRequest(lambda: None) as stop,
            preparing(recipe, run, workers=1, stop=stop) as preparation,
        ):
            signal.raise_signal(signal.SIGTERM)
            preparation.words()

    with pytest.raises(StoppedError, match="stopped while tokenising; nothing was saved") as caught:
        prepare()
    assert caught.value.status == 128 + signal.SIGTERM
    assert not list(tmp_path.iterdir())
