"""`python -m benchmarks`: run the benchmark, and write its page."""

import shlex
import sys
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from s2s_cli.errors import S2SError, StoppedError
from s2s_cli.signals import unwind_on_signals

if TYPE_CHECKING:
    from benchmarks.environments import Peer
    from benchmarks.work import Work


class Device(StrEnum):
    """Where a benchmark runs."""

    CPU = "cpu"
    CUDA = "cuda"


DeviceOption = Annotated[Device, typer.Option(help="Where all systems train and translate.")]
BatchSizeOption = Annotated[
    int | None,
    typer.Option(min=1, help="Sentences per batch of training and search (default: 64)."),
]

app = typer.Typer(
    name="benchmarks",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    help="Measure s2s and other toolkits on the same work, each through its own commands.",
)


@app.command()
def run(
    data_dir: Annotated[
        Path | None,
        typer.Option(help="Folder of Multi30k (default: the phrasebook)."),
    ] = None,
    is_quick: Annotated[
        bool,
        typer.Option("--quick", help="A few updates and sentences, to see that everything runs."),
    ] = False,
    repetitions: Annotated[
        int | None, typer.Option(min=1, help="Repetitions of each measurement.")
    ] = None,
    updates: Annotated[
        int | None,
        typer.Option(min=1, help="Updates of the models that translate (s2s: full epochs)."),
    ] = None,
    only: Annotated[
        list[str] | None, typer.Option(help="Name of a system; repeat for more (default: all).")
    ] = None,
    has_peers: Annotated[
        bool,
        typer.Option("--peers/--no-peers", help="Also install and measure the other toolkits."),
    ] = True,
    is_fresh: Annotated[bool, typer.Option("--fresh", help="Measure everything again.")] = False,
    device: DeviceOption = Device.CPU,
    batch_size: BatchSizeOption = None,
    has_torch_here: Annotated[
        bool,
        typer.Option(
            "--torch-here", help="Other toolkits use the packages of this Python, such as PyTorch."
        ),
    ] = False,
) -> None:
    """Take the measurements that are missing from .bench/, and print the ratios."""
    from benchmarks.machine import describe_machine
    from benchmarks.report import format_page
    from benchmarks.results import Results, read_results, set_aside
    from benchmarks.session import Session
    from benchmarks.systems.catalogue import SYSTEMS, choose
    from benchmarks.work import FIGURES, QUICK, SIZES, prepare_work
    from s2s_cli.console import say, warn, write_result

    known = {system.name for system in SYSTEMS if device.value in system.devices}
    if unknown := set(only or ()) - known:
        raise S2SError(
            f"--only {', '.join(sorted(unknown))}: not one of {', '.join(sorted(known))}"
        )
    scale = QUICK if is_quick else FIGURES
    scale = scale._replace(
        repetitions=repetitions or scale.repetitions, updates=updates or scale.updates
    )
    if data_dir is None:
        warn("no --data-dir: the work is the embedded phrasebook, not Multi30k")
    machine = describe_machine(device.value)
    sizes = SIZES._replace(batch=batch_size or SIZES.batch)
    work = prepare_work(data_dir, bench_folder() / "work", scale, sizes, device.value)
    peers = install_peers(only or [], has_torch_here=has_torch_here) if has_peers else []
    systems = choose(only or [], peers, device.value)
    if not systems:
        raise S2SError("nothing is left to measure; change --only or --no-peers")
    how = ("torch here",) if has_torch_here else ()
    context = describe(work, peers, data_dir, machine, *how)
    path = results_path(device, batch_size)
    if backup := set_aside(path, context, is_fresh):
        say(f"earlier results are moved to {backup}")
    session = Session(work, systems, Results(path, context))
    session.measure_all()
    write_result(format_page(read_results(path)).rstrip("\n"))
    if session.failed:
        raise S2SError(f"{', '.join(session.failed)}: left out after the errors above")


@app.command()
def report(
    output: Annotated[
        Path | None,
        typer.Option("--output", "-o", metavar="FILE", help="File to write (default: stdout)."),
    ] = None,
    device: DeviceOption = Device.CPU,
    batch_size: BatchSizeOption = None,
) -> None:
    """Write the page of results, as Markdown."""
    from benchmarks.report import format_page
    from benchmarks.results import read_results
    from s2s_cli.console import write_result
    from s2s_cli.storage.atomic import write_file

    page = format_page(read_results(results_path(device, batch_size)))
    if output is None:
        write_result(page.rstrip("\n"))
    else:
        write_file(output, page)


def bench_folder() -> Path:
    """The folder of everything that a benchmark writes."""
    from benchmarks.environments import BENCH

    return BENCH


def results_path(device: Device = Device.CPU, batch_size: int | None = None) -> Path:
    """The file of measurements for a device and a batch size."""
    from benchmarks.work import SIZES

    parts = ["results"]
    if device != Device.CPU:
        parts.append(device.value)
    if batch_size not in {None, SIZES.batch}:
        parts.append(str(batch_size))
    return bench_folder() / f"{'-'.join(parts)}.jsonl"


def install_peers(only: list[str], *, has_torch_here: bool = False) -> "list[Peer]":
    """Install the selected toolkits; leave out, with a warning, those that cannot be installed."""
    from benchmarks.environments import PEERS, InstallError, install
    from s2s_cli.console import say, warn

    found = []
    for peer in PEERS:
        if only and not any(name.split("-")[0] == peer.name for name in only):
            continue
        try:
            is_new = install(peer, has_torch_here=has_torch_here)
            say(f"{peer.distribution}: {'installed' if is_new else 'already installed'}")
            found.append(peer)
        except InstallError as error:
            warn(f"{error}; it is left out")
    return found


def describe(
    work: "Work",
    peers: "list[Peer]",
    data_dir: Path | None,
    machine: dict[str, object],
    *how: str,
) -> dict[str, object]:
    """The facts in every line of the results: machine, versions, work, command."""
    from benchmarks.flops import forward_flops, shape_of, training_flops
    from benchmarks.machine import versions_of
    from benchmarks.results import identify
    from benchmarks.systems.catalogue import source_files

    versions = versions_of(peers)
    # Its name without its path, because the page will be published.
    words = [word.replace(str(data_dir), (data_dir or Path()).name) for word in sys.argv[1:]]
    shape = shape_of(work)
    return {
        "identity": identify(source_files(), work.digest, machine, versions["s2s"], *how),
        "machine": machine,
        "versions": versions,
        "command": shlex.join(["python", "-m", "benchmarks", *words]),
        "work": {
            "text": work.text_name,
            "device": work.device,
            "tokens": list(work.num_tokens),
            "vocabularies": list(work.vocab_sizes),
            **work.sizes._asdict(),
            **work.scale._asdict(),
            "pairs": work.num_pairs,
            "is_quick": work.scale.pairs is not None,
            "forward_mflop": forward_flops(shape) / 1e6,
            "training_mflop": training_flops(shape) / 1e6,
        },
    }


def main() -> None:
    """Run the command line; exit status 0 done, 1 user error, 2 usage, 128 + n for signal n."""
    unwind_on_signals()
    try:
        app()
    except StoppedError as error:
        sys.stderr.write(f"{error}; run the same command again to continue\n")
        sys.exit(error.status)
    except S2SError as error:
        sys.stderr.write(f"error: {error}\n")
        sys.exit(1)


if __name__ == "__main__":
    main()
