"""Running `s2s` as a person does, and small jobs for it."""

import os
import subprocess
import sys
from pathlib import Path

from forked import last_given, start

S2S = [sys.executable, "-m", "s2s_cli"]
BARE = {key: os.environ[key] for key in ("PATH", "HOME", "PYTHONPATH") if key in os.environ}
"""The environment of a fresh machine, as `env -i PATH="$PATH" HOME="$HOME"` leaves it."""

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
    """Run `s2s`, check its exit status, and that no traceback ever shows."""
    content = stdin.encode() if isinstance(stdin, str) else stdin
    done = start(arguments, cwd, content).wait()
    assert "Traceback" not in done.stderr, done.stderr
    assert done.status == status, done.stderr
    return subprocess.CompletedProcess(["s2s"], done.status, done.stdout, done.stderr)


def tiny_train(*more: object) -> list[object]:
    """A small training; an option in `more` takes the place of the one that is here."""
    files = ["--train-src", "my.zh", "--train-tgt", "my.en", "--valid-src", "my.zh"]
    return last_given(["train", *files, "--valid-tgt", "my.en", *TINY, *more])
