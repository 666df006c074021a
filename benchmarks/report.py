"""The page about a benchmark, from its results: ratios first, then what they stand on."""

import statistics
import textwrap
from collections.abc import Iterable, Sequence

from benchmarks.ratios import MEASURES, Measure, Series, Spread, figures, ratios, shares, spread
from benchmarks.results import Facts
from benchmarks.systems.catalogue import SYSTEMS, System
from s2s_cli.errors import DataError

BUSY_CORES = 0.1
"""Others that kept more of the machine busy than this are told of."""

QUICK = "**A check of the harness (`--quick`): so little work that the figures mean nothing.**"

SWITCHES = {
    "cpu": (
        '"oneDNN" beside a peer is the same peer with one line that it does not ship, '
        '`torch.set_float32_matmul_precision("medium")`, which sends its float32 products to '
        "oneDNN."
    ),
    "cuda": (
        '"TF32" beside a peer is the same peer with one line that it does not ship, '
        '`torch.set_float32_matmul_precision("medium")`, which rounds what its float32 products '
        "multiply to TF32; in cuDNN's recurrent layers PyTorch does so by default, which s2s "
        "forbids without `--precision tf32`. Memory is that of the processor, not of the GPU."
    ),
}
NAMES = {"cpu": "CPU", "cuda": "GPU"}
PRODUCTS = {
    "cpu": {"float32": "oneDNN float32", "bf16": "bf16", "float32_default": "PyTorch float32"},
    "cuda": {"float32": "float32", "tf32": "TF32", "bf16": "bf16"},
}
"""Kinds of products by device: their names in the results, and in words."""

HOW = """\
Ratios are taken repetition by repetition, between neighbours in time, and shown as **median**
(least to greatest); above 1 `s2s` is better. "Plain kernels" is `s2s` with `kernels: plain`, in
float32: against it only the row "s2s" compares equal precision, and every other row shows the
effect of its precision and of the kernels together. `python -m benchmarks.kernels` measures each
kernel in equal precision. {switch} Each system is run through its own command line, on the
{device}, with the same tokens, vocabularies and sizes. Training: target tokens (real ones, the end
of the sentence included) between the reports of two updates over the time between their arrival at
one clock for all. Memory: the most that the process and its children held during that training.
Translating: the whole process (with loading), or less the time of a process that translates a
single sentence (without). Each tool translates with a model of its own, trained for the same number
of updates. The source is [benchmarks/](../benchmarks/)."""


def format_page(lines: Sequence[Facts]) -> str:
    """The page as Markdown.

    Raises:
        DataError: there is nothing to tell of.
    """
    if not lines:
        raise DataError("nothing was measured; `python -m benchmarks run`")
    found = figures(lines)
    rates = {line["repetition"]: line["gflops"] for line in lines if line["kind"] == "products"}
    commands = list(dict.fromkeys(line["command"] for line in lines))
    work = lines[-1]["work"]
    device = work.get("device", "cpu")
    parts = [
        ["# Performance", "", "Written by `python -m benchmarks report` from the results of"],
        ["", "```sh", *commands, "```", "", *([QUICK, ""] if work["is_quick"] else [])],
        textwrap.wrap(HOW.format(switch=SWITCHES[device], device=NAMES[device]), 100),
        ["", "## Ratios", "", *ratio_table(found)],
        ["", "## Share of the bound", "", *bound_table(found["train"], rates, work)],
        ["", "## Figures", "", *figure_table(found)],
        ["", "## Translations", "", *translation_table(lines)],
        ["", "## Work and machine", "", *describe(lines, rates)],
    ]
    return "\n".join(line for part in parts for line in part) + "\n"


