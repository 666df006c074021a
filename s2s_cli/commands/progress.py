"""Show progress while text is prepared and a model is trained."""

import json
import signal
from contextlib import contextmanager
from typing import TYPE_CHECKING, Annotated

import typer

from s2s_cli.errors import StoppedError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from s2s_cli.prepare import ProgressCallback, Workers
    from s2s_cli.signals import StopRequest
    from s2s_cli.training.log import Averaging, Event, Validation
    from s2s_cli.training.loop import Progress
    from s2s_cli.training.trainer import Trainer

WorkersOption = Annotated[
    int | None,
    typer.Option("--workers", min=1, help="Number of worker processes (default: one per core)."),
]


@contextmanager
def preparing(workers: int | None = None, stop: "StopRequest | None" = None) -> "Iterator[Workers]":
    """Provide workers for preparing text, and show their progress while the block runs.

    Args:
        workers: number of processes; one per core if None.
        stop: checked between two chunks of text.
    """
    from s2s_cli.console import counting
    from s2s_cli.data.workers import count_cores
    from s2s_cli.prepare import Workers

    try:
        with counting("pairs") as show:
            yield Workers(workers or count_cores(), _stop_on_request(show, stop))
    except KeyboardInterrupt as error:
        raise StoppedError(
            "stopped; no dataset was changed; run the same command again", signal.SIGINT
        ) from error


def _stop_on_request(show: "ProgressCallback", stop: "StopRequest | None") -> "ProgressCallback":
    """Wrap a progress callback, so that it raises an error after a stop request.

    Raises:
        StoppedError: from the callback, after a signal.
    """

    def show_or_stop(stage: str, done: int, total: int | None) -> None:
        if stop is not None and stop.signal_number is not None:
            raise StoppedError(
                f"stopped while {stage}; nothing was saved; run the same command again",
                stop.signal_number,
            )
        show(stage, done, total)

    return show_or_stop


def run_training(trainer: "Trainer", stop: "StopRequest") -> None:
    """Train to the end or until a stop request; log and show every event."""
    from s2s_cli.console import say
    from s2s_cli.training.log import log_event

    if not trainer.ranks.is_first:
        for _ in trainer.train(stop.is_set):
            pass
        return
    name, caveat = trainer.criterion
    if caveat:
        say(f"valid {caveat}; the best epoch is chosen by {name}")
    with _display(trainer) as show:
        for event in trainer.train(stop.is_set):
            log_event(trainer.run.log_path, event, trainer.record, trainer.config.log_every)
            show(event)


@contextmanager
def _display(trainer: "Trainer") -> "Iterator[Callable[[Event], None]]":
    """Return a function that shows an event: a live line in a terminal, lines of text otherwise."""
    from s2s_cli.console import Pace, is_terminal, say, training_bar
    from s2s_cli.training.loop import Progress

    describe = _Narrator(trainer).describe
    if not is_terminal():
        pace = Pace()

        def show_lines(event: "Event") -> None:
            for line in describe(event):
                say(line)
            if isinstance(event, Progress) and pace.is_due():
                epoch, batch, _ = event.position
                say(f"epoch {epoch + 1}: {batch / event.num_batches:4.0%}  {_status(trainer)}")

        yield show_lines
        return
    with training_bar() as bar:
        label = ""

        def show_live(event: "Event") -> None:
            nonlocal label
            for line in describe(event):
                bar.say(line)
            if isinstance(event, Progress):
                epoch, batch, _ = event.position
                if label != (label := f"epoch {epoch + 1}/{trainer.config.epochs}"):
                    bar.start(label, event.num_batches, batch)
                bar.advance(batch, _status(trainer))

        yield show_live


class _Narrator:
    """Describes the events of a training, and remembers the translations that it has shown."""

    def __init__(self, trainer: "Trainer") -> None:
        self._trainer = trainer
        self._translations: list[str] = []

    def describe(self, event: "Event") -> "Iterator[str]":
        """Describe an event in lines that stay on the screen: skipped updates and validations."""
        from s2s_cli.training.log import Averaging, Validation

        if isinstance(event, Averaging):
            yield _describe_averaging(event)
        elif isinstance(event, Validation):
            yield _describe_epoch(event, self._trainer)
            for place, example in enumerate(event.examples):
                is_new = self._translations[place : place + 1] not in ([], [example[2]])
                yield from _describe_example(*example, is_new=is_new)
            self._translations = [translation for _, _, translation in event.examples]
            for problem in (event.divergence, event.collapse):
                if problem is not None:
                    yield f"warning: {problem}"
        else:
            yield from _describe_update(event, self._trainer)


