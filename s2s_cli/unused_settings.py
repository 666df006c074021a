"""Settings that have no effect in combination with others: one table for recipes and options.

A row of `TABLE` names settings, the condition under which they do nothing, and the condition in
words. A setting is a key of a recipe, such as `model.attend`, or an option that sets no key, such
as `--report`. What the command line gives in vain is an error; a recipe's key gets a warning.
"""

from collections.abc import Callable, Collection, Mapping
from fnmatch import fnmatchcase
from types import MappingProxyType
from typing import NamedTuple

from s2s_cli.config import Config, Decoding
from s2s_cli.differences import diff
from s2s_cli.errors import ConfigError
from s2s_cli.text.language import is_chinese

Condition = Callable[[Config], bool]


class Rule(NamedTuple):
    """Settings that have no effect under a condition."""

    keys: tuple[str, ...]
    """Patterns such as `vocab.*` are allowed."""
    condition: Condition | tuple[str, ...]
    """Of the configuration; or options, each of which makes the settings idle."""
    reason: str
    """The condition in words; `{model.context}` stands for the key's value."""
    remedy: str = "remove it"


def _equals(key: str, *values: object) -> Condition:
    section, _, name = key.partition(".")
    return lambda config: getattr(getattr(config, section), name) in values


def _differs(key: str, *values: object) -> Condition:
    section, _, name = key.partition(".")
    return lambda config: getattr(getattr(config, section), name) not in values


def _has_no_chinese(config: Config) -> bool:
    languages = (lang for direction in config.data.all_directions for lang in direction)
    return not any(map(is_chinese, languages))


def _has_no_subwords(config: Config) -> bool:
    return config.text.src_subword == config.text.tgt_subword == "none"


def _has_no_words(config: Config) -> bool:
    return "none" not in {config.text.src_subword, config.text.tgt_subword}


def _has_one_layer_a_side(config: Config) -> bool:
    return config.model.encoder_sizes.layers == config.model.decoder_sizes.layers == 1


SEARCH_KEYS = tuple(f"decoding.{key}" for key in Decoding.model_fields if key != "batch_size")
NEEDS_BEAM = ("beam_size", "length_penalty", "length_penalty_kind", "coverage_penalty")
OF_METRICS = ("--bleu", "--chrf", "--ter", "--tokenize", "--lowercase", "--tokenized", "--accuracy")
OF_MODEL = ("--run", "--model", "--from", "--to", "--test-src", "--test-tgt", "--data-dir")

SCHEDULE = "with training.schedule {training.schedule}"
CONSISTENCY = "with training.consistency {training.consistency}"
SEARCH = "with decoding.search {decoding.search}"
FINE_TUNING = "when fine-tuning, which keeps the vocabularies of {training.init_from}"
SCORED_FILES = "with --hyp and --ref, which score existing translations"
SCORED_PAIRS = "with --score-pairs, which neither searches nor compares"
TUNED = "with --tune, which compares searches by one score on the validation set"

