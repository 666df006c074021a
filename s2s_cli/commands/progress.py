"""What people see while the text is read, tokenised and encoded."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Annotated

import typer

from s2s_cli.errors import StoppedError

if TYPE_CHECKING:
    from collections.abc import Iterator

    from s2s_cli.prepare import ProgressCallback, Workers
    from s2s_cli.signals import StopRequest
    from s2s_cli.training.loop import Progress
    from s2s_cli.training.record import Averaging, Validation
    from s2s_cli.training.trainer import Fit


WorkersOption = Annotated[
    int | None,
    typer.Option(
        "--workers", min=1, help="Processes that tokenise and encode (default: one per core)."
    ),
]


@contextmanager
def preparing(workers: int | None = None, stop: "StopRequest | None" = None) -> "Iterator[Workers]":
    """Show the progress of preparing the text.

    Args:
        workers: processes at most; one a core if None.
        stop: checked between two chunks of text.
    """
    from s2s_cli.console import counting
    from s2s_cli.data.workers import count_cores
    from s2s_cli.prepare import Workers

    with counting("pairs") as show:
        yield Workers(workers or count_cores(), _stopping(show, stop))


def _stopping(show: "ProgressCallback", stop: "StopRequest | None") -> "ProgressCallback":
    """Shows progress until a signal asks to stop."""

    def tell(stage: str, done: int, total: int | None) -> None:
        if stop is not None and stop.signal_number is not None:
            raise StoppedError(
                f"stopped while {stage}; nothing was saved; run the same command again",
                stop.signal_number,
            )
        show(stage, done, total)

    return tell


def follow(fit: "Fit", stop: "StopRequest") -> None:
    """Consume the training: show it, and log it."""
    from s2s_cli.console import Pace, is_terminal, say, training_bar
    from s2s_cli.training.loop import Progress

    if not fit.ranks.is_first:
        for _ in fit.steps(stop.is_set):
            pass
        return
    if fit.criterion.caveat:
        say(f"valid {fit.criterion.caveat}; the best epoch is chosen by {fit.criterion.name}")
    if not is_terminal():
        pace = Pace()
        for event in logged(fit, stop):
            for line in _describe(event, fit):
                say(line)
            if not isinstance(event, Progress):
                continue
            if pace.is_due():
                epoch, batch, _ = event.position
                say(f"epoch {epoch + 1}: {batch / event.num_batches:4.0%}  {_status(fit)}")
        return
    with training_bar() as bar:
        label = ""
        for event in logged(fit, stop):
            for line in _describe(event, fit):
                bar.say(line)
            if not isinstance(event, Progress):
                continue
            epoch, batch, _ = event.position
            if label != (label := f"epoch {epoch + 1}/{fit.config.epochs}"):
                bar.start(label, event.num_batches, batch)
            bar.advance(batch, _status(fit))


def _status(fit: "Fit") -> str:
    """How the present epoch goes."""
    record = fit.record
    loss = record.epoch_loss / max(1, record.epoch_tokens)
    speed = record.epoch_tokens / max(1e-9, record.epoch_seconds)
    best = f"  best {describe_best(fit)}" if record.best_epoch else ""
    return f"loss {loss:.3f}  {speed:,.0f} tokens/s{best}"


def describe_best(fit: "Fit") -> str:
    """The best score so far, by the measure that chooses the model."""
    from s2s_cli.training.validate import describe_rank

    return describe_rank(fit.criterion, fit.record.best_score, fit.record.best_loss)


def _describe(event: "Progress | Validation | Averaging", fit: "Fit") -> "Iterator[str]":
    """What of an event gets lines of its own."""
    from s2s_cli.training.loop import Progress

    if isinstance(event, Progress):
        yield from _describe_mishaps(event, fit)
    else:
        yield from _describe_measures(event)


def _describe_mishaps(progress: "Progress", fit: "Fit") -> "Iterator[str]":
    """An update that was left out, or did not fit into the memory."""
    step = progress.position.step
    if progress.is_overflow:
        yield (
            f"update {step:,} is left out: its gradient is too large for float16; the loss of the "
            "next ones is scaled up half as much"
        )
    elif not progress.is_applied:
        yield (
            f"warning: update {step:,} is left out: its loss or gradient is not finite "
            f"({fit.record.epoch_skipped} of at most {fit.config.max_skipped} in an epoch)"
        )
    if progress.num_parts:
        yield (
            f"warning: update {step:,} did not fit into the memory and was done in "
            f"{progress.num_parts} parts, as larger ones will be from now on; results are the "
            "same but for rounding and dropout (training.batch_size)"
        )


def _describe_measures(event: "Validation | Averaging") -> "Iterator[str]":
    """An epoch's result on the validation set, and one translation to watch the model learn."""
    from s2s_cli.scoring.metrics import format_perplexity
    from s2s_cli.training.record import Averaging

    if isinstance(event, Averaging):
        kept = "kept: best" if event.is_best else "not kept: no better than a single epoch"
        yield (
            f"mean weights of epochs {', '.join(map(str, event.averaged_epochs))}  valid "
            f"{event.loss:.3f}  ppl {format_perplexity(event.perplexity)}  "
            f"acc {event.accuracy:.1%}  BLEU {event.bleu:.2f}  chrF {event.chrf:.2f}  {kept}"
        )
        return
    v = event
    by_loss = " (below 1: ranked by loss)" if v.ranked_by == "loss" else ""
    yield (
        f"epoch {v.epoch}  loss {v.train_loss:.3f}  valid {v.loss:.3f}  "
        f"ppl {format_perplexity(v.perplexity)}  acc {v.accuracy:.1%}  "
        f"BLEU {v.bleu:.2f}{by_loss}  chrF {v.chrf:.2f}{' best' if v.is_best else ''}"
        f"  {v.tokens_per_second:,.0f} tokens/s  {v.seconds + v.valid_seconds:.0f} s"
    )
    source, reference, translation = v.example
    yield f"  {source} -> {translation} (reference: {reference})"
    for problem in (v.divergence, v.collapse):
        if problem is not None:
            yield f"warning: {problem}"


def logged(fit: "Fit", stop: "StopRequest") -> "Iterator[Progress | Validation | Averaging]":
    """What a training yields, each validation and every so many updates written to its log."""
    from s2s_cli.training.log import append_progress, append_validation
    from s2s_cli.training.loop import Progress

    every = fit.config.log_every
    for event in fit.steps(stop.is_set):
        if not isinstance(event, Progress):
            append_validation(fit.run.log_path, event)
        elif every and event.position.step % every == 0:
            append_progress(fit.run.log_path, event, fit.record)
        yield event


def describe_chosen(fit: "Fit") -> str:
    """Which weights are the model now."""
    if fit.record.averaged_epochs:
        return f"the mean of epochs {', '.join(map(str, fit.record.averaged_epochs))}"
    return f"in epoch {fit.record.best_epoch}"


def describe_end(fit: "Fit") -> str:
    """Why a training ended, and what would make it go on."""
    epoch = fit.record.position.epoch
    if epoch >= fit.config.epochs:
        return f"epoch {epoch} of {fit.config.epochs} is done (--epochs N goes on to N)"
    return (
        f"{fit.record.num_worse} epochs without a better {fit.criterion.name} after epoch {epoch} "
        "(--set training.patience=N has more)"
    )
