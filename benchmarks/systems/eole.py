"""eole 0.6.4, OpenNMT-py's successor: the same options, under other headings, and the same log.

Its `brnn` encoder ends up unidirectional, because a setting of the model is overwritten; so its
model is a little smaller than the others'.
"""

import yaml

from benchmarks.environments import EOLE
from benchmarks.systems.opennmt import NEVER, TRUST, read_reports
from benchmarks.systems.tool import Command, Tool, Training, Translation
from benchmarks.work import Work

PROGRAM = str(EOLE.program("eole"))


def recipe(work: Work, updates: int, model: str) -> str:
    """Its configuration, as YAML."""
    sizes = work.sizes

    def corpus(split: str) -> dict[str, str]:
        return {"path_src": str(work.text(split, "src")), "path_tgt": str(work.text(split, "tgt"))}

    tree = {
        "seed": 1,
        "data": {"corpus": corpus("train"), "valid": corpus("valid")},
        "src_vocab": str(work.vocabulary("src")),
        "tgt_vocab": str(work.vocabulary("tgt")),
        "src_vocab_size": NEVER,
        "tgt_vocab_size": NEVER,
        "vocab_size_multiple": 1,
        "report_every": work.scale.first,
        "model": {
            "architecture": "rnn",
            "layers": 1,
            "hidden_size": sizes.hidden,
            "embeddings": {"word_vec_size": sizes.embed},
            "encoder": {"encoder_type": "brnn", "rnn_type": "GRU"},
            "decoder": {"decoder_type": "rnn", "rnn_type": "GRU", "global_attention": "mlp"},
        },
        "training": {
            "model_path": model,
            "compute_dtype": "fp32",
            "dropout": [sizes.dropout],
            "optim": "adam",
            "learning_rate": sizes.learning_rate,
            "max_grad_norm": sizes.clip_norm,
            "normalization": "tokens",
            "batch_type": "sents",
            "batch_size": sizes.batch,
            "num_workers": 0,
            "bucket_size": work.num_pairs,
            "train_steps": updates,
            "valid_steps": NEVER,
            "save_checkpoint_steps": NEVER,
            "world_size": 1,
            "gpu_ranks": [],
        },
    }
    return yaml.safe_dump(tree, sort_keys=False)


def train(training: Training) -> Command:
    """No validation, and one checkpoint, at the end."""
    config = training.folder / "train.yaml"
    text = recipe(training.work, training.updates, str(training.folder / "model"))
    return Command([PROGRAM, "train", "-c", str(config), *training.options], TRUST, {config: text})


def translate(translation: Translation) -> Command:
    """From file to file."""
    return Command(
        [
            *(PROGRAM, "predict", "-model_path", str(translation.model / "model")),
            *("-src", str(translation.source), "-output", str(translation.output)),
            *("-beam_size", str(translation.beam_size)),
            *("-batch_size", str(translation.work.sizes.batch)),
            *("-max_length", str(translation.work.sizes.max_length), *translation.options),
        ],
        TRUST,
    )


TOOL = Tool("eole", "eole", train, translate, Command([PROGRAM, "--help"]), read_reports, True)
