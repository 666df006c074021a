import pytest

from benchmarks.report import format_page
from s2s_cli.errors import DataError

CONTEXT = {
    "date": "2026-11-21T10:00:00+00:00",
    "identity": "1",
    "command": "python -m benchmarks run --data-dir multi30k",
    "machine": {
        **{"processor": "a processor", "cores": 2, "memory_gb": 4.0, "system": "Linux"},
        **{"python": "3.11", "threads_asked": None},
    },
    "versions": {
        "s2s": {"version": "0.1.0", "torch": "2.13.0"},
        "joeynmt": {"version": "2.3.0", "torch": "2.13.0"},
    },
    "work": {
        **{"text": "multi30k", "pairs": 29_000, "tokens": [300_000, 400_000]},
        **{"vocabularies": [7_000, 5_000], "embed": 256, "hidden": 512, "attention": 512},
        **{"batch": 64, "learning_rate": 0.001, "clip_norm": 1.0, "dropout": 0.3},
        **{"first": 50, "last": 250, "updates": 1816, "forward_mflop": 10.0},
        **{"training_mflop": 30.0, "is_quick": False},
    },
}


def products(repetition: int, rate: float) -> dict[str, object]:
    gflops = {"float32": rate, "bf16": 2 * rate, "float32_default": rate / 2}
    key = {"kind": "products", "system": "", "repetition": repetition, "search": "", "part": ""}
    return {**CONTEXT, **key, "gflops": gflops, "threads": 2, "float32_error": 1e-6}


def trained(system: str, repetition: int, speed: float, others: float = 0.0) -> dict[str, object]:
    key = {"kind": "train", "system": system, "repetition": repetition, "search": "", "part": ""}
    took = {"wall_seconds": 9.0, "peak_mb": 1000.0, "others_cores": others, "load_before": 0.5}
    return {**CONTEXT, **key, **took, "tokens_per_second": speed}


def measured(others: float = 0.0) -> list[dict[str, object]]:
    lines = []
    for repetition, (ours, theirs) in enumerate([(4000, 1000), (5000, 1000), (4500, 1500)]):
        lines += [products(repetition, 300.0), trained("s2s", repetition, ours, others)]
        lines += [trained("joeynmt", repetition, theirs), trained("s2s-bf16", repetition, 6000)]
        lines += [trained("joeynmt-onednn", repetition, 2 * theirs)]
    return lines


def row(page: str, *starts: str) -> list[str]:
    """The cells of the first row of a table that begins with these."""
    for line in page.split("\n"):
        cells = [cell.strip() for cell in line.strip("|").split("|")]
        if cells[: len(starts)] == list(starts):
            return cells[len(starts) :]
    raise AssertionError(starts)


def test_ratios_come_first_with_those_against_the_switched_toolkit() -> None:
    page = format_page(measured())
    assert page.index("## Ratios") < page.index("## Figures")
    assert row(page, "", "") == ["against JoeyNMT", "against JoeyNMT, oneDNN"]
    cells = row(page, "training, target tokens/s", "s2s")
    assert cells == ["**4.00** (3.00 to 5.00)", "**2.00** (1.50 to 2.50)"]


def test_each_system_has_its_share_of_the_bound_of_its_own_products() -> None:
    page = format_page(measured())
    # 300 GFLOP/s over 30 MFLOP: 10,000 tokens/s.
    assert row(page, "s2s", "oneDNN float32") == ["**45%** (40% to 50%)"]
    assert row(page, "s2s, bf16", "bf16") == ["**30%** (30% to 30%)"]
    assert row(page, "oneDNN float32")[1] == "10,000"


def test_the_page_says_by_which_command_on_which_machine_with_which_versions() -> None:
    page = format_page(measured())
    for text in ("python -m benchmarks run --data-dir multi30k", "a processor, 2 cores", "2.3.0"):
        assert text in page


def test_the_page_of_a_gpu_is_about_its_products() -> None:
    lines = [
        {
            **line,
            "machine": {**CONTEXT["machine"], "gpu": "cuda (a GPU)"},
            "work": {**CONTEXT["work"], "device": "cuda"},
        }
        for line in [*measured(), trained("s2s-plain", 0, 9000), trained("joeynmt-tf32", 0, 2000)]
    ]
    for line in lines:
        if line["kind"] == "products":
            line["gflops"] = {"float32": 600.0, "tf32": 3000.0, "bf16": 6000.0}
            line.pop("float32_error", None)
    page = format_page(lines)
    assert "on the GPU, with the same tokens" in page
    assert "- GPU: cuda (a GPU)\n" in page
    assert "oneDNN's float32 products" not in page
    assert row(page, "TF32") == ["**3,000** (3,000 to 3,000)", "100,000"]
    assert row(page, "JoeyNMT, TF32") == ["TF32", "2%"]
    assert row(page, "s2s, plain kernels") == ["float32", "45%"]


def test_the_page_says_when_the_machine_was_busy() -> None:
    assert "not for quoting" not in format_page(measured())
    page = format_page(measured(others=0.7))
    assert "more than 0.1 during 3 of 12 measurements" in page
    assert "not for quoting" in page
    lines = measured()
    making = {**lines[-1], "kind": "model", "others_cores": 0.9}
    assert "not for quoting" not in format_page([*lines, making])


def test_a_check_of_the_harness_says_that_it_is_no_benchmark() -> None:
    lines = measured()
    assert "mean nothing" not in format_page(lines)
    quick = {**lines[-1], "work": {**CONTEXT["work"], "is_quick": True}}
    assert "mean nothing" in format_page([*lines, quick])


def test_what_was_not_measured_has_no_row() -> None:
    page = format_page(measured())
    assert "beam 5" not in page
    assert "eole" not in page


def test_a_page_of_nothing_is_refused() -> None:
    with pytest.raises(DataError, match="nothing was measured"):
        format_page([])
