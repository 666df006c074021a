"""`text.chinese`: a model of one script reads both, from training to scores."""

import json
from pathlib import Path

import pytest
from shell import TINY
from toys import output_of, s2s

PAIRS = [("请问医院在哪里？", "Where is the hospital?"), ("我们喜欢学习历史。", "We like history.")]


def test_a_model_of_simplified_text_reads_and_scores_both_scripts(tmp_path: Path) -> None:
    opencc = pytest.importorskip("opencc")
    simplified = [src for src, _ in PAIRS] * 20
    traditional = [opencc.OpenCC("s2t").convert(line) for line in simplified]
    files = {"s.zh": simplified, "t.zh": traditional, "t.en": [tgt for _, tgt in PAIRS] * 20}
    for name, lines in files.items():
        (tmp_path / name).write_text("".join(f"{line}\n" for line in lines), encoding="utf-8")
    run, english = tmp_path / "run", tmp_path / "t.en"
    sides = {"src": tmp_path / "t.zh", "tgt": english}
    given = [
        word
        for split in ("train", "valid")
        for side, path in sides.items()
        for word in (f"--{split}-{side}", path)
    ]
    settings = ["--set", "text.chinese=simplified", "--epochs", 1, "--run", run]
    output_of("train", *given, *TINY, *settings)

    tokens = (run / "model" / "src.tsv").read_text(encoding="utf-8")
    assert "医" in tokens
    assert "醫" not in tokens
    assert "历" in tokens
    outputs = [output_of("translate", "--run", run, tmp_path / name) for name in ("s.zh", "t.zh")]
    assert outputs[0] == outputs[1]

    # Conversely, references in either script give a translation the same score.
    (tmp_path / "own.yaml").write_text(
        "data: {src_lang: en, tgt_lang: zh, train: {src: t.en, tgt: t.zh}, valid: 0.1}\n"
        "text: {chinese: simplified}\n"
    )
    hyp, ref = tmp_path / "s.zh", tmp_path / "t.zh"
    done = s2s("eval", "--hyp", hyp, "--ref", ref, "-c", tmp_path / "own.yaml")
    bleu = json.loads(done.stdout)["bleu"]
    assert round(bleu["score"]) == 100
    assert "script:simplified" in bleu["signature"]
