"""`s2s`, as `python -m s2s_cli` of the Python that runs the harness."""

import json
import sys
from collections.abc import Sequence
from math import ceil

import yaml

from benchmarks.systems.tool import Command, Line, Report, Tool, Training, Translation
from benchmarks.work import MIN_FREQ, Work

S2S = [sys.executable, "-m", "s2s_cli"]
MARKERS = 4


def recipe(work: Work, epochs: int) -> str:
    """The recipe, as YAML."""
    sizes, scale = work.sizes, work.scale
    tree = {
        "data": {
            "src_lang": "de",
            "tgt_lang": "en",
            "folder": str(work.folder),
            **{s: {"src": f"{s}.src", "tgt": f"{s}.tgt"} for s in ("train", "valid", "test")},
            "max_length": sizes.max_length,
        },
        "text": {"src_tokenizer": "space", "tgt_tokenizer": "space"},
        "vocab": {"max_size": max(work.vocab_sizes) + MARKERS, "min_freq": MIN_FREQ},
        "model": {
            "cell": "gru",
            "embed_size": sizes.embed,
            "hidden_size": sizes.hidden,
            "num_layers": 1,
            "bidirectional": True,
            "context": "attention",
            "attention": "additive",
            "attention_size": sizes.attention,
            "attend": "before",
            "readout": "tanh",
            "dropout": sizes.dropout,
        },
        "training": {
            "device": work.device,
            "epochs": epochs,
            "patience": epochs,
            "batch_size": sizes.batch,
            "learning_rate": sizes.learning_rate,
            "clip_norm": sizes.clip_norm,
            "best_by": "perplexity",
            "save_every": 1_000_000,
            "log_every": scale.first,
        },
        "decoding": {"batch_size": sizes.batch},
    }
    return yaml.safe_dump(tree, sort_keys=False)


def train(training: Training) -> Command:
    """Complete epochs, as many as the updates need."""
    work, folder = training.work, training.folder
    epochs = ceil(training.updates / work.updates_per_epoch)
    config = folder / "recipe.yaml"
    return Command(
        [*S2S, "train", "-c", str(config), "--run", str(folder / "run"), *training.options],
        files={config: recipe(work, epochs)},
        watched=folder / "run" / "train.jsonl",
    )


def translate(translation: Translation) -> Command:
    """Unknown words stay `<unk>`, as in the other toolkits."""
    work, model = translation.work, translation.model / "run" / "model"
    return Command(
        [
            *(*S2S, "translate", str(translation.source), "--model", str(model)),
            *("--output", str(translation.output), "--device", work.device, "--keep-unk"),
            *("--beam-size", str(translation.beam_size), *translation.options),
        ]
    )


def read_reports(lines: Sequence[Line]) -> list[Report]:
    """Lines of `train.jsonl`.

    They count the tokens of the epoch so far; the line of a validation ends the epoch.
    """
    reports: list[Report] = []
    counted = 0
    for line in lines:
        facts = json.loads(line.text)
        if "epoch_tokens" in facts:
            tokens = facts["epoch_tokens"] - counted
            reports.append(Report(line.seconds, facts["step"], tokens))
            counted = facts["epoch_tokens"]
        elif "valid_seconds" in facts:
            # Tokens after the last report of the epoch belong to the next report.
            counted -= round(facts["tokens_per_second"] * facts["seconds"])
    return reports


TOOL = Tool("s2s", "s2s", train, translate, Command([*S2S, "--help"]), read_reports, False)
