"""Keys that were set and do nothing beside the others: no error, but worth a word."""

from collections.abc import Iterator
from typing import NamedTuple

from s2s_cli.config import Config, Decoding, Model, Text, Training, Vocab
from s2s_cli.section import Section
from s2s_cli.text.language import is_chinese


class Case(NamedTuple):
    """Keys of a section that something makes idle."""

    why: str
    """What makes them idle."""
    section: Section
    default: Section
    keys: tuple[str, ...]


SCHEDULES = {"decay_after": "exponential", "decay_every": "step", "decay_patience": "plateau"}
"""Keys that belong to one `training.schedule`."""


def find_unused(config: Config) -> Iterator[str]:
    """A sentence for each key that was set and does nothing beside the others."""
    for case in _cases(config):
        for key in case.keys:
            if getattr(case.section, key) != getattr(case.default, key):
                name = type(case.section).__name__.lower()
                yield f"{name}.{key}: does nothing with {case.why}"


def _cases(config: Config) -> Iterator[Case]:
    model, training = config.model, config.training
    if model.context != "attention":
        why = f"model.context {model.context}"
        yield Case(why, model, Model(), ("attention", "attend"))
    keys: tuple[str, ...]
    if training.teacher_forcing_schedule == "constant":
        keys = ("teacher_forcing_steps", "teacher_forcing_min")
        yield Case("training.teacher_forcing_schedule constant", training, Training(), keys)
    if training.kernels == "graphs" and training.teacher_forcing < 1:
        yield Case("training.teacher_forcing below 1", training, Training(), ("kernels",))
    keys = tuple(key for key, owner in SCHEDULES.items() if owner != training.schedule)
    yield Case(f"training.schedule {training.schedule}", training, Training(), keys)
    if config.text.src_subword == config.text.tgt_subword == "none":
        keys = ("character_coverage", "subword_sentences")
        yield Case("no subwords", config.vocab, Vocab(), keys)
    languages = {lang for direction in config.data.all_directions for lang in direction}
    if not any(map(is_chinese, languages)):
        yield Case("no Chinese side", config.text, Text(), ("chinese",))
    if config.decoding.search == "beam":
        keys = ("temperature", "top_k", "top_p")
        yield Case("decoding.search beam", config.decoding, Decoding(), keys)
