"""JoeyNMT 2.3.0.

JoeyNMT requires a learning rate schedule, and its default one crashes with current torch. So it
gets one that multiplies by 1. It translates from standard input to standard output, because its
option `-o` crashes after decoding.
"""

import re
from collections.abc import Sequence
from pathlib import Path

import yaml

from benchmarks.environments import JOEYNMT
from benchmarks.systems.tool import Command, Line, Report, Tool, Training, Translation
from benchmarks.work import Work

JOEY = [str(JOEYNMT.python), "-m", "joeynmt"]
NEVER = 1_000_000

_PROGRESS = re.compile(r"Step: +(\d+), .*Tokens per Sec: +(\d+)")


def recipe(work: Work, folder: Path, updates: int, beam_size: int = 1) -> str:
    """Its configuration, as YAML."""
    sizes, every = work.sizes, work.scale.first
    side = {"level": "word", "lowercase": False, "max_length": sizes.max_length}
    rnn = {"type": "recurrent", "rnn_type": "gru", "num_layers": 1}
    dropout = {"dropout": sizes.dropout}
    embeddings = {"embedding_dim": sizes.embed, **dropout}
    tree = {
        "name": "benchmark",
        "model_dir": str(folder / "model"),
        "use_cuda": work.is_on_gpu,
        "random_seed": 1,
        "data": {
            **{
                key: str(work.folder / name) for key, name in (("train", "train"), ("dev", "valid"))
            },
            "dataset_type": "plain",
            "src": {"lang": "src", **side, "voc_file": str(work.vocabulary("src"))},
            "trg": {"lang": "tgt", **side, "voc_file": str(work.vocabulary("tgt"))},
        },
        "testing": {
            "beam_size": beam_size,
            "beam_alpha": 1.0,
            "batch_size": sizes.batch,
            "batch_type": "sentence",
            "max_output_length": sizes.max_length,
        },
        "training": {
            "optimizer": "adam",
            "learning_rate": sizes.learning_rate,
            "scheduling": "exponential",
            "decrease_factor": 1.0,
            "clip_grad_norm": sizes.clip_norm,
            "normalization": "tokens",
            "batch_size": sizes.batch,
            "batch_type": "sentence",
            "epochs": NEVER,
            "updates": updates,
            "logging_freq": every,
            "validation_freq": every * NEVER,
            "keep_best_ckpts": 1,
        },
        "model": {
            "encoder": {
                **{**rnn, **dropout, "embeddings": embeddings},
                **{"hidden_size": sizes.hidden // 2, "bidirectional": True},
            },
            "decoder": {
                **{**rnn, **dropout, "embeddings": embeddings, "hidden_size": sizes.hidden},
                **{"hidden_dropout": sizes.dropout, "attention": "bahdanau"},
                **{"init_hidden": "bridge", "input_feeding": True},
            },
        },
    }
    return yaml.safe_dump(tree, sort_keys=False)


def train(training: Training) -> Command:
    """No validation, and one checkpoint, at the end."""
    config = training.folder / "train.yaml"
    text = recipe(training.work, training.folder, training.updates)
    return Command(
        [*JOEY, "train", str(config), "--skip-test", *training.options], files={config: text}
    )


def translate(translation: Translation) -> Command:
    """Standard input to standard output."""
    beam_size = translation.beam_size
    config = translation.model / f"beam-{beam_size}.yaml"
    return Command(
        [*JOEY, "translate", str(config), *translation.options],
        files={config: recipe(translation.work, translation.model, 1, beam_size)},
        stdin=translation.source,
        stdout=translation.output,
    )


def read_reports(lines: Sequence[Line]) -> list[Report]:
    """Lines as in `Epoch   1, Step:      100, …, Tokens per Sec:     1209, Lr: 0.001000`.

    The rate covers the time since the previous line; multiplied by that time it is a count.
    """
    reports: list[Report] = []
    for line in lines:
        if found := _PROGRESS.search(line.text):
            seconds = line.seconds - reports[-1].seconds if reports else 0.0
            reports.append(Report(line.seconds, int(found[1]), int(found[2]) * seconds))
    return reports


TOOL = Tool("joeynmt", "JoeyNMT", train, translate, Command([*JOEY, "--help"]), read_reports, True)
