"""How many concepts the package has: files, classes, names, lines, and calls on the way to a model.

    python -m tools.concepts            of this package
    python -m tools.concepts FOLDER     of another checkout

The calls are counted in a real training on the embedded phrasebook: the functions of the package
that are active when the model is first called, from the command `train` on.
"""

import argparse
import ast
import io
import json
import os
import subprocess
import sys
import tempfile
import tokenize
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

ROOT = Path(__file__).parents[1]

TRACE = """
import json, sys, traceback
import torch
from pathlib import Path

package = str(Path(sys.argv.pop(1)) / "s2s_cli")
embed = torch.nn.functional.embedding

def noting(*arguments, **keywords):
    frames = [frame for frame in traceback.extract_stack() if frame.filename.startswith(package)]
    names = [frame.name for frame in frames]
    if torch.is_grad_enabled() and "train" in names:
        start = names.index("train")
        model = [frame.filename.endswith("seq2seq.py") for frame in frames]
        Path("calls.json").write_text(json.dumps(names[start + 1 : model.index(True, start) + 1]))
        raise SystemExit(0)
    return embed(*arguments, **keywords)

torch.nn.functional.embedding = noting
from s2s_cli.cli import main
main()
"""


def list_functions(tree: ast.AST) -> Iterator[tuple[str, int]]:
    """Name and number of lines of each function."""
    for node in ast.walk(tree):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef) and node.end_lineno:
            yield node.name, node.end_lineno - node.lineno + 1


def count_lines(source: str) -> tuple[int, int]:
    """Lines of code, without docstrings, comments and blank lines; and lines with a comment."""
    code, comments = set[int](), set[int]()
    documents = set[int]()
    for node in ast.walk(ast.parse(source)):
        if (
            isinstance(node, ast.Expr)
            and isinstance(node.value, ast.Constant)
            and isinstance(node.value.value, str)
        ):
            documents.update(range(node.lineno, (node.end_lineno or node.lineno) + 1))
    for token in tokenize.generate_tokens(io.StringIO(source).readline):
        if token.type == tokenize.COMMENT:
            comments.add(token.start[0])
        elif token.type not in {tokenize.NL, tokenize.NEWLINE, tokenize.INDENT, tokenize.DEDENT}:
            code.update(range(token.start[0], token.end[0] + 1))
    return len(code - documents), len(comments)


def measure(root: Path) -> dict[str, object]:
    """Count the concepts of the package in a checkout."""
    paths = [path for path in (root / "s2s_cli").rglob("*.py") if path.name != "__init__.py"]
    sources = [path.read_text(encoding="utf-8") for path in paths]
    trees = [ast.parse(source) for source in sources]
    classes = Counter(
        node.name for tree in trees for node in ast.walk(tree) if isinstance(node, ast.ClassDef)
    )
    functions = [function for tree in trees for function in list_functions(tree)]
    lines = [count_lines(source) for source in sources]
    lengths = sorted(length for _, length in functions)
    return {
        "files": len(paths),
        "longest_file": max(len(source.splitlines()) for source in sources),
        "classes": classes.total(),
        "class_names_used_twice": sorted(name for name, count in classes.items() if count > 1),
        "lines": sum(len(source.splitlines()) for source in sources),
        "lines_of_code": sum(code for code, _ in lines),
        "lines_with_comments": sum(comments for _, comments in lines),
        "median_function": lengths[len(lengths) // 2],
        "longest_function": max(functions, key=lambda function: function[1]),
        "calls_from_command_to_model": trace_calls(root),
    }


def trace_calls(root: Path) -> list[str]:
    """The functions between the command `train` and the model."""
    with tempfile.TemporaryDirectory() as folder:
        sets = ("model.hidden_size=16", "model.embed_size=16", "model.attention_size=16")
        command = ["train", "--run", "run", *(f"--set={text}" for text in sets)]
        done = subprocess.run(
            [sys.executable, "-c", TRACE, str(root), *command],
            cwd=folder,
            env=os.environ | {"PYTHONPATH": str(root)},
            capture_output=True,
            text=True,
            check=False,
        )
        calls = Path(folder) / "calls.json"
        if not calls.exists():
            raise SystemExit(done.stderr)
        found: list[str] = json.loads(calls.read_text(encoding="utf-8"))
        return found


def main() -> None:
    """Print the counts as JSON."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("folder", type=Path, nargs="?", default=ROOT, help="a checkout")
    print(json.dumps(measure(parser.parse_args().folder.resolve()), indent=1))


if __name__ == "__main__":
    main()
