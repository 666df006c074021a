"""OpenNMT-py 3.5.1.

It requires torch below 2.3. It runs with a newer one if an environment variable lets torch load its
models, which are pickled. It makes batches in the training process, in one pass over the text. By
default two more processes would hold the text several times: this takes gigabytes of memory and a
minute before the first update, and gains nothing on a CPU.
"""

import re
from collections.abc import Sequence

import yaml

from benchmarks.environments import OPENNMT
from benchmarks.systems.tool import Command, Line, Report, Tool, Training, Translation
from benchmarks.work import Work

NEVER = 1_000_000
TRUST = {"TORCH_FORCE_NO_WEIGHTS_ONLY_LOAD": "1"}

_PROGRESS = re.compile(r"Step +(\d+)/ *\d+; .*bsz: +\d+/ *(\d+)/")


def data_options(work: Work) -> dict[str, object]:
    """Options of the data, which eole has too."""

    def corpus(split: str) -> dict[str, str]:
        return {"path_src": str(work.text(split, "src")), "path_tgt": str(work.text(split, "tgt"))}

    return {
        "seed": 1,
        "data": {"corpus": corpus("train"), "valid": corpus("valid")},
        "src_vocab": str(work.vocabulary("src")),
        "tgt_vocab": str(work.vocabulary("tgt")),
        "src_vocab_size": NEVER,
        "tgt_vocab_size": NEVER,
        "report_every": work.scale.first,
    }


def training_options(work: Work, updates: int) -> dict[str, object]:
    """Options of training, which eole has too."""
    sizes = work.sizes
    return {
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
        "gpu_ranks": [0] if work.is_on_gpu else [],
    }


def recipe(work: Work, updates: int, model: str) -> str:
    """Its configuration, as YAML."""
    tree = {
        **data_options(work),
        "save_model": model,
        "encoder_type": "brnn",
        "decoder_type": "rnn",
        "rnn_type": "GRU",
        "layers": 1,
        "word_vec_size": work.sizes.embed,
        "hidden_size": work.sizes.hidden,
        "global_attention": "mlp",
        "input_feed": 1,
        **training_options(work, updates),
    }
    return yaml.safe_dump(tree, sort_keys=False)


def train(training: Training) -> Command:
    """No validation, and one checkpoint, at the end."""
    config = training.folder / "train.yaml"
    text = recipe(training.work, training.updates, str(training.folder / "model"))
    program = str(OPENNMT.program("onmt_train"))
    return Command([program, "-config", str(config), *training.options], TRUST, {config: text})


def translate(translation: Translation) -> Command:
    """From file to file."""
    work = translation.work
    (model,) = sorted(translation.model.glob("model_step_*.pt"))[-1:] or (translation.model,)
    return Command(
        [
            *(str(OPENNMT.program("onmt_translate")), "-model", str(model)),
            *("-src", str(translation.source), "-output", str(translation.output)),
            *("-beam_size", str(translation.beam_size)),
            *("-batch_size", str(work.sizes.batch), "-gpu", "0" if work.is_on_gpu else "-1"),
            *("-max_length", str(work.sizes.max_length), *translation.options),
        ],
        TRUST,
    )


def read_reports(lines: Sequence[Line]) -> list[Report]:
    """Lines as in `Step 100/  200; …; bsz:  823/ 842/64; 1500/1520 tok/s; …`.

    `bsz` is the mean number of source and target tokens per batch since the previous line.
    """
    reports: list[Report] = []
    for line in lines:
        if found := _PROGRESS.search(line.text):
            step, tokens = int(found[1]), int(found[2])
            former = reports[-1].step if reports else 0
            reports.append(Report(line.seconds, step, tokens * (step - former)))
    return reports


HELP = Command([str(OPENNMT.program("onmt_train")), "--help"])
TOOL = Tool("opennmt", "OpenNMT-py", train, translate, HELP, read_reports, True)
