"""Finding and loading the model that a command means."""

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from s2s_cli.errors import ConfigError

if TYPE_CHECKING:
    from s2s_cli.checkpoint import ModelCard
    from s2s_cli.config import Decoding
    from s2s_cli.decoding.translator import Translator
    from s2s_cli.run import RunFolder


class Place(NamedTuple):
    """Where a model is."""

    folder: Path
    run: "RunFolder | None"
    """The run folder that it stands in, if any."""


class Loaded(NamedTuple):
    """A model ready to translate."""

    translator: "Translator"
    decoding: "Decoding"
    """Its search settings, with what the options override."""
    card: "ModelCard"


def locate_model(config: str | None, run: Path | None, model: Path | None) -> Place:
    """The model folder that the options mean; without any, the run trained last, named on stderr.

    Raises:
        CheckpointError: no run has a model.
    """
    from s2s_cli.console import say
    from s2s_cli.recipe import load_recipe
    from s2s_cli.run import RUNS, RunFolder, latest_run
    from s2s_cli.sealed import is_sealed

    if model is not None:
        folder = model / "model" if not is_sealed(model) and (model / "model").exists() else model
        owner = RunFolder(folder.absolute().parent)
        return Place(folder, owner if owner.config_path.is_file() else None)
    if run is not None:
        found = RunFolder(run)
    elif config is not None:
        found = RunFolder(RUNS / load_recipe(config).name)
    else:
        found = latest_run()
        say(f"model: {found.model_path} (the run trained last)")
    return Place(found.model_path, found)


def load_translator(
    place: Place,
    device: str | None,
    given: Sequence[tuple[str, object]],
    sets: Sequence[str],
) -> Loaded:
    """Load a model onto a device; options, and `--set decoding.*`, override its search settings.

    Raises:
        ConfigError: an override is not of the decoding section, or of the wrong type.
    """
    from s2s_cli.checkpoint import load_model
    from s2s_cli.decoding.translator import Translator
    from s2s_cli.device import choose_device, prepare_float32
    from s2s_cli.recipe import check_config, parse_override

    chosen = choose_device(device or "auto")
    prepare_float32()
    loaded = load_model(place.folder)
    settings = loaded.card.decoding.model_dump()
    for key, value in [*given, *(parse_override(text) for text in sets)]:
        section, _, name = key.partition(".")
        if section != "decoding":
            raise ConfigError(f"--set {key}: a trained model takes only decoding.* keys here")
        settings[name] = value
    decoding = check_config({"decoding": settings}, where="options").decoding
    loaded.model.to(chosen).eval()
    translator = Translator(loaded.model, loaded.src, loaded.tgt, chosen)
    return Loaded(translator, decoding, loaded.card)
