"""The Typer app: registers the commands, and turns an error into one line and an exit status."""

import os
import sys
from pathlib import Path
from typing import Annotated

import typer

from s2s_cli.commands import augment, compare, config, results, tokenize, train, translate, vocab
from s2s_cli.commands import eval as eval_command
from s2s_cli.commands.processes import refuse_several_processes
from s2s_cli.commands.usage import Command, Commands, refuse_undecoded_arguments
from s2s_cli.errors import (
    ReaderGoneError,
    ReportedElsewhereError,
    S2SError,
    StoppedError,
    is_out_of_memory,
)
from s2s_cli.signals import unwind_on_signals
from s2s_cli.storage.atomic import describe_os_error

app = typer.Typer(
    name="s2s",
    cls=Commands,
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    help="Train, use and evaluate recurrent sequence-to-sequence models for translation.",
)
app.add_typer(vocab.app, name="vocab")
app.add_typer(config.app, name="config")
app.command("train", cls=Command)(train.train)
app.command("translate", cls=Command)(translate.translate)
app.command("augment", cls=Command)(augment.augment)
app.command("eval", cls=Command)(eval_command.evaluate)
app.command("compare", cls=Command)(compare.compare)
app.command("results", cls=Command)(results.results)
app.command("tokenize", cls=Command)(tokenize.tokenize)


PACKAGES = {"yaml": "pyyaml"}
"""Names of packages that are installed under another name than they are imported."""


def _show_version(is_asked: bool) -> None:
    if is_asked:
        from importlib.metadata import version  # noqa: PLC0415

        from s2s_cli.console import write_result  # noqa: PLC0415

        write_result(f"s2s {version('s2s-cli')}")
        raise typer.Exit


@app.callback()
def _options(
    context: typer.Context,
    version: Annotated[
        bool,
        typer.Option("--version", callback=_show_version, is_eager=True, help="Show the version."),
    ] = False,
) -> None:
    del version
    refuse_several_processes(context.invoked_subcommand)


def main() -> None:
    """Run the command line; exit status 0 done, 1 user error, 2 usage, 128 + n for signal n."""
    if sys.stderr is None:
        sys.stderr = Path(os.devnull).open("w", encoding="utf-8")  # noqa: SIM115 (never closed)
    if sys.stdout is None:
        _print_error(
            "error: stdout: is closed, so results cannot be written; redirect it to a file"
        )
        sys.exit(1)
    unwind_on_signals()
    sys.exit(_flush(_run()))


def _run() -> int:
    """Run the command; returns its exit status."""
    message, status = "", 1
    try:
        refuse_undecoded_arguments()
        app()
    except SystemExit as end:
        if isinstance(end.__context__, BrokenPipeError):
            return 0  # the reader of the help, such as `head`, has closed stdout
        return end.code if isinstance(end.code, int) else int(end.code is not None)
    except (ReportedElsewhereError, ReaderGoneError) as error:
        return error.status
    except StoppedError as error:
        message, status = str(error), error.status
    except S2SError as error:
        message, status = f"error: {error}", error.status
    except OSError as error:
        if error.strerror is None:
            raise
        message = f"error: {describe_os_error(error)}"
    except ModuleNotFoundError as error:
        package = (error.name or "").partition(".")[0]
        if package in {"", "s2s_cli"}:
            raise
        name = PACKAGES.get(package, package)
        message = f"error: {name}: the package is not installed; pip install {name}"
    except (MemoryError, RuntimeError) as error:
        if not is_out_of_memory(error):
            raise
        reason = " ".join(str(error).split())[:200]
        message = (
            f"error: not enough memory ({reason}); reduce training.batch_size or "
            "decoding.batch_size, or make the model smaller"
        )
    _print_error(message)
    return status


def _flush(status: int) -> int:
    """Write what stdout still buffers; returns the exit status, 1 if writing fails.

    The interpreter would flush stdout at its exit and print an error only as `Exception ignored`.
    """
    from s2s_cli.console import flush_stdout  # noqa: PLC0415

    try:
        flush_stdout()
    except ReaderGoneError:
        pass
    except OSError as error:
        if status == 0:
            _print_error(f"error: {describe_os_error(error)}")
        return status or 1
    return status


def _print_error(message: str) -> None:
    from s2s_cli.console import printable  # noqa: PLC0415

    try:
        sys.stderr.write(f"{printable(message)}\n")
        sys.stderr.flush()
    except OSError:  # without stderr, the exit status has to do
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stderr.fileno())
