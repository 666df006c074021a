"""Losses and translations of small trainings with a fixed seed, before and after a refactoring.

    python -m tools.fingerprint > before.json
    python -m tools.fingerprint --against before.json

Each variant is trained and evaluated, and translates, through the command line, on the embedded
phrasebook. The same machine and the same number of threads give the same numbers; a difference
means that the change was not a refactoring.
"""

import argparse
import hashlib
import json
import subprocess
import sys
import tempfile
from pathlib import Path

COMMON = {
    "model.embed_size": "24",
    "model.hidden_size": "32",
    "model.attention_size": "16",
    "training.epochs": "2",
    "training.device": "cpu",
}

VARIANTS: dict[str, dict[str, str]] = {
    "gru": {},
    "plain": {"training.kernels": "plain", "decoding.kernels": "plain"},
    "bf16": {"training.precision": "bf16", "decoding.precision": "bf16"},
    "int8": {"decoding.precision": "int8"},
    "lstm_luong": {"model.cell": "lstm", "model.attend": "after", "model.input_feeding": "true"},
    "gnmt": {"model.attend": "below", "model.num_layers": "2", "model.residual": "true"},
    "cho": {"model.context": "every_step", "model.bidirectional": "false"},
    "sutskever": {"model.context": "initial", "model.cell": "lstm", "model.num_layers": "2"},
    "dot_plain": {"model.attention": "dot", "training.kernels": "plain"},
    "sampled": {"training.teacher_forcing": "0.5", "model.variational": "true"},
    "means": {"training.ema": "0.9", "training.average": "2", "training.accumulate": "2"},
    "bpe": {
        "text.src_subword": "bpe",
        "text.tgt_subword": "bpe",
        "vocab.shared": "true",
        "vocab.max_size": "2000",
        "model.tied": "all",
        "text.subword_sampling": "0.1",
    },
    "beam": {
        "decoding.beam_size": "4",
        "decoding.coverage_penalty": "0.2",
        "decoding.n_best": "2",
    },
}


def measure(settings: dict[str, str]) -> dict[str, object]:
    """Train, evaluate and translate with one variant, in a folder of its own."""
    with tempfile.TemporaryDirectory() as folder:
        sets = [f"--set={key}={value}" for key, value in (COMMON | settings).items()]
        run_s2s(["train", "--run", "run", *sets], folder)
        log = (Path(folder) / "run" / "train.jsonl").read_text(encoding="utf-8")
        lines = [json.loads(line) for line in log.splitlines()]
        sources = "我喜欢学习机器学习。\n你好吗？\n今天天气很好。\n"
        weights = (Path(folder) / "run" / "model" / "model.safetensors").read_bytes()
        return {
            "losses": [line["loss"] for line in lines],
            "bleu": [line["bleu"] for line in lines],
            "weights": hashlib.sha256(weights).hexdigest()[:16],
            "eval": run_s2s(["eval", "--run", "run"], folder),
            "translations": run_s2s(["translate", "--run", "run"], folder, sources),
        }


def run_s2s(arguments: list[str], folder: str, text: str = "") -> str:
    """What a command prints."""
    command = [sys.executable, "-m", "s2s_cli", *arguments]
    done = subprocess.run(
        command, cwd=folder, input=text, capture_output=True, text=True, check=False
    )
    if done.returncode:
        raise SystemExit(f"s2s {' '.join(arguments)}: {done.stderr}")
    return done.stdout


def main() -> int:
    """Print all numbers as JSON, or compare them with those of an earlier call."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--against", type=Path, help="JSON of an earlier call; differences fail")
    parser.add_argument("--only", nargs="*", choices=[*VARIANTS], help="variants; all by default")
    options = parser.parse_args()
    names = options.only or [*VARIANTS]
    found = {name: measure(VARIANTS[name]) for name in names}
    if options.against is None:
        print(json.dumps(found, indent=1, ensure_ascii=False))
        return 0
    former = json.loads(options.against.read_text(encoding="utf-8"))
    changed = {
        name: [key for key, value in found[name].items() if former[name][key] != value]
        for name in names
    }
    for name, keys in changed.items():
        print(f"{name}: {'differs in ' + ', '.join(keys) if keys else 'identical'}")
    return int(any(changed.values()))


if __name__ == "__main__":
    raise SystemExit(main())
