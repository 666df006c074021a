from pathlib import Path

import pytest
import torch
from conftest import ALL_KINDS, describe_kind, make_config

from s2s_cli.config import Config, Training
from s2s_cli.errors import DeviceError
from s2s_cli.model.seq2seq import Seq2Seq
from s2s_cli.recipe import check_config
from s2s_cli.text.vocabulary import PAD_ID
from s2s_cli.training.memory import (
    available_memory,
    check_memory,
    describe_bytes,
    estimate_need,
    free_in_cgroup,
    free_in_system,
)
from s2s_cli.training.optimizer import make_optimizer

CPU = torch.device("cpu")


@pytest.mark.parametrize("kind", ALL_KINDS[::7], ids=describe_kind)
def test_the_estimate_has_as_many_weights_as_the_model(kind: dict[str, object]) -> None:
    config = Config(model=make_config(kind))
    need = estimate_need(config, 12, 12)
    model = Seq2Seq(config.model, 12, 12, PAD_ID)
    assert need.num_weights == model.num_parameters()


@pytest.mark.parametrize("optimizer", ["adam", "adamw", "sgd", "rmsprop", "adadelta"])
@pytest.mark.parametrize("momentum", [0.0, 0.9])
@pytest.mark.parametrize("ema", [0.0, 0.9])
def test_the_whole_state_of_an_optimizer_is_counted(
    optimizer: str, momentum: float, ema: float
) -> None:
    if momentum and optimizer not in {"sgd", "rmsprop"}:
        return
    training = Training(optimizer=optimizer, momentum=momentum, ema=ema)  # type: ignore[arg-type]
    weight = torch.nn.Parameter(torch.zeros(100))
    made = make_optimizer([weight], training)
    weight.grad = torch.ones(100)
    made.step()
    kept = sum(t.numel() for t in made.state[weight].values() if t is not None and t.dim())
    need = estimate_need(Config(model=make_config({}), training=training), 12, 12)
    assert need.num_copies * 100 == 100 + 100 + kept + 100 * (ema > 0)


def large(**sections: dict[str, object]) -> Config:
    return check_config(sections, "test")


def test_a_model_that_cannot_fit_is_refused_at_once() -> None:
    config = large(model={"hidden_size": 65_536, "num_layers": 64})
    with pytest.raises(DeviceError) as caught:
        check_memory(config, CPU)
    message = str(caught.value)
    # Some 2 * 64 layers of 3 * 65,536 * 65,536 * 2 weights or less, 16 bytes each.
    gigabytes = float(message.split("need ")[1].split(" GB", maxsplit=1)[0].replace(",", ""))
    assert 20e3 < gigabytes < 60e3
    assert "lower model.hidden_size (65536) or model.num_layers (64)" in message
    assert "are available" in message


def test_a_model_of_ordinary_size_is_not_refused() -> None:
    check_memory(Config(), CPU, 100, 100)


def test_the_largest_part_determines_what_to_lower() -> None:
    assert estimate_need(large(), 10**6, 10).largest_part == "src_embedding"
    assert estimate_need(large(model={"hidden_size": 4096}), 10, 10).largest_part == "decoder"
    assert estimate_need(large(), 10, 10**6).largest_part in {"output", "tgt_embedding"}


def test_the_available_memory_is_read_from_the_system(tmp_path: Path) -> None:
    path = tmp_path / "meminfo"
    path.write_text("MemTotal:  100 kB\nMemFree:  3 kB\nMemAvailable:  40 kB\n")
    assert free_in_system(path) == 40 * 1024
    assert (available_memory(CPU) or 1) > 0


def test_the_limit_of_a_control_group_is_read(tmp_path: Path) -> None:
    proc, groups = tmp_path / "cgroup", tmp_path / "groups"

    def write(group: Path, **files: str) -> None:
        group.mkdir(parents=True, exist_ok=True)
        for name, content in files.items():
            (group / name.replace("_OF_", ".")).write_text(content)

    write(groups, cgroup_OF_controllers="memory")
    stat = "anon 5\ninactive_file 100\n"
    write(groups / "a", memory_OF_max="5000\n", memory_OF_current="1000\n", memory_OF_stat=stat)
    write(groups / "a/b", memory_OF_max="max\n", memory_OF_current="500\n", memory_OF_stat=stat)
    proc.write_text("0::/a/b\n")
    assert free_in_cgroup(proc, groups) == 5000 - 1000 + 100
    proc.write_text("0::/\n")
    assert free_in_cgroup(proc, groups) is None
    old = {
        "memory_OF_limit_in_bytes": "900\n",
        "memory_OF_usage_in_bytes": "300\n",
        "memory_OF_stat": "total_inactive_file 50\n",
    }
    write(groups / "memory", **old)
    # In a container, where the name of its group does not exist.
    proc.write_text("3:cpu:/x\n4:memory:/docker/1234\n")
    assert free_in_cgroup(proc, groups) == 900 - 300 + 50
    assert free_in_cgroup(tmp_path / "none", groups) is None


def test_sizes_are_formatted_for_people() -> None:
    assert [describe_bytes(n) for n in (2_500_000, 1_500_000_000, 27_000_000_000_000)] == [
        "2.5 MB",
        "1.5 GB",
        "27,000.0 GB",
    ]
