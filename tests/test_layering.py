"""Dependencies point down: a module imports only modules of lower rank, or of its own folder."""

import ast
import re
import subprocess
import sys
from pathlib import Path

import pytest

PACKAGE = Path(__file__).parents[1] / "s2s_cli"

RANKS = {
    **dict.fromkeys(("differences", "errors", "section"), 0),
    "sources": 1,
    **dict.fromkeys(("config", "console", "launch", "signals", "storage"), 2),
    "text": 3,
    **dict.fromkeys(("config_errors", "kernels", "unused_settings"), 4),
    **dict.fromkeys(("data", "model", "pages", "recipe", "run", "scoring"), 5),
    **dict.fromkeys(
        ("checkpoint", "device", "parallel", "results", "results_page", "vocabularies"), 6
    ),
    **dict.fromkeys(("checks", "decoding", "prepare"), 7),
    "training": 8,
    "commands": 9,
    "cli": 10,
    "__main__": 11,
}
TORCH_FREE = {
    *("checks", "cli", "commands", "config", "console", "differences", "errors", "launch"),
    *(
        "pages",
        "prepare",
        "recipe",
        "results",
        "results_page",
        "run",
        "scoring",
        "section",
        "signals",
    ),
    *("section", "signals", "sources", "storage", "text", "unused_settings", "vocabularies"),
}

MODULES = sorted(path for path in PACKAGE.rglob("*.py") if path.name != "__init__.py")


def unit_of(path: Path) -> str:
    """The folder or file of the package that a module belongs to."""
    return path.relative_to(PACKAGE).parts[0].removesuffix(".py")


def imported(tree: ast.AST) -> set[str]:
    """Every module that a file imports, inside functions included."""
    names: set[str] = set()
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            names.update(alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module:
            names.add(node.module)
            names.update(f"{node.module}.{alias.name}" for alias in node.names)
    return names


@pytest.mark.parametrize("path", MODULES, ids=lambda path: str(path.relative_to(PACKAGE)))
def test_no_import_points_up(path: Path) -> None:
    unit = unit_of(path)
    for name in imported(ast.parse(path.read_text(encoding="utf-8"))):
        parts = name.split(".")
        if parts[0] != "s2s_cli" or len(parts) < 2:
            continue
        if parts[1] != unit:
            assert RANKS[parts[1]] < RANKS[unit], f"{path.name} imports {name}"


@pytest.mark.parametrize("path", MODULES, ids=lambda path: str(path.relative_to(PACKAGE)))
def test_modules_do_without_what_they_must_not_know(path: Path) -> None:
    unit, source = unit_of(path), path.read_text(encoding="utf-8")
    names = {name.split(".")[0] for name in imported(ast.parse(source))}
    if unit not in ("cli", "commands"):
        assert "typer" not in names
    assert not names & {"click", "pickle", "marshal", "shelve", "benchmarks", "tests"}
    assert not re.search(r"(?<!safetensors\.)torch\.load\(", source)
    if unit in ("kernels", "model"):
        assert not names & {"os", "pathlib", "json", "safetensors"}
    if unit in TORCH_FREE and path.name != "start.py":
        assert "torch" not in names


def test_init_files_hold_one_docstring_and_nothing_else() -> None:
    for path in PACKAGE.rglob("__init__.py"):
        body = ast.parse(path.read_text(encoding="utf-8")).body
        assert len(body) == 1, path
        assert isinstance(body[0], ast.Expr), path


def test_the_command_line_starts_without_torch() -> None:
    code = "import sys, s2s_cli.cli; print(sorted({'torch', 'jieba', 'rich'} & set(sys.modules)))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout == "[]\n"
