"""What people see while the text is read, tokenised and encoded."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Annotated

import typer

from s2s_cli.errors import StoppedError

if TYPE_CHECKING:
    from s2s_cli.preparation.passes import Tell
    from s2s_cli.preparation.preparation import Preparation
    from s2s_cli.recipe import Recipe
    from s2s_cli.run import RunFolder
    from s2s_cli.signals import StopRequest


WorkersOption = Annotated[
    int | None,
    typer.Option(
        "--workers", min=1, help="Processes that tokenise and encode (default: one a core)."
    ),
]


@contextmanager
def preparing(
    recipe: "Recipe",
    run: "RunFolder",
    workers: int | None = None,
    stop: "StopRequest | None" = None,
) -> "Iterator[Preparation]":
    """The training pairs of a recipe, about to be prepared; shown as it goes on.

    Args:
        recipe: which text, and how it becomes tokens.
        run: where the encoded corpus is.
        workers: processes at most; one a core if None.
        stop: heard between two chunks of text.
    """
    from s2s_cli.console import counting
    from s2s_cli.data.pool import count_cores
    from s2s_cli.preparation.preparation import Preparation

    with (
        counting("pairs") as show,
        Preparation(
            recipe.config, run.data_path, workers or count_cores(), _stopping(show, stop)
        ) as preparation,
    ):
        yield preparation


def _stopping(show: "Tell", stop: "StopRequest | None") -> "Tell":
    """Shows progress until a signal asks to stop."""

    def tell(stage: str, done: int, total: int | None) -> None:
        if stop is not None and stop.signal_number is not None:
            raise StoppedError(
                f"stopped while {stage}; nothing was kept, the same command begins anew",
                stop.signal_number,
            )
        show(stage, done, total)

    return tell