TABLE = (
    Rule(
        ("data.src_lang", "data.tgt_lang"),
        _differs("data.directions", ()),
        "with data.directions, which names the languages",
    ),
    Rule(("text.chinese",), _has_no_chinese, "without a Chinese side"),
    Rule(
        ("vocab.*",),
        _differs("training.init_from", None),
        FINE_TUNING,
        "remove it, or train without --from",
    ),
    Rule(
        ("vocab.character_coverage",),
        _has_no_subwords,
        "without subwords",
    ),
    Rule(("vocab.min_freq",), _has_no_words, "with subwords on both sides"),
    Rule(
        ("model.attention", "model.attention_size", "model.attend"),
        _differs("model.context", "attention"),
        "with model.context {model.context}",
    ),
    Rule(
        ("model.attention_size",),
        _differs("model.attention", "additive"),
        "with model.attention {model.attention}",
    ),
    Rule(("model.residual",), _has_one_layer_a_side, "with one layer on each side"),
    Rule(
        ("model.word_dropout",),
        lambda config: None not in {config.model.src_word_dropout, config.model.tgt_word_dropout},
        "with model.src_word_dropout and model.tgt_word_dropout",
    ),
    Rule(
        ("training.consistency_weight", "training.consistency_cut"),
        _equals("training.consistency", "none"),
        CONSISTENCY,
    ),
    Rule(("training.consistency_cut",), _differs("training.consistency", "simcut"), CONSISTENCY),
    Rule(("training.decay_after",), _differs("training.schedule", "exponential"), SCHEDULE),
    Rule(("training.decay_every",), _differs("training.schedule", "step"), SCHEDULE),
    Rule(("training.decay_patience",), _differs("training.schedule", "plateau"), SCHEDULE),
    Rule(
        ("training.teacher_forcing_steps", "training.teacher_forcing_min"),
        _equals("training.teacher_forcing_schedule", "constant"),
        "with training.teacher_forcing_schedule constant",
    ),
    Rule(("training.average_of",), _equals("training.average", 1), "with training.average 1"),
    Rule(
        tuple(f"decoding.{key}" for key in NEEDS_BEAM),
        _differs("decoding.search", "beam"),
        SEARCH,
    ),
    Rule(
        ("decoding.num_samples", "decoding.utility"),
        _differs("decoding.search", "mbr"),
        SEARCH,
        "add --set decoding.search=mbr, or remove it",
    ),
    Rule(
        ("decoding.temperature", "decoding.top_k", "decoding.top_p", "decoding.seed"),
        _equals("decoding.search", "beam"),
        SEARCH,
        "add --sample, or remove it",
    ),
    Rule(("--run",), ("--model",), "with --model, which names the model"),
    Rule(("--tokenizer",), ("--model",), "with --model, which has a tokeniser"),
    Rule(("--prefix",), ("--prefix-file",), "with --prefix-file, which has a prefix for each line"),
    Rule(
        (*OF_MODEL, "--score-pairs", "--tune", "--report", "--device", "*.*"),
        ("--hyp", "--ref"),
        SCORED_FILES,
    ),
    Rule(
        (*OF_METRICS, "--tune", "--report", *SEARCH_KEYS),
        ("--score-pairs",),
        SCORED_PAIRS,
    ),
    Rule(
        (
            "--ter",
            "--tokenized",
            "--accuracy",
            "--test-src",
            "--test-tgt",
            "data.test*",
            "--report",
        ),
        ("--tune",),
        TUNED,
    ),
    Rule(
        ("--tune",),
        _differs("decoding.search", "beam"),
        SEARCH,
        "add --set decoding.search=beam, or remove it",
    ),
)


class Unused(NamedTuple):
    """Settings that have no effect here, for one reason."""

    keys: list[str]
    reason: str
    remedy: str

    def describe(self, names: Mapping[str, str] = MappingProxyType({})) -> str:
        """Put it into words; `names` has what to call some keys."""
        listed = ", ".join(names.get(key, key) for key in self.keys)
        return f"{listed}: {'has' if len(self.keys) == 1 else 'have'} no effect {self.reason}"


def find_unused(config: Config | None, given: Collection[str] | None = None) -> list[Unused]:
    """Find settings that have no effect, each by the first row of the table that applies.

    Args:
        config: the configuration; None where only options are looked at.
        given: the settings in question; None for all that differ from their defaults.
    """
    if given is None:
        given = _list_chosen(config or Config())
    found, remaining = [], [*given]
    for row in TABLE:
        if isinstance(row.condition, tuple):
            is_unused = any(option in given for option in row.condition)
        else:
            is_unused = config is not None and row.condition(config)
        if is_unused and (keys := [key for key in remaining if _matches(key, row.keys)]):
            sections = dict(config) if config else {}
            found.append(Unused(keys, row.reason.format_map(sections), row.remedy))
            remaining = [key for key in remaining if key not in keys]
    return found


def _matches(key: str, patterns: tuple[str, ...]) -> bool:
    return any(fnmatchcase(key, pattern) for pattern in patterns)


def _list_chosen(config: Config) -> list[str]:
    """The keys that differ from their defaults.

    Without those of `vocab` where a model is fine-tuned: they may be a record of the vocabularies
    that the run took over, and what a recipe says is looked at before that.
    """
    ignored = () if config.training.init_from is None else ("vocab",)
    return [change.key for change in diff(Config(), config, ignored)]


def refuse_unused(given: Mapping[str, str], config: Config | None = None) -> None:
    """Refuse what the command line gives in vain.

    Args:
        given: the settings that the command line gives, and how each is written there.
        config: the configuration; None where only options are looked at.

    Raises:
        ConfigError: something given has no effect.
    """
    for unused in find_unused(config, given):
        raise ConfigError(f"{unused.describe(given)}; {unused.remedy}")
