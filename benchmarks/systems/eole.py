"""eole 0.6.4, the successor of OpenNMT-py: the same options in other sections, and the same log.

Its `brnn` encoder becomes unidirectional, because eole overwrites a setting of the model. So its
model is a little smaller than the others.
"""

import yaml

from benchmarks.environments import EOLE
from benchmarks.systems.opennmt import TRUST, data_options, read_reports, training_options
from benchmarks.systems.tool import Command, Tool, Training, Translation
from benchmarks.work import Work

PROGRAM = str(EOLE.program("eole"))


def recipe(work: Work, updates: int, model: str) -> str:
    """Its configuration, as YAML."""
    tree = {
        **data_options(work),
        "vocab_size_multiple": 1,
        "model": {
            "architecture": "rnn",
            "layers": 1,
            "hidden_size": work.sizes.hidden,
            "embeddings": {"word_vec_size": work.sizes.embed},
            "encoder": {"encoder_type": "brnn", "rnn_type": "GRU"},
            "decoder": {"decoder_type": "rnn", "rnn_type": "GRU", "global_attention": "mlp"},
        },
        "training": {
            "model_path": model,
            "compute_dtype": "fp32",
            **training_options(work, updates),
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
    work = translation.work
    return Command(
        [
            *(PROGRAM, "predict", "-model_path", str(translation.model / "model")),
            *("-src", str(translation.source), "-output", str(translation.output)),
            *("-beam_size", str(translation.beam_size)),
            *("-batch_size", str(work.sizes.batch)),
            *(("-gpu_ranks", "0") if work.is_on_gpu else ()),
            *("-max_length", str(work.sizes.max_length), *translation.options),
        ],
        TRUST,
    )


TOOL = Tool("eole", "eole", train, translate, Command([PROGRAM, "--help"]), read_reports, True)
