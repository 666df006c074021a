"""Find and load the model of a command."""

import json
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from s2s_cli.errors import ConfigError

if TYPE_CHECKING:
    from s2s_cli.checkpoint import LoadedModel, ModelCard
    from s2s_cli.config import Config, Decoding
    from s2s_cli.decoding.translator import Translator
    from s2s_cli.run import RunFolder


class ModelLocation(NamedTuple):
    """The folders of a model or an ensemble."""

    folder: Path
    run: "RunFolder | None"
    """The run folder that contains the model, if any."""
    others: tuple[Path, ...] = ()
    """Folders of the other members of an ensemble."""

    @property
    def folders(self) -> tuple[Path, ...]:
        """The folders of all members."""
        return self.folder, *self.others


class Loaded(NamedTuple):
    """A model ready to translate."""

    translators: "dict[str, Translator]"
    """Translators by the names of their directions, such as `de-en`."""
    decoding: "Decoding"
    """The search settings of the model, with the options' overrides."""
    card: "ModelCard"
    others: "tuple[ModelCard, ...]" = ()
    """Cards of the other members of an ensemble."""

    @property
    def translator(self) -> "Translator":
        """The translator of the only direction, or of the first."""
        return next(iter(self.translators.values()))

    @property
    def config(self) -> "Config":
        """The settings for translating, in a configuration."""
        from s2s_cli.config import Config

        # Not validated together: another member of an ensemble may have attention, for instance.
        sections = {"model": self.card.model, "text": self.card.text, "decoding": self.decoding}
        return Config().model_copy(update=sections)

    def between(self, src: str | None, tgt: str | None) -> "Loaded":
        """Keep only the translator of the direction that `--from` and `--to` name.

        Raises:
            ConfigError: the model has no such direction, or more than one.
        """
        from s2s_cli.decoding.translator import choose_direction

        name = str(
            choose_direction(
                self.card.all_directions, src, tgt, src_tokenizer=self.card.text.src_tokenizer
            )
        )
        return self._replace(translators={name: self.translators[name]})


def locate_model(
    config: str | None, run: Path | None, models: Sequence[Path] | None = None
) -> ModelLocation:
    """Find the model folder; without options, that of the last training, reported on stderr.

    In an ensemble, the run, the languages and the search settings of the first model count.

    Raises:
        CheckpointError: no run has a model.
    """
    from s2s_cli.console import say
    from s2s_cli.recipe import load_recipe
    from s2s_cli.run import RUNS, RunFolder, latest_run

    if models:
        folder, *others = map(find_model, models)
        owner = RunFolder(folder.absolute().parent)
        return ModelLocation(folder, owner if owner.config_path.is_file() else None, tuple(others))
    if run is not None:
        found = RunFolder(run)
    elif config is not None:
        found = RunFolder(RUNS / load_recipe(config).name)
    else:
        found = latest_run()
        say(f"model: {found.model_path} (the last training)")
    return ModelLocation(found.model_path, found)


def load_translator(
    place: ModelLocation,
    device: str | None,
    given: Sequence[tuple[str, object]],
    sets: Sequence[str],
) -> Loaded:
    """Load a model onto a device; options and `--set decoding.*` override its search settings.

    Raises:
        ConfigError: an override is not of the decoding section, or of the wrong type; the models
            of an ensemble do not match.
    """
    from s2s_cli.checkpoint import load_model
    from s2s_cli.console import warn
    from s2s_cli.decoding.ensemble import Ensemble
    from s2s_cli.decoding.translator import make_translators
    from s2s_cli.device import choose_device, prepare_device
    from s2s_cli.launch import read_launch
    from s2s_cli.model.kernel_selection import select_kernels

    chosen = choose_device(device or "auto", read_launch())
    prepare_device()
    loaded = load_model(place.folder)
    decoding = _override_decoding(loaded.card, given, sets)
    dictionary = _read_dictionary(decoding, loaded.card)
    others = [_load_member(folder, place.folder, loaded) for folder in place.others]
    models = [loaded.model, *(other.model for other in others)]
    cards = [loaded.card, *(other.card for other in others)]
    if dictionary and all(card.model.context != "attention" for card in cards):
        warn(
            f"{decoding.dictionary}: has no effect with a model without attention, which does not "
            "show which source word an <unk> translates"
        )
    members = [
        select_kernels(model.to(chosen).eval(), decoding)
        for model, card in zip(models, cards, strict=True)
    ]
    model = Ensemble(members) if others else members[0]
    translators = make_translators(loaded, model, chosen, dictionary)
    return Loaded(translators, decoding, loaded.card, tuple(other.card for other in others))


