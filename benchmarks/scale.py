"""Large corpora: time and memory of `s2s vocab build` and of the start of `s2s train`.

    python -m benchmarks.scale --pairs 100000 --pairs 1000000 --data-dir path/to/multi30k

Each line joins two real sentences, another combination in every round, so that lines differ. Each
command runs in its own process, which is measured ten times a second. A training is stopped after
its fifth update; the first line of its log shows when its first update was done.
"""

import os
import resource
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Annotated, NamedTuple

import typer

from benchmarks.measure import family
from s2s_cli.data.lines import read_lines
from s2s_cli.data.splits import PHRASEBOOK

S2S = [sys.executable, "-m", "s2s_cli"]

EXTRAPOLATED = 10_000_000

LOOK_SECONDS = 0.1

MODEL = [
    *("--set", "model.hidden_size=32", "--set", "model.embed_size=16"),
    *("--set", "model.attention_size=16", "--set", "training.log_every=1"),
    *("--set", "training.device=cpu", "--set", "training.batch_size=16", "--epochs", "1"),
]
"""Small, so that the data dominates; every update is logged."""

MAX_SIZE = 1_000
"""Of vocabularies: the same for all sizes, so that the models have equal sizes."""

STOP_AFTER = 5


class Memory(NamedTuple):
    """Peak memory of a process and its children, in MiB."""

    own: float = 0.0
    """Not backed by files: the machine must have it."""
    mapped: float = 0.0
    """Pages of files, which the system can reclaim; shared pages count once."""

    def or_more(self, other: "Memory") -> "Memory":
        """The maximum of each."""
        return Memory(max(self.own, other.own), max(self.mapped, other.mapped))


class Measured(NamedTuple):
    """A process, from its start to its end."""

    seconds: float
    cpu_seconds: float
    """Of the process and its children; other work on the machine affects it least."""
    memory: Memory
    begun: float
    """Seconds until the first update; until the end if the command is not a training."""
    begun_cpu: float
    """The same in CPU seconds."""


class Size(NamedTuple):
    """The measurements at one size."""

    pairs: int
    build: Measured
    train: Measured
    disk: float
    """MiB of the datasets."""


def main(
    pairs: Annotated[
        list[int] | None, typer.Option(min=20_000, help="Size to measure; repeat for more.")
    ] = None,
    data_dir: Annotated[
        Path | None, typer.Option(help="Folder with train.de and train.en, as Multi30k has.")
    ] = None,
    workers: Annotated[int, typer.Option(help="For `s2s vocab build`.")] = 1,
    subword: Annotated[str, typer.Option(help="none, bpe or unigram.")] = "none",
    tokenizer: Annotated[
        str, typer.Option(help="auto, or space, which costs almost nothing.")
    ] = "auto",
    folder: Annotated[Path | None, typer.Option(help="Folder of the text and the runs.")] = None,
) -> None:
    """Measure 10,000 pairs and other sizes, and extrapolate to ten million."""
    base, langs = _read_base(data_dir)
    sizes = sorted(pairs or [100_000])
    with tempfile.TemporaryDirectory(dir=folder, prefix="s2s-scale-") as name:
        place = Path(name)
        imports = _run([sys.executable, "-c", "import torch"], place)
        keys = [
            *("--set", f"vocab.max_size={MAX_SIZE}"),
            *("--src-lang", langs[0], "--tgt-lang", langs[1], "--data-dir", "."),
            *("--set", f"text.src_subword={subword}", "--set", f"text.tgt_subword={subword}"),
            *("--set", f"text.src_tokenizer={tokenizer}"),
            *("--set", f"text.tgt_tokenizer={tokenizer}"),
        ]
        few = _measure(place, base, 10_000, keys, workers)
        found = [_measure(place, base, size, keys, workers) for size in sizes]
    for line in _describe(few, found, imports):
        typer.echo(line)


def _read_base(data_dir: Path | None) -> tuple[list[tuple[str, str]], tuple[str, str]]:
    if data_dir is None:
        typer.echo("no --data-dir: the text is the embedded phrasebook", err=True)
        rows = (line.split("\t") for line in read_lines(PHRASEBOOK / "train.tsv.gz"))
        return [(zh, en) for zh, en in rows], ("zh", "en")
    sides = [read_lines(data_dir / f"train.{lang}") for lang in ("de", "en")]
    return list(zip(*sides, strict=True)), ("de", "en")


def make_pairs(base: list[tuple[str, str]], number: int) -> Iterator[tuple[str, str]]:
    """Make pairs; a larger number starts with the same pairs."""
    for place in range(number):
        turn, first = divmod(place, len(base))
        both = base[first], base[(first + 7_919 * turn + 1) % len(base)]
        src, tgt = (" ".join(sentences) for sentences in zip(*both, strict=True))
        yield src, tgt


