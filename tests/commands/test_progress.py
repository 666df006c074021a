import json
import signal
from pathlib import Path

import pytest
from shell import s2s, tiny_train

from s2s_cli.commands.progress import draw_scores, preparing
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


def test_scores_are_drawn_between_the_lowest_and_the_highest() -> None:
    assert draw_scores([]) == ""
    assert draw_scores([3.0, 3.0]) == "▁▁"
    assert draw_scores([0.0, 3.5, 7.0, 1.0]) == "▁▅█▂"


def test_each_epoch_has_one_line_within_80_columns_and_the_same_sentences(tmp_path: Path) -> None:
    (tmp_path / "my.zh").write_text("我 你\n他\n你 他 我\n", encoding="utf-8")
    (tmp_path / "my.en").write_text("a b\nc\nb c a\n")
    chosen = ("--set", "training.show_sentences=[3,1,9]", "--set", "training.patience=2")
    done = s2s(*tiny_train("--epochs", 9, "--run", "r", *chosen), cwd=tmp_path)
    lines = done.stderr.split("\n")
    epochs = [place for place, line in enumerate(lines) if line.startswith("epoch ")]
    assert epochs
    for place in epochs:
        assert len(lines[place]) <= 80
        shown = [line.split() for line in lines[place + 1 : place + 7]]
        sides = {
            side: [words[1:] for words in shown if words[0] == side]
            for side in ("source", "reference")
        }
        assert sides == {
            "source": [["你", "他", "我"], ["我", "你"]],
            "reference": [["b", "c", "a"], ["a", "b"]],
        }
    assert {len(lines[place].split("  ")[0]) for place in epochs} == {len("epoch 1/9")}
    assert "valid BLEU by epoch: " in done.stderr
    logged = (tmp_path / "r/train.jsonl").read_text().split("\n")
    assert [row[0] for row in json.loads(logged[0])["examples"]] == ["你 他 我", "我 你"]
