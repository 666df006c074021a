import json
import math
from pathlib import Path

import pytest
from toys import error_of, output_of, s2s, save_toy

PAIRS = [("s t u", "a b"), ("x unheard w", "unheard c c c"), ("v", "f"), ("s s s s", "a a e d b")]


@pytest.fixture
def ask(tmp_path: Path) -> list[object]:
    """An evaluation of a toy model on four pairs, to which options can be added."""
    for index, name in enumerate(("p.de", "p.en")):
        (tmp_path / name).write_text("".join(f"{pair[index]}\n" for pair in PAIRS))
    files = ["--test-src", tmp_path / "p.de", "--test-tgt", tmp_path / "p.en"]
    return ["eval", "-m", save_toy(tmp_path / "toy"), *files]


def read_rows(table: str) -> list[tuple[float, float, int]]:
    header, *lines = table.splitlines()
    assert header == "log_prob\tlog_prob_per_token\ttokens"
    rows = [line.split("\t") for line in lines]
    return [(float(row[0]), float(row[1]), int(row[2])) for row in rows]


def test_pairs_are_scored_line_by_line_whatever_the_batch(ask: list[object]) -> None:
    rows = read_rows(output_of(*ask, "--score-pairs"))
    assert [tokens for _, _, tokens in rows] == [3, 5, 2, 6]
    for log_prob, mean, tokens in rows:
        assert log_prob < 0
        assert mean == pytest.approx(log_prob / tokens, abs=1e-5)
    alone = read_rows(output_of(*ask, "--score-pairs", "--batch-size", 1))
    for one, other in zip(rows, alone, strict=True):
        assert one == pytest.approx(other, abs=1e-4)


def test_the_summary_is_the_perplexity_of_all_tokens(ask: list[object]) -> None:
    done = s2s(*ask, "--score-pairs")
    rows = read_rows(done.stdout)
    total, tokens = sum(row[0] for row in rows), sum(row[2] for row in rows)
    assert f"{math.exp(-total / tokens):.4f}" in done.stderr
    assert f"{total:.4f}" in done.stderr


def test_a_translation_has_the_score_that_its_search_reported(
    ask: list[object], tmp_path: Path
) -> None:
    source = "".join(f"{src}\n" for src, _ in PAIRS)
    found = output_of("translate", "-m", tmp_path / "toy", "--json", "--keep-unk", stdin=source)
    translations = [json.loads(line) for line in found.splitlines()]
    kept = [pair for pair in zip(PAIRS, translations, strict=True) if pair[1]["translation"]]
    assert kept
    (tmp_path / "p.de").write_text("".join(f"{src}\n" for (src, _), _ in kept))
    (tmp_path / "p.en").write_text("".join(f"{t['translation']}\n" for _, t in kept))
    for row, (_, translation) in zip(
        read_rows(output_of(*ask, "--score-pairs")), kept, strict=True
    ):
        assert row[0] == pytest.approx(translation["log_prob"], abs=1e-4)


def test_pairs_with_a_blank_side_are_refused(ask: list[object], tmp_path: Path) -> None:
    (tmp_path / "p.en").write_text("a b\n\nf\na\n")
    assert "1 pairs have a blank side" in error_of(*ask, "--score-pairs")


def test_translation_options_are_refused_with_score_pairs(ask: list[object]) -> None:
    message = error_of(*ask, "--score-pairs", "--bleu", "--beam-size", 3, "--tokenized")
    assert "--bleu, --tokenized, --beam-size: have no effect with --score-pairs" in message


def test_search_settings_are_refused_with_score_pairs(ask: list[object]) -> None:
    plain = output_of(*ask, "--score-pairs")
    for setting in ("precision=int8", "kernels=fused", "beam_size=2", "max_source_length=1"):
        message = error_of(*ask, "--score-pairs", "--set", f"decoding.{setting}")
        assert f"--set decoding.{setting.split('=')[0]}: has no effect" in message
    assert output_of(*ask, "--score-pairs", "--set", "decoding.batch_size=4") == plain


def test_an_ensemble_is_scored_and_reported_with_all_its_members(
    ask: list[object], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    other = save_toy(tmp_path / "other", seed=2, cell="lstm")
    one, two = (
        read_rows(output_of("eval", "-m", model, *ask[3:], "--score-pairs"))
        for model in (ask[2], other)
    )
    both = read_rows(output_of(*ask, "-m", other, "--score-pairs"))
    for row, *members in zip(both, one, two, strict=True):
        # At each step, the mean probability is at least half of the higher one.
        assert row[0] >= max(member[0] for member in members) - row[2] * math.log(2) - 1e-4
    monkeypatch.chdir(tmp_path)
    output_of(*ask, "-m", other, "--bleu")
    (report,) = (tmp_path / "reports").glob("*/scores.json")
    facts = json.loads(report.read_text())
    assert facts["model"] == f"{ask[2]} + {other}"
    assert facts["epoch"] == "1 + 2"
    assert facts["weights_sha256"].count(" + ") == 1