def _measure(
    place: Path, base: list[tuple[str, str]], number: int, keys: list[str], workers: int
) -> Size:
    texts, run = [place / f"{number}.src", place / f"{number}.tgt"], place / f"run-{number}"
    with texts[0].open("w", encoding="utf-8") as src, texts[1].open("w", encoding="utf-8") as tgt:
        for pair in make_pairs(base, number):
            src.write(f"{pair[0]}\n")
            tgt.write(f"{pair[1]}\n")
    few = [place / "few.src", place / "few.tgt"]
    for path, sentences in zip(few, zip(*base[:100], strict=True), strict=True):
        path.write_text("".join(f"{sentence}\n" for sentence in sentences), encoding="utf-8")
    files = [
        *("--train-src", str(texts[0]), "--train-tgt", str(texts[1])),
        *("--valid-src", str(few[0]), "--valid-tgt", str(few[1]), "--run", str(run)),
    ]
    typer.echo(f"{number:,} pairs", err=True)
    build = _run([*S2S, "vocab", "build", *files, *keys, "--workers", str(workers)], place)
    train = _run(
        [*S2S, "train", *files, *keys, *MODEL],
        place,
        begins=lambda: _count_updates(run) >= 1,
        ends=lambda: _count_updates(run) >= STOP_AFTER,
    )
    disk = sum(path.stat().st_size for path in (run / "data").glob("*/*")) / 2**20
    return Size(number, build, train, disk)


def _count_updates(run: Path) -> int:
    """Count the updates that a training has logged."""
    log = run / "train.jsonl"
    return log.read_bytes().count(b"\n") if log.is_file() else 0


def _run(
    command: list[str],
    folder: Path,
    begins: Callable[[], bool] = lambda: False,
    ends: Callable[[], bool] = lambda: False,
) -> Measured:
    """Run a command until it ends, or until `ends` is true and it is stopped."""
    started, begun, begun_cpu, memory = time.monotonic(), 0.0, 0.0, Memory()
    before = _cpu_of_children()
    with (folder / "log").open("w+b") as log:
        process = subprocess.Popen(command, cwd=folder, stdout=log, stderr=log)
        asked = False
        while process.poll() is None:
            memory = memory.or_more(_memory_of(process.pid))
            if not begun and begins():
                begun, begun_cpu = time.monotonic() - started, _cpu_of(process.pid)
            if not asked and ends():
                asked = True
                process.send_signal(signal.SIGTERM)
            time.sleep(LOOK_SECONDS)
        seconds = time.monotonic() - started
        if process.returncode and not asked:
            log.seek(0)
            sys.exit(log.read().decode(errors="replace"))
    used = _cpu_of_children() - before
    return Measured(seconds, used, memory, begun or seconds, begun_cpu or used)


def _cpu_of(pid: int) -> float:
    """CPU seconds that a running process has used, on Linux."""
    try:
        stat = Path(f"/proc/{pid}/stat").read_text(encoding="ascii", errors="replace")
    except OSError:
        return 0.0  # it has ended
    fields = stat.rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def _cpu_of_children() -> float:
    usage = resource.getrusage(resource.RUSAGE_CHILDREN)
    return usage.ru_utime + usage.ru_stime


def _memory_of(pid: int) -> Memory:
    """Proportional memory of a process and all its descendants, on Linux."""
    own = mapped = 0.0
    for one in family(pid):
        try:
            lines = Path(f"/proc/{one}/smaps_rollup").read_text(encoding="ascii").split("\n")
        except OSError:
            continue  # it has ended
        facts = {line.split(":")[0]: line.split()[1] for line in lines[1:] if line}
        own += int(facts.get("Pss_Anon", 0)) / 1024
        mapped += int(facts.get("Pss_File", 0)) / 1024
    return Memory(own, mapped)


def _describe(few: Size, found: list[Size], imports: Measured) -> Iterator[str]:
    yield (
        "| pairs | vocab build, s (CPU) | pairs/s | memory, MiB (mapped files) | data/, MiB "
        "| train: first update, s (CPU) | beyond import torch, s (CPU) "
        "| memory beyond 10,000 pairs, MiB (mapped files) |"
    )
    yield f"|{'---|' * 8}"
    for size in (few, *found):
        build, train = size.build, size.train
        own = train.memory.own - few.train.memory.own
        mapped = train.memory.mapped - few.train.memory.mapped
        yield (
            f"| {size.pairs:,} | {build.seconds:.0f} ({build.cpu_seconds:.0f}) "
            f"| {size.pairs / build.seconds:,.0f} "
            f"| {build.memory.own:,.0f} ({build.memory.mapped:,.0f}) | {size.disk:,.0f} "
            f"| {train.begun:.1f} ({train.begun_cpu:.1f}) | {train.begun - imports.seconds:.1f} "
            f"({train.begun_cpu - imports.cpu_seconds:.1f}) | {own:,.0f} ({mapped:,.0f}) |"
        )
    below, last = few, found[-1]
    steps = (EXTRAPOLATED - last.pairs) / (last.pairs - below.pairs)

    def reach(value: float, before: float) -> float:
        return value + max(0, value - before) * steps

    yield ""
    yield (
        f"Extrapolated from the first and the last row, {EXTRAPOLATED:,} pairs take "
        f"{reach(last.build.seconds, below.build.seconds) / 60:,.0f} minutes and "
        f"{reach(last.build.memory.own, below.build.memory.own):,.0f} MiB to build, "
        f"{reach(last.train.begun_cpu, below.train.begun_cpu):.0f} CPU seconds until the "
        "first update, and "
        f"{reach(last.train.memory.own, below.train.memory.own) - few.train.memory.own:,.0f} MiB "
        "of memory for the data in training."
    )


if __name__ == "__main__":
    typer.run(main)