def _status(trainer: "Trainer") -> str:
    """Describe loss and speed of the current epoch, and the best score so far."""
    record = trainer.record
    # Without the remark that follows a score which is too low to compare models.
    best = f"  best {describe_best(trainer).partition(' (')[0]}" if record.best_epoch else ""
    return f"loss {record.train_loss:.3f}  {record.tokens_per_second:,.0f} tokens/s{best}"


BLOCKS = "▁▂▃▄▅▆▇█"


def draw_scores(scores: "Sequence[float]") -> str:
    """Draw scores as a row of blocks, the lowest score as the lowest block."""
    if not scores:
        return ""
    low, high = min(scores), max(scores)
    steps = len(BLOCKS) - 1
    share = steps / (high - low) if high > low else 0.0
    return "".join(BLOCKS[round((score - low) * share)] for score in scores)


def describe_course(trainer: "Trainer") -> str:
    """Draw the valid BLEU of all epochs, from the log; empty for fewer than two."""
    path = trainer.run.log_path
    lines = path.read_text(encoding="utf-8").split("\n") if path.is_file() else []
    entries = [json.loads(line) for line in lines if line]
    scores = [entry["bleu"] for entry in entries if "valid_seconds" in entry]
    if len(scores) < 2:
        return ""
    return f"valid BLEU by epoch: {scores[0]:.2f} {draw_scores(scores)} {scores[-1]:.2f}"


def describe_best(trainer: "Trainer") -> str:
    """Describe the best score so far, by the measure that selects the best model."""
    from s2s_cli.training.validate import describe_rank

    return describe_rank(trainer.criterion, trainer.record.best_score, trainer.record.best_loss)


def _describe_update(event: "Progress", trainer: "Trainer") -> "Iterator[str]":
    """Report an update that was skipped."""
    if event.result.is_overflow:
        yield (
            f"update {event.position.step:,} was skipped: its gradient is too large for float16; "
            "the loss scale is halved"
        )
    elif not event.result.is_applied:
        yield (
            f"warning: update {event.position.step:,} was skipped: its loss or gradient is not "
            f"finite ({trainer.record.epoch_skipped} of at most {trainer.config.max_skipped} in an "
            "epoch)"
        )


def _describe_epoch(event: "Validation", trainer: "Trainer") -> str:
    """Describe the scores of an epoch in one line of at most 80 characters.

    Columns have the same width in every epoch. For labels, accuracy takes the place of chrF.
    """
    from s2s_cli.scoring.metrics import format_perplexity

    epochs = str(trainer.config.epochs)
    minutes, seconds = divmod(round(event.seconds + event.valid_seconds), 60)
    other = f"chrF {event.chrf:5.2f}"
    if trainer.criterion.name == "accuracy":
        other = f"acc {event.accuracy:6.1%}"
    if event.is_best:
        verdict = "best" if event.ranked_by != "loss" else "best by loss"
    else:
        verdict = f"stalled {trainer.record.num_worse}/{trainer.config.patience}"
    return (
        f"epoch {event.epoch:{len(epochs)}}/{epochs}  loss {event.train_loss:.3f}  "
        f"ppl {format_perplexity(event.perplexity):>6}  BLEU {event.bleu:5.2f}  {other}  "
        f"{minutes:2}:{seconds:02}  {verdict}"
    )


def _describe_example(
    source: str, reference: str, translation: str, *, is_new: bool
) -> "Iterator[str]":
    """Show a validation sentence; a plus sign marks a translation that has changed."""
    yield f"    source     {source}"
    yield f"    reference  {reference}"
    yield f"  {'+' if is_new else ' '} now        {translation}"


def _describe_averaging(event: "Averaging") -> str:
    from s2s_cli.scoring.metrics import format_perplexity

    kept = "kept: best" if event.is_best else "not kept: no better than a single epoch"
    return (
        f"mean weights of epochs {', '.join(map(str, event.averaged_epochs))}  valid "
        f"{event.loss:.3f}  ppl {format_perplexity(event.perplexity)}  "
        f"acc {event.accuracy:.1%}  BLEU {event.bleu:.2f}  chrF {event.chrf:.2f}  {kept}"
    )


def describe_selected(trainer: "Trainer") -> str:
    """Describe whose weights the best model has."""
    if trainer.record.averaged_epochs:
        return f"the mean of epochs {', '.join(map(str, trainer.record.averaged_epochs))}"
    return f"in epoch {trainer.record.best_epoch}"


def describe_end(trainer: "Trainer") -> str:
    """Explain why training ended, and how to continue it."""
    epoch = trainer.record.position.epoch
    if epoch >= trainer.config.epochs:
        return f"epoch {epoch} of {trainer.config.epochs} is done (--epochs N continues to N)"
    return (
        f"{trainer.record.num_worse} epochs without a better {trainer.criterion.name} after epoch "
        f"{epoch} (--set training.patience=N allows more)"
    )
