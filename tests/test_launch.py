import pytest
import torch

from s2s_cli.console import quiet, say, show_table, warn
from s2s_cli.device import choose_device
from s2s_cli.errors import ConfigError, DeviceError
from s2s_cli.launch import Launch, read_launch

TORCHRUN = {
    **{"RANK": "3", "WORLD_SIZE": "4", "LOCAL_RANK": "1", "TORCHELASTIC_RESTART_COUNT": "2"},
    "LOCAL_WORLD_SIZE": "2",
    **{"MASTER_ADDR": "localhost", "MASTER_PORT": "29500"},
}


def test_a_process_knows_its_place_from_torchrun() -> None:
    assert read_launch(TORCHRUN) == Launch(
        rank=3, size=4, local_rank=1, num_restarts=2, local_size=2
    )
    assert not read_launch(TORCHRUN).is_first


def test_without_torchrun_or_with_one_process_it_is_the_only_one() -> None:
    assert read_launch({}) == Launch()
    one = {**TORCHRUN, "WORLD_SIZE": "1", "RANK": "0"}
    assert read_launch(one) == Launch(num_restarts=2)
    assert Launch().is_first


@pytest.mark.parametrize("name", ["RANK", "LOCAL_RANK", "MASTER_ADDR", "MASTER_PORT"])
def test_half_an_environment_is_refused(name: str) -> None:
    with pytest.raises(ConfigError, match=f"{name}: missing, though WORLD_SIZE"):
        read_launch({key: value for key, value in TORCHRUN.items() if key != name})


@pytest.mark.parametrize(("name", "value"), [("WORLD_SIZE", "two"), ("RANK", "-1")])
def test_what_is_no_number_is_refused(name: str, value: str) -> None:
    with pytest.raises(ConfigError, match=f"{name}: '{value}' is not a number"):
        read_launch({**TORCHRUN, name: value})
    with pytest.raises(ConfigError, match="RANK: 4 is not below WORLD_SIZE, which is 4"):
        read_launch({**TORCHRUN, "RANK": "4"})


def test_each_process_of_a_machine_takes_its_own_gpu(monkeypatch: pytest.MonkeyPatch) -> None:
    taken: list[torch.device] = []
    monkeypatch.setattr("torch.cuda.is_available", lambda: True)
    monkeypatch.setattr("torch.cuda.device_count", lambda: 2)
    monkeypatch.setattr("torch.cuda.set_device", taken.append)
    for name in ("auto", "cuda"):
        assert choose_device(name, Launch(3, 4, 1)) == torch.device("cuda:1")
    assert taken == [torch.device("cuda:1")] * 2
    assert choose_device("cpu", Launch(3, 4, 1)) == torch.device("cpu")
    with pytest.raises(DeviceError, match="too few for process 3 of this machine"):
        choose_device("auto", Launch(2, 4, 2))
    with pytest.raises(DeviceError, match="cuda:0: one device for 4 processes"):
        choose_device("cuda:0", Launch(3, 4, 1))


def test_one_process_speaks_for_the_others(capsys: pytest.CaptureFixture[str]) -> None:
    say("before")
    with quiet():
        say("meanwhile")
        warn("meanwhile")
        show_table("meanwhile", ("a",), [("meanwhile",)])
    say("after")
    assert capsys.readouterr().err == "before\nafter\n"
