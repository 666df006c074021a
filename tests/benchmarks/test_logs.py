"""Each tool's log is read alike: target tokens between two updates, and when they were reported."""

import json

import pytest

from benchmarks.systems import eole, joeynmt, opennmt, s2s
from benchmarks.systems.tool import Line, Report, speed_between

JOEYNMT = [
    "2026-11-21 10:00:00,000 - INFO - joeynmt.training - EPOCH 1",
    "2026-11-21 10:00:10,000 - INFO - joeynmt.training - Epoch   1, Step:       50, Batch Loss: "
    "    4.911111, Batch Acc: 0.111111, Tokens per Sec:      900, Lr: 0.001000",
    "2026-11-21 10:00:20,000 - INFO - joeynmt.training - Epoch   1, Step:      100, Batch Loss: "
    "    4.111111, Batch Acc: 0.222222, Tokens per Sec:     1200, Lr: 0.001000",
    "2026-11-21 10:00:40,000 - INFO - joeynmt.training - Epoch   1, Step:      150, Batch Loss: "
    "    3.111111, Batch Acc: 0.333333, Tokens per Sec:     1500, Lr: 0.001000",
]
OPENNMT = [
    "[2026-11-21 10:00:00,000 INFO] Start training loop and validate every 1000000 steps...",
    "[2026-11-21 10:00:10,000 INFO] Step 50/  150; acc: 15.1; ppl: 900.2; xent: 6.8; lr: 0.00100; "
    "sents:    3200; bsz:  801/ 900/64; 1400/1500 tok/s;     10 sec;",
    "[2026-11-21 10:00:20,000 INFO] Step 100/  150; acc: 25.1; ppl: 100.2; xent: 4.6; lr: 0.00100; "
    "sents:    3200; bsz:  802/ 903/64; 1400/1500 tok/s;     20 sec;",
    "[2026-11-21 10:00:40,000 INFO] Step 150/  150; acc: 35.1; ppl: 50.2; xent: 3.9; lr: 0.00100; "
    "sents:    3200; bsz:  803/ 897/64; 1400/1500 tok/s;     40 sec;",
]
EOLE = [
    line.replace("lr: 0.00100", "aux: 0.000; mtp: 0.000; attn_ent: 1.900; lr: 1.00e-03")
    for line in OPENNMT
]


def s2s_line(epoch: int, step: int, tokens: int) -> str:
    return json.dumps({"epoch": epoch, "step": step, "epoch_tokens": tokens, "epoch_seconds": 1.0})


S2S = [s2s_line(1, 50, 45_000), s2s_line(1, 100, 90_150), s2s_line(1, 150, 135_000)]


def stamped(*lines: str) -> list[Line]:
    """The reports come 10, 20 and 40 seconds after the start."""
    return [
        Line(at, text)
        for at, text in zip([0.0, 10.0, 20.0, 40.0][-len(lines) :], lines, strict=True)
    ]


@pytest.mark.parametrize(
    ("tool", "lines", "tokens"),
    [
        # 1,200 a second for 10 seconds and 1,500 a second for 20.
        (joeynmt.TOOL, JOEYNMT, 12_000 + 30_000),
        # 50 batches of 903 tokens and 50 of 897.
        (opennmt.TOOL, OPENNMT, 45_150 + 44_850),
        (eole.TOOL, EOLE, 45_150 + 44_850),
        (s2s.TOOL, S2S, 90_000),
    ],
    ids=lambda value: getattr(value, "name", ""),
)
def test_speed_is_what_was_done_between_two_reports(
    tool: s2s.Tool, lines: list[str], tokens: int
) -> None:
    reports = tool.read_reports(stamped(*lines))
    assert [(report.step, report.seconds) for report in reports] == [(50, 10), (100, 20), (150, 40)]
    assert speed_between(reports, 50, 150) == (tokens, 30.0)


def test_an_update_that_was_not_reported_gives_no_speed() -> None:
    reports = [Report(1.0, 50, 10), Report(2.0, 100, 10)]
    assert speed_between(reports, 50, 150) is None
    assert speed_between(reports, 25, 100) is None


def test_the_end_of_an_epoch_parts_no_tokens_from_the_report_after_it() -> None:
    validation = {"epoch": 1, "step": 120, "tokens_per_second": 50.0, "seconds": 20.0}
    lines = [
        Line(1.0, s2s_line(1, 100, 900)),
        Line(2.0, json.dumps({**validation, "valid_seconds": 1.0})),  # the epoch had 1,000
        Line(3.0, s2s_line(2, 150, 300)),
    ]
    assert [report.tokens for report in s2s.read_reports(lines)] == [900, 400]
