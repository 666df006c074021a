"""The page about a benchmark, made from its results: ratios first, then the measurements."""

import statistics
import textwrap
from collections.abc import Iterable, Sequence

from benchmarks.ratios import MEASURES, Measure, Series, Spread, figures, ratios, shares, spread
from benchmarks.results import Facts
from benchmarks.systems.catalogue import SYSTEMS, System
from s2s_cli.errors import DataError

BUSY_CORES = 0.1
"""If other processes used more cores than this, the page says so."""

QUICK = "**A check of the harness (`--quick`): the figures mean nothing after so little work.**"

SWITCHES = {
    "cpu": (
        '"oneDNN" after the name of a toolkit means that toolkit with one added line, '
        '`torch.set_float32_matmul_precision("medium")`, which computes its float32 products with '
        "oneDNN."
    ),
    "cuda": (
        '"TF32" after the name of a toolkit means that toolkit with one added line, '
        '`torch.set_float32_matmul_precision("medium")`, which rounds the inputs of its float32 '
        "products to TF32. In cuDNN's recurrent layers PyTorch rounds to TF32 by default; s2s does "
        "so only with `--precision tf32`. Memory is that of the CPU, not of the GPU."
    ),
}
NAMES = {"cpu": "CPU", "cuda": "GPU"}
PRODUCTS = {
    "cpu": {"float32": "oneDNN float32", "bf16": "bf16", "float32_default": "PyTorch float32"},
    "cuda": {"float32": "float32", "tf32": "TF32", "bf16": "bf16"},
}
"""Kinds of products by device: their names in the results, and in words."""

HOW = (
    "The tables show the **median** (minimum to maximum) over repetitions. A ratio compares two "
    "measurements of the same repetition; above 1, `s2s` is better.",
    '"Plain kernels" is `s2s` with `kernels: plain`, in float32. Only the row "s2s" compares with '
    "it in equal precision; the other rows show the effect of their precision and of the kernels "
    "together. `python -m benchmarks.kernels` measures each kernel in equal precision. {switch}",
    "Each system runs through its own command line, on the {device}, with the same tokens, "
    "vocabularies and sizes. The source is in [benchmarks/](../benchmarks/).",
    "- Training: the real target tokens (including the end of the sentence) between the reports of "
    "two updates, divided by the time between the arrival of these reports.",
    "- Memory: the peak of the process and its children during that training.",
    "- Translating: with loading, the time of the complete process; without loading, this time "
    "minus that of a process that translates a single sentence. Each toolkit translates with its "
    "own model; all models had the same number of updates.",
)
"""What is measured, by paragraph."""


def format_page(lines: Sequence[Facts]) -> str:
    """The page as Markdown.

    Raises:
        DataError: there are no results.
    """
    if not lines:
        raise DataError("nothing was measured; run `python -m benchmarks run`")
    found = figures(lines)
    rates = {line["repetition"]: line["gflops"] for line in lines if line["kind"] == "products"}
    commands = list(dict.fromkeys(line["command"] for line in lines))
    work = lines[-1]["work"]
    device = work.get("device", "cpu")
    parts = [
        ["# Performance", "", "Written by `python -m benchmarks report` from the results of"],
        ["", "```sh", *commands, "```", "", *([QUICK, ""] if work["is_quick"] else [])],
        explain(device),
        ["## Ratios", "", *ratio_table(found)],
        ["", "## Share of the bound", "", *bound_table(found["train"], rates, work)],
        ["", "## Figures", "", *figure_table(found)],
        ["", "## Translations", "", *translation_table(lines)],
        ["", "## Work and machine", "", *describe(lines, rates)],
    ]
    return "\n".join(line for part in parts for line in part) + "\n"


def explain(device: str) -> list[str]:
    """Say what the figures are, in paragraphs and a list."""
    lines = []
    for text in HOW:
        is_item = text.startswith("- ")
        filled = text.format(switch=SWITCHES[device], device=NAMES[device])
        lines += textwrap.wrap(filled, 120, subsequent_indent="  " if is_item else "")
        lines += [] if is_item else [""]
    return [*lines, ""]


