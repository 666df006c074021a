"""`s2s results`: a page that compares evaluated runs."""

from pathlib import Path
from typing import Annotated

import typer

from s2s_cli.commands.usage import refuse_clashes


def results(
    runs: Annotated[
        list[Path] | None,
        typer.Argument(metavar="[RUN]...", help="Run folders (default: all under runs/)."),
    ] = None,
    output: Annotated[
        Path | None,
        typer.Option(
            "--output",
            "-o",
            metavar="FILE",
            help="Page to write (default: stdout); other runs that are on it stay.",
        ),
    ] = None,
) -> None:
    """Write a page about evaluated runs: data, size, time, scores, commands."""
    from s2s_cli.console import say, warn, write_result
    from s2s_cli.errors import DataError, S2SError
    from s2s_cli.results import Page, gather_facts, name_runs
    from s2s_cli.results_page import format_page
    from s2s_cli.run import RUNS, RunFolder
    from s2s_cli.storage.atomic import is_stdout, write_file
    from s2s_cli.storage.checksummed import to_json

    page = Page(output) if output is not None and not is_stdout(output) else None
    # Next to a pipe there can be no file of facts.
    has_facts = page is not None and (page.path.is_file() or not page.path.exists())
    if page is not None:
        facts_path = page.facts_path if has_facts else None
        refuse_clashes([], [("its file of facts", facts_path), ("--output", page.path)])
    known = page.read() if page is not None and has_facts else {}
    paths = runs or sorted(path for path in RUNS.glob("*") if path.is_dir())
    for name, path in name_runs(paths).items():
        try:
            facts = gather_facts(RunFolder(path), name)
        except S2SError as error:
            warn(f"{path} is left out: {error}")
            continue
        if known.get(name, facts) != facts:
            say(f"{path}: replaces the entry {name} of {output}")
        known[name] = facts
    if not known:
        raise DataError("runs: none is evaluated; run `s2s train`, then `s2s eval`")
    text = format_page(known.values())
    if page is None:
        write_result(text.rstrip("\n"))
        return
    if has_facts:
        write_file(page.facts_path, to_json(dict(sorted(known.items()))))
    write_file(page.path, text)
    where = f", with their facts in {page.facts_path}" if has_facts else ""
    say(f"{len(known)} runs in {page.path}{where}")
