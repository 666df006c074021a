"""The documents are right: commands and recipes exist, links lead to files, keys are explained."""

import re
import shlex
from itertools import pairwise
from pathlib import Path

import pytest
from typer.testing import CliRunner

from s2s_cli.cli import app
from s2s_cli.config import Config
from s2s_cli.recipe import shipped_recipes

UNREMARKABLE = {
    *("training.seed", "training.device", "training.epochs", "training.learning_rate"),
    *("training.save_every", "decoding.search", "decoding.batch_size"),
}
"""Keys that every toolkit has, which nobody looks for in a table of features."""

FILES = {"model.safetensors"}
"""Names of files that look like keys."""

ROOT = Path(__file__).parents[1]
README = (ROOT / "README.md").read_text(encoding="utf-8")


def documented_commands() -> list[str]:
    """All s2s commands in `sh` blocks of the documents and in comments of recipes."""
    pages = [README, *(path.read_text("utf-8") for path in sorted((ROOT / "docs").glob("*.md")))]
    blocks = [block for page in pages for block in re.findall(r"```sh\n(.*?)```", page, re.DOTALL)]
    lines = [line for block in blocks for line in block.splitlines()]
    for path in sorted((ROOT / "configs").glob("*.yaml")):
        lines += re.findall(r"^# +(s2s .*)$", path.read_text(encoding="utf-8"), flags=re.MULTILINE)
    commands = []
    for line in lines:
        for part in re.split(r"\||&&", line.partition("#")[0]):
            if part.strip().startswith("s2s "):
                commands.append(part.partition("<")[0].partition(">")[0].strip())
    return commands


def test_the_documents_name_every_command() -> None:
    commands = documented_commands()
    assert {"s2s vocab build", "s2s train", "s2s translate", "s2s eval"} <= set(commands)
    assert len(commands) >= 10


@pytest.mark.parametrize("command", documented_commands())
def test_every_documented_command_is_accepted(command: str) -> None:
    # `--help` ends a command after its options were parsed, so a wrong option fails.
    result = CliRunner().invoke(app, [*shlex.split(command)[1:], "--help"])
    assert result.exit_code == 0, result.output


@pytest.mark.parametrize("command", documented_commands())
def test_every_documented_recipe_is_shipped(command: str) -> None:
    words = shlex.split(command)
    for option, value in pairwise(words):
        if option in ("-c", "--config") and not value.endswith(".yaml"):
            assert value in shipped_recipes()


def test_the_readme_lists_every_recipe() -> None:
    for name in shipped_recipes():
        assert f"`{name}`" in README


def test_every_link_leads_to_a_file() -> None:
    for page in (ROOT / "README.md", ROOT / "CONTRIBUTING.md", *(ROOT / "docs").glob("*.md")):
        for target in re.findall(r"\]\(([^)#:]+)[^)]*\)", page.read_text(encoding="utf-8")):
            assert (page.parent / target).exists(), f"{page} links to {target}"


def test_every_make_target_of_the_readme_exists() -> None:
    makefile = (ROOT / "Makefile").read_text(encoding="utf-8")
    for target in set(re.findall(r"(?:^|`)make ([a-z]+)\b", README, flags=re.MULTILINE)):
        assert re.search(rf"^{target}:", makefile, flags=re.MULTILINE), target


def test_the_layout_names_every_module() -> None:
    layout = (ROOT / "CONTRIBUTING.md").read_text(encoding="utf-8")
    for path in (ROOT / "s2s_cli").rglob("*.py"):
        if path.name != "__init__.py":
            assert path.name in layout or path.stem in layout, path


def test_every_key_that_the_documents_name_exists() -> None:
    sections = {name: field.annotation for name, field in Config.model_fields.items()}
    for page in [ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md"))]:
        text = page.read_text(encoding="utf-8")
        for section, key in re.findall(rf"\b({'|'.join(sections)})\.([a-z_]+)\b", text):
            if f"{section}.{key}" in FILES:
                continue
            assert key in sections[section].model_fields, f"{page.name}: {section}.{key}"


def test_every_key_is_in_the_table_of_features() -> None:
    page = (ROOT / "docs" / "features.md").read_text(encoding="utf-8")
    for section in ("text", "model", "training", "decoding"):
        for key in Config.model_fields[section].annotation.model_fields:
            if f"{section}.{key}" not in UNREMARKABLE:
                assert f"`{section}.{key}" in page, f"{section}.{key}"


def test_every_row_of_the_fault_matrix_has_a_test() -> None:
    page = (ROOT / "docs" / "reliability.md").read_text(encoding="utf-8")
    matrix = page.partition("## The matrix")[2].partition("\n## ")[0]
    rows = re.findall(r"^\| ([A-F]\d+) \|", matrix, flags=re.MULTILINE)
    sources = [path.read_text(encoding="utf-8") for path in (ROOT / "tests").rglob("test_*.py")]
    tested = {row for source in sources for row in re.findall(r'mark\.fault\("(\w+)"\)', source)}
    assert tested == {*rows}
    assert len(rows) == len({*rows})