def ratio_table(found: dict[str, dict[str, Series]]) -> list[str]:
    """How many times better each of our settings is than each toolkit, and than plain kernels."""
    measured = {name for by_system in found.values() for name in by_system}
    others = [
        system
        for system in SYSTEMS
        if system.name in measured and (not system.is_ours or system.name == "s2s-plain")
    ]
    ours = [system for system in SYSTEMS if system.is_ours and system.name != "s2s-plain"]
    rows = []
    for name, measure in MEASURES.items():
        for system in ours:
            if system.name in found[name]:
                cells = [_ratio(found[name], system, other, measure) for other in others]
                rows.append([f"{measure.title}, {measure.unit}", system.title, *cells])
    return table(["", "", *(f"against {system.title}" for system in others)], rows)


def _ratio(by_system: dict[str, Series], ours: System, other: System, measure: Measure) -> str:
    theirs = by_system.get(other.name, {})
    return show_spread(ratios(by_system[ours.name], theirs, measure.is_better_high), 2)


def bound_table(
    by_system: dict[str, Series], rates: dict[int, dict[str, float]], work: Facts
) -> list[str]:
    """The speed of each system's training as a share of the bound set by its matrix products."""
    flop = work["training_mflop"]
    kinds = PRODUCTS[work.get("device", "cpu")]
    text = [
        f"A target token of this model costs {work['forward_mflop']:.1f} MFLOP of matrix products "
        f"forward and {flop:.1f} in training ([formula](../benchmarks/flops.py)). "
        "The models of the other toolkits differ by a few per cent.",
        "",
    ]
    head = []
    for kind, title in kinds.items():
        if rate := spread(by_kind[kind] for by_kind in rates.values()):
            head.append([title, show_spread(rate, 0), f"{rate.median * 1e9 / (flop * 1e6):,.0f}"])
    text += table(["products", "GFLOP/s", "bound: target tokens/s"], head)
    rows = [
        [system.title, kinds[system.is_bound_by], show_share(share)]
        for system in SYSTEMS
        if system.name in by_system
        and (share := shares(by_system[system.name], rates, system.is_bound_by, flop))
    ]
    return [*text, "", *table(["training", "products of the bound", "share of the bound"], rows)]


def figure_table(found: dict[str, dict[str, Series]]) -> list[str]:
    """The measured figures."""
    columns = {name: measure for name, measure in MEASURES.items() if found[name]}
    rows = [
        [
            system.title,
            *(
                show_spread(spread(found[name].get(system.name, {}).values()), measure.digits)
                for name, measure in columns.items()
            ),
        ]
        for system in SYSTEMS
        if any(system.name in found[name] for name in columns)
    ]
    titles = [f"{measure.title}, {measure.unit}" for measure in columns.values()]
    return [
        "These figures hold for this machine and day; compare ratios instead.",
        "",
        *table(["", *titles], rows),
    ]


def translation_table(lines: Iterable[Facts]) -> list[str]:
    """Length and quality of the translations: the speed of a model that learnt nothing misleads."""
    rows = []
    for system in SYSTEMS:
        for search in ("greedy", "beam5"):
            wholes = [
                line
                for line in lines
                if line["kind"] == "translate"
                and (line["system"], line["search"], line["part"]) == (system.name, search, "all")
            ]
            if wholes:
                last = wholes[-1]
                rows.append(
                    [
                        *(system.title, search, f"{last['sentences']:,}", f"{last['tokens']:,}"),
                        f"{last['bleu_tokens']:.1f}",
                        show_spread(spread(line["peak_mb"] for line in wholes), 0),
                    ]
                )
    return table(
        ["", "search", "sentences", "output tokens", "BLEU on tokens", "peak memory, MB"], rows
    )


