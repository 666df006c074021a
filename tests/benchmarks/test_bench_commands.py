import json
from pathlib import Path

import pytest
import torch
from test_page import measured
from typer.testing import CliRunner

from benchmarks import __main__ as commands
from s2s_cli.errors import DataError, DeviceError, S2SError


def call(*arguments: object) -> str:
    result = CliRunner().invoke(commands.app, [*map(str, arguments)])
    if result.exception is not None:
        raise result.exception
    return result.stdout


@pytest.fixture(autouse=True)
def bench(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setattr(commands, "bench_folder", lambda: tmp_path)
    return tmp_path


def test_the_page_is_written_from_the_results(bench: Path) -> None:
    lines = "".join(json.dumps(line) + "\n" for line in measured())
    (bench / "results.jsonl").write_text(lines, encoding="utf-8")
    call("report", "-o", bench / "docs" / "performance.md")
    page = (bench / "docs" / "performance.md").read_text(encoding="utf-8")
    assert page == call("report")
    assert page.startswith("# Performance\n")


def test_without_results_the_error_names_the_command() -> None:
    with pytest.raises(
        DataError, match=r"results\.jsonl: no such file; `python -m benchmarks run`"
    ):
        call("report")


def test_a_system_that_is_not_known_is_refused_with_those_that_are() -> None:
    with pytest.raises(S2SError, match="--only marian: not one of eole, eole-onednn, joeynmt"):
        call("run", "--only", "marian")


@pytest.mark.skipif(torch.cuda.is_available(), reason="there is a GPU")
def test_without_a_gpu_none_is_measured() -> None:
    with pytest.raises(DeviceError, match="--device cuda: PyTorch finds no CUDA device here"):
        call("run", "--quick", "--no-peers", "--device", "cuda")


def test_each_device_and_size_of_batches_has_results_of_its_own(bench: Path) -> None:
    lines = "".join(json.dumps(line) + "\n" for line in measured())
    (bench / "results-cuda-256.jsonl").write_text(lines, encoding="utf-8")
    assert call("report", "--device", "cuda", "--batch-size", 256).startswith("# Performance\n")
    with pytest.raises(DataError, match=r"results-cuda\.jsonl: no such file"):
        call("report", "--device", "cuda")


def test_nothing_to_measure_is_refused() -> None:
    with pytest.raises(S2SError, match="nothing is left to measure"):
        call("run", "--quick", "--no-peers", "--only", "eole")
