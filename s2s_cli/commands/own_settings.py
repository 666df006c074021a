"""`s2s train --run DIR` on a run that exists: it goes on with the settings that it has."""

import json
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from s2s_cli.commands.options import DataOptions


def find_own_config(run: Path, data: "DataOptions") -> Path | None:
    """The run's own recipe; None if it has none, or options name other text or languages.

    Args:
        run: the run folder that the options name.
        data: the options about data; the same files in another folder are the same text.
    """
    from s2s_cli.run import RunFolder

    others = (data.src_lang, data.tgt_lang, *data.train, *data.valid, *data.test)
    path = RunFolder(run).config_path
    return path if path.is_file() and not any(others) else None


def name_recipe(run: Path) -> str:
    """The name of the recipe that a run was begun with; the run's own where that is not known."""
    from s2s_cli.run import RunFolder

    try:
        return str(json.loads(RunFolder(run).facts_path.read_bytes())["recipe"])
    except (OSError, ValueError, KeyError, TypeError):
        return run.absolute().name