def describe(lines: Sequence[Facts], rates: dict[int, dict[str, float]]) -> list[str]:
    """The work, the machine, the versions, and the load by other processes."""
    last = lines[-1]
    work, machine = last["work"], last["machine"]
    versions: Facts = {}
    for line in lines:
        versions |= line["versions"]
    named = ", ".join(f"{name} {v['version']} (torch {v['torch']})" for name, v in versions.items())
    products = [line for line in lines if line["kind"] == "products"]
    threads = {line["threads"] for line in products}
    loads = [line["load_before"] for line in lines if "load_before" in line]
    dates = sorted(line["date"] for line in lines)
    text = [
        f"- work: {work['text']}, {work['pairs']:,} pairs, {work['tokens'][0]:,} source and "
        f"{work['tokens'][1]:,} target tokens; vocabularies of {work['vocabularies'][0]:,} and "
        f"{work['vocabularies'][1]:,} words; bidirectional GRU of {work['hidden'] // 2} each way, "
        f"GRU decoder {work['hidden']}, additive attention {work['attention']}, embeddings "
        f"{work['embed']}, batches of {work['batch']} sentences, Adam {work['learning_rate']:g}, "
        f"clip {work['clip_norm']:g}, dropout {work['dropout']:g}",
        f"- training is timed from update {work['first']} to {work['last']}; models that translate "
        f"had {work['updates']:,} updates (s2s: complete epochs)",
        *([f"- GPU: {machine['gpu']}"] if "gpu" in machine else []),
        f"- machine: {machine['processor']}, {machine['cores']} cores, {machine['memory_gb']} GiB, "
        f"{machine['system']}; {', '.join(map(str, sorted(threads))) or 'unknown'} threads",
        f"- versions: {named}; Python {machine['python']}",
        f"- measured from {dates[0]} to {dates[-1]}, {len(rates)} repetitions started",
    ]
    if products:
        errors = [line["float32_error"] for line in products if "float32_error" in line]
        if errors:
            text.append(
                f"- oneDNN's float32 products have an error of at most {max(errors):.0e} of their "
                "greatest entry (in bfloat16 it would be about 1e-3)"
            )
    if loads:
        text.append(
            f"- load average before each process: median {statistics.median(loads):.2f}, at most "
            f"{max(loads):.2f} (including the process measured before)"
        )
    return [*text, *describe_others(lines)]


def describe_others(lines: Sequence[Facts]) -> list[str]:
    """What else kept the machine busy during measurements."""
    # Training the models that translate is not a measurement.
    shown = [line for line in lines if line["kind"] != "model"]
    known = [line for line in shown if line.get("others_cores") is not None]
    if not known:
        return ["- other processes: unknown on this system"]
    busy = [line for line in known if line["others_cores"] > BUSY_CORES]
    cores = [line["others_cores"] for line in known]
    usage = (
        f"- other processes used {statistics.median(cores):.2f} cores (median), at most "
        f"{max(cores):.2f}"
    )
    if not busy:
        return [usage]
    return [
        f"{usage}; **more than {BUSY_CORES:g} during {len(busy)} of {len(known)} measurements**, "
        "so these figures are not for quoting"
    ]


def table(head: Sequence[str], rows: Sequence[Sequence[str]]) -> list[str]:
    """A Markdown table, or `Not measured.` if there are no rows."""
    if not rows:
        return ["Not measured."]
    lines = [f"| {' | '.join(row)} |" for row in (head, *rows)]
    return [lines[0], "|---" * len(head) + "|", *lines[1:]]


def show_spread(found: Spread | None, digits: int) -> str:
    """The median, with minimum and maximum if there are several values."""
    if found is None:
        return ""
    median = f"{found.median:,.{digits}f}"
    if found.num_values == 1:
        return median
    return f"**{median}** ({found.least:,.{digits}f} to {found.greatest:,.{digits}f})"


def show_share(found: Spread) -> str:
    """The same as a percentage."""
    if found.num_values == 1:
        return f"{found.median:.0%}"
    return f"**{found.median:.0%}** ({found.least:.0%} to {found.greatest:.0%})"