def ratio_table(found: dict[str, dict[str, Series]]) -> list[str]:
    """How many times better each of our settings is than each peer, and than our plain kernels."""
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
    """How much of what matrix products alone would allow each system's training reaches."""
    flop = work["training_mflop"]
    kinds = PRODUCTS[work.get("device", "cpu")]
    text = [
        f"A target token of this model costs {work['forward_mflop']:.1f} MFLOP of matrix products "
        f"forward and {flop:.1f} in training ([formula](../benchmarks/flops.py); the peers' models "
        "differ by a few per cent).",
        "",
    ]
    head = []
    for kind, title in kinds.items():
        if rate := spread(by_kind[kind] for by_kind in rates.values()):
            head.append([title, show_spread(rate, 0), f"{rate.median * 1e9 / (flop * 1e6):,.0f}"])
    text += table(["products", "GFLOP/s", "target tokens/s at that rate"], head)
    rows = [
        [system.title, kinds[system.is_bound_by], show_share(share)]
        for system in SYSTEMS
        if system.name in by_system
        and (share := shares(by_system[system.name], rates, system.is_bound_by, flop))
    ]
    return [*text, "", *table(["training", "of the bound by", "share"], rows)]


def figure_table(found: dict[str, dict[str, Series]]) -> list[str]:
    """What was measured, for this machine on that day."""
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
        "For this machine on that day; what counts is the ratio.",
        "",
        *table(["", *titles], rows),
    ]


def translation_table(lines: Iterable[Facts]) -> list[str]:
    """How long the translations are and how good: speeds of models that learnt nothing mislead."""
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
    """The work, the machine, the versions, and who else was busy on the machine."""
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
        f"had {work['updates']:,} updates (s2s: whole epochs)",
        *([f"- GPU: {machine['gpu']}"] if "gpu" in machine else []),
        f"- machine: {machine['processor']}, {machine['cores']} cores, {machine['memory_gb']} GiB, "
        f"{machine['system']}; {', '.join(map(str, sorted(threads))) or 'unknown'} threads",
        f"- versions: {named}; Python {machine['python']}",
        f"- measured from {dates[0]} to {dates[-1]}, {len(rates)} repetitions begun",
    ]
    if products:
        errors = [line["float32_error"] for line in products if "float32_error" in line]
        if errors:
            text.append(
                f"- oneDNN's float32 products are off by at most {max(errors):.0e} of their "
                "greatest entry (about 1e-3 would be bfloat16)"
            )
    if loads:
        text.append(
            f"- load average before each process: median {statistics.median(loads):.2f}, at most "
            f"{max(loads):.2f} (what ran just before counts in it)"
        )
    return [*text, *describe_others(lines)]


def describe_others(lines: Sequence[Facts]) -> list[str]:
    """What else kept the machine busy during measurements."""
    # The making of the models that translate is no measurement.
    shown = [line for line in lines if line["kind"] != "model"]
    known = [line for line in shown if line.get("others_cores") is not None]
    if not known:
        return ["- other processes: this system does not tell"]
    busy = [line for line in known if line["others_cores"] > BUSY_CORES]
    cores = [line["others_cores"] for line in known]
    told = (
        f"- other processes kept {statistics.median(cores):.2f} cores busy (median), at most "
        f"{max(cores):.2f}"
    )
    if not busy:
        return [told]
    return [
        f"{told}; **more than {BUSY_CORES:g} during {len(busy)} of {len(known)} measurements**, so "
        "these figures are not for quoting"
    ]


def table(head: Sequence[str], rows: Sequence[Sequence[str]]) -> list[str]:
    """A Markdown table, or a line that says there is nothing."""
    if not rows:
        return ["Not measured."]
    lines = [f"| {' | '.join(row)} |" for row in (head, *rows)]
    return [lines[0], "|---" * len(head) + "|", *lines[1:]]


def show_spread(found: Spread | None, digits: int) -> str:
    """The median, and from the least to the greatest where there are several."""
    if found is None:
        return ""
    median = f"{found.median:,.{digits}f}"
    if found.num_values == 1:
        return median
    return f"**{median}** ({found.least:,.{digits}f} to {found.greatest:,.{digits}f})"


def show_share(found: Spread) -> str:
    """The same in per cent."""
    if found.num_values == 1:
        return f"{found.median:.0%}"
    return f"**{found.median:.0%}** ({found.least:.0%} to {found.greatest:.0%})"