def _override_decoding(
    card: "ModelCard", given: Sequence[tuple[str, object]], sets: Sequence[str]
) -> "Decoding":
    """The model's search settings, overridden by options and `--set`."""
    from s2s_cli.recipe import check_config, parse_override

    settings = card.decoding.model_dump()
    for key, value in [*given, *(parse_override(text) for text in sets)]:
        section, _, name = key.partition(".")
        if section != "decoding":
            raise ConfigError(
                f"--set {key}: a trained model takes only keys of decoding here; remove it"
            )
        settings[name] = value
    return check_config({"decoding": settings}, where="options").decoding


def find_model(path: Path) -> Path:
    """The folder itself if it is a model, or the model folder in a run folder."""
    from s2s_cli.storage.checksummed import is_checksummed

    return path / "model" if not is_checksummed(path) and (path / "model").exists() else path


def _read_dictionary(decoding: "Decoding", card: "ModelCard") -> dict[str, str]:
    """Read the dictionary for unknown words; empty if none is given."""
    from s2s_cli.data.dictionary import read_dictionary
    from s2s_cli.data.file_kinds import STDIN
    from s2s_cli.text.normalize import Normalizer

    if decoding.dictionary is None:
        return {}
    path = Path(decoding.dictionary)
    if not path.exists() and path != STDIN:
        raise ConfigError(
            f"decoding.dictionary: no such file: {path}; name it with --dictionary FILE, or use "
            "none: --set decoding.dictionary=null"
        )
    text = card.text
    return read_dictionary(
        path, Normalizer(card.src_lang, text.lowercase, text.normalize, text.chinese)
    )


def _load_member(other_folder: Path, folder: Path, loaded: "LoadedModel") -> "LoadedModel":
    """Load another member of an ensemble, whose token ids must mean the same as the first one's.

    Raises:
        ConfigError: languages, text settings or vocabularies differ.
    """
    from s2s_cli.checkpoint import load_model
    from s2s_cli.differences import diff

    other = load_model(other_folder)
    may_differ = ("text.subword_sampling", "text.tgt_subword_sampling")  # used in training only
    for key, ours, theirs in diff(_comparable(loaded.card), _comparable(other.card), may_differ):
        raise ConfigError(
            f"--model {other_folder}: {key} is {theirs}, but {ours} in {folder}; an ensemble "
            "needs the same languages, text settings and vocabularies"
        )
    for side, ours, theirs in (
        ("source", loaded.src, other.src),
        ("target", loaded.tgt, other.tgt),
    ):
        if ours.tokenizer.subwords != theirs.tokenizer.subwords:
            raise ConfigError(
                f"--model {other_folder}: its {side} subwords differ from those of {folder}; train "
                "the members of an ensemble with the same vocabularies"
            )
        if ours.vocabulary.tokens != theirs.vocabulary.tokens:
            raise ConfigError(
                f"--model {other_folder}: its {side} vocabulary ({len(theirs.vocabulary):,} "
                f"tokens) differs from that of {folder} ({len(ours.vocabulary):,} tokens); train "
                "the members of an ensemble with the same vocabularies"
            )
    return other


def _comparable(card: "ModelCard") -> dict[str, object]:
    """The settings that the members of an ensemble must share."""
    return {
        "src_lang": card.src_lang,
        "tgt_lang": card.tgt_lang,
        "directions": ", ".join(sorted(card.directions)) or "not given",
        "text": card.text,
    }


def report_search_of_recipe(config: str, loaded: "Loaded") -> None:
    """Report where the search differs from that of the recipe named, and how to change it."""
    from s2s_cli.console import say
    from s2s_cli.differences import diff
    from s2s_cli.recipe import load_recipe

    own, used = loaded.card.decoding, loaded.decoding
    overridden = {change.key for change in diff(own, used)}
    changes = diff(used, load_recipe(config).config.decoding, overridden)
    if changes:
        here = ", ".join(f"decoding.{key}={_as_yaml(used)}" for key, used, _ in changes)
        there = " ".join(f"--set decoding.{key}={_as_yaml(wanted)}" for key, _, wanted in changes)
        say(f"the search has the model's own {here}; for the search of {config}, add {there}")


def _as_yaml(value: object) -> str:
    return value if isinstance(value, str) else json.dumps(value)


def report_mbr(decoding: "Decoding") -> None:
    """Report what minimum Bayes risk decoding does, and what its scores are."""
    from s2s_cli.console import say

    if decoding.search == "mbr":
        metric = {"chrf": "chrF", "bleu": "BLEU"}[decoding.utility]
        say(
            f"minimum Bayes risk decoding: of {decoding.num_samples} samples of each sentence, the "
            f"one with the highest mean {metric} against all of them; this mean is its score"
        )
