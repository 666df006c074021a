"""Faulty text: each planted fault is reported, and clean text gives no warning."""

import random
from pathlib import Path

import pytest
from forked import clean_error, s2s
from tally import Tally, trials

from s2s_cli.data.fingerprints import fold_sentence
from s2s_cli.data.lines import read_lines

CORPORA = [
    ("tatoeba-zh-en", "zh", "en"),
    ("ai-challenger-10k", "en", "zh"),
    ("multi30k", "de", "en"),
    ("multi30k", "fr", "de"),
    ("classical-modern-zh", "lzh", "zh"),
]
OTHERS = {
    "ru": "Собака спит на коврике.",
    "zh": "狗睡在垫子上。",
    "en": "The dog sleeps on the mat.",
    "ja": "犬はマットの上で寝ています。",
}
SCRIPTS = {"ru": "Cyrillic", "zh": "Han", "en": "Latin", "ja": "kana"}
WRITTEN = {"zh": "Han", "lzh": "Han", "en": "Latin", "de": "Latin", "fr": "Latin"}
CHARACTERS = [
    *("--set", "data.max_length=2000"),
    "--set",
    "text.src_tokenizer=char",
    "--set",
    "text.tgt_tokenizer=char",
]

Pairs = list[tuple[str, str]]


def draw_pairs(folder: Path, langs: tuple[str, str], draw: random.Random) -> tuple[Pairs, Pairs]:
    """Training and validation pairs of a real corpus without common source sentences."""
    sides = [read_lines(folder / f"train.{lang}") for lang in langs]
    every = {fold_sentence(src): (src, tgt) for src, tgt in zip(*sides, strict=True) if src and tgt}
    pairs = draw.sample([*every.values()], 1300)
    return pairs[:1200], pairs[1200:]


def build(folder: Path, langs: tuple[str, str], train: Pairs, valid: Pairs) -> list[object]:
    """Write the files, and return the command that builds their vocabularies."""
    options: list[object] = []
    for name, pairs in (("train", train), ("valid", valid)):
        for side, lang in enumerate(langs):
            path = folder / f"{name}.{lang}"
            path.write_text("".join(f"{pair[side]}\n" for pair in pairs), encoding="utf-8")
            options += [f"--{name}-{('src', 'tgt')[side]}", path.name]
    return ["vocab", "build", *options, *CHARACTERS, "--run", "r"]


def warnings_of(folder: Path, command: list[object]) -> list[str]:
    done = s2s(*command, cwd=folder)
    assert done.status == 0, done.stderr
    return [line for line in done.stderr.splitlines() if line.startswith("warning: ")]


@pytest.mark.fault("F4")
def test_planted_faults_are_reported_and_clean_text_gives_no_warning(
    real_data: Path, tmp_path: Path, tally: Tally
) -> None:
    draw = random.Random(1)
    for number in range(trials(5, 50)):
        name, *both = CORPORA[number % len(CORPORA)]
        langs = both[0], both[1]
        train, valid = draw_pairs(real_data / name, langs, draw)
        with tally.trial(f"clean {name} {langs}"):
            assert warnings_of(tmp_path, build(tmp_path, langs, train, valid)) == []

        size = draw.randrange(1, 30)
        leaks = draw.sample(train, size)
        others = [(f" {src.lower()}", "x") for src, _ in draw.sample(train, 10)]
        mixed = [*valid, *leaks, *others]
        with tally.trial(f"{size} leaks in {name} {langs}"):
            (stderr,) = warnings_of(tmp_path, build(tmp_path, langs, train, mixed))
            assert f"valid: {size + 10} of {len(mixed)} source sentences also occur" in stderr
            assert f"{size} of them with the same translation" in stderr

        with tally.trial(f"few pairs of {name} {langs}"):
            stderr = "\n".join(
                warnings_of(tmp_path, build(tmp_path, langs, train[:999], valid[:49]))
            )
            assert "train: 999 pairs, fewer than 1,000" in stderr
            assert "valid: 49 pairs, fewer than 50" in stderr

        other = draw.choice([lang for lang in OTHERS if SCRIPTS[lang] != WRITTEN[langs[1]]])
        wrong = [(src, OTHERS[other]) for src, _ in train]
        with tally.trial(f"{other} as {langs[1]} in {name}"):
            error = clean_error(s2s(*build(tmp_path, langs, wrong, valid), cwd=tmp_path))
            assert f"are in {SCRIPTS[other]} script" in error
            assert "--tgt-lang" in error
            assert "swapped" not in error

        if WRITTEN[langs[0]] != WRITTEN[langs[1]]:
            turned = [(tgt, src) for src, tgt in train]
            with tally.trial(f"swapped {name} {langs}"):
                error = clean_error(s2s(*build(tmp_path, langs, turned, valid), cwd=tmp_path))
                assert "are the sides swapped?" in error
