import pytest
import torch

from benchmarks.__main__ import app
from benchmarks.device import (
    KINDS,
    QUICK,
    agreement,
    make_pairs,
    peer_command,
    search_speed,
    training_speed,
)
from s2s_cli.config import Decoding, Training
from s2s_cli.errors import DeviceError

CPU = torch.device("cpu")


def test_every_kind_agrees_with_itself() -> None:
    for kind in KINDS.values():
        found = agreement(kind, "fused", CPU, QUICK)
        assert found["is_right"]
        assert found["same"] == "16 of 16"


@pytest.mark.skipif(torch.cuda.is_available(), reason="there is a GPU")
def test_the_peers_are_measured_by_a_command_that_there_is() -> None:
    command = peer_command("cuda", 256, ["--quick"])
    assert command[1:4] == ["-m", "benchmarks", "run"]
    with pytest.raises(DeviceError, match="--device cuda: PyTorch finds no CUDA device here"):
        app(command[3:], standalone_mode=False)


def test_pairs_are_as_long_as_captions() -> None:
    pairs = make_pairs(2000)
    assert 12.5 < sum(len(tgt) for _, tgt in pairs) / 2000 < 13.5
    assert pairs == make_pairs(2000)


def test_speeds_are_measured() -> None:
    trained = training_speed(Training(precision="bf16", batch_size=4), CPU, QUICK)[
        "tokens_per_second"
    ]
    searched = search_speed(Decoding(batch_size=4), CPU, QUICK)["sentences_per_second"]
    assert 0 < trained[0] <= trained[1] <= trained[2]
    assert searched[0] > 0
