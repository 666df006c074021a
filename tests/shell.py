"""Run `s2s` as a user does, with a small model."""

import os
import subprocess
import sys
from pathlib import Path

from forked import last_given, start

S2S = [sys.executable, "-m", "s2s_cli"]
BARE = {key: os.environ[key] for key in ("PATH", "HOME", "PYTHONPATH") if key in os.environ}
"""The minimal environment of `env -i PATH="$PATH" HOME="$HOME"`."""

SEED_SENTENCE = "我喜欢学习机器学习。"

TINY = [
    *("--set", "model.hidden_size=16", "--set", "model.embed_size=8"),
    *("--set", "model.attention_size=8", "--set", "vocab.min_freq=1"),
    *("--set", "training.batch_size=16", "--set", "text.src_tokenizer=char"),
]

SUBWORDS = [
    *("--set", "text.src_tokenizer=none", "--set", "text.src_subword=unigram"),
    *("--set", "text.tgt_subword=bpe", "--set", "text.subword_sampling=0.3"),
]


def s2s(
    *arguments: object, cwd: Path, stdin: str | bytes = b"", status: int = 0
) -> subprocess.CompletedProcess[str]:
    """Run `s2s`, and check its exit status and that it prints no traceback."""
    content = stdin.encode() if isinstance(stdin, str) else stdin
    done = start(arguments, cwd, content).wait()
    assert "Traceback" not in done.stderr, done.stderr
    assert done.status == status, done.stderr
    return subprocess.CompletedProcess(["s2s"], done.status, done.stdout, done.stderr)


def tiny_train(*more: object) -> list[object]:
    """Return the arguments of a small training; options in `more` replace those given here."""
    files = ["--train-src", "my.zh", "--train-tgt", "my.en", "--valid-src", "my.zh"]
    return last_given(["train", *files, "--valid-tgt", "my.en", *TINY, *more])
