"""What the page about an evaluation shows."""

from collections.abc import Sequence
from typing import TYPE_CHECKING, NamedTuple

from s2s_cli.commands.attention_views import format_weights, readable

if TYPE_CHECKING:
    from s2s_cli.commands.reports import Evaluation
    from s2s_cli.commands.scores import Scores
    from s2s_cli.scoring.analysis import Flags
    from s2s_cli.scoring.labels import Confusion
    from s2s_cli.scoring.metrics import ScoringSettings

MAX_SENTENCES = 1000
"""Sentences on the page; of more, every so many, in order of chrF."""

FLAGS = ("unknown", "repeated", "copied", "cut", "exact")
"""What sentences can be selected by."""

FLAG_LABELS = {
    "unknown": "unknown words",
    "repeated": "repetitions",
    "copied": "copied words",
    "cut": "cut",
    "exact": "exact",
}


class Bar(NamedTuple):
    """A row of a table with bars."""

    name: str
    cells: list[str]
    percent: float
    """Length of the bar."""


def format_page(
    evaluation: "Evaluation",
    settings: "ScoringSettings",
    found: "Scores",
    facts: Sequence[tuple[str, str]],
) -> str:
    """Format the page.

    Args:
        evaluation: the test set and the translations.
        settings: of the scores.
        found: the scores.
        facts: name and value pairs: model, data, search.
    """
    from s2s_cli.pages.render import render
    from s2s_cli.scoring.analysis import flag_sentence, sum_habits
    from s2s_cli.scoring.metrics import format_interval, score_sentences
    from s2s_cli.text.word_boundaries import make_metric_splitter

    test, scored = evaluation.test, evaluation.scored
    split_src, split = map(make_metric_splitter, test.direction)
    sources = [test.rows[number][0] for number in scored.numbers]
    fold = str.lower if settings.lowercase else str
    flags = [
        flag_sentence(source, fold(hypothesis), fold(reference), split_src, split)
        for source, hypothesis, reference in zip(
            sources, scored.hypotheses, scored.references[0], strict=True
        )
    ]
    habits = sum_habits(flags, scored.hypotheses, scored.references[0], split)
    chrf = score_sentences(scored.hypotheses, scored.references, settings)
    lengths = [len(split_src(source)) for source in sources]
    return render(
        "report.html",
        title=f"{test.direction.src} to {test.direction.tgt} on {test.name}",
        scores=[{**score._asdict(), "interval": format_interval(score)} for score in found.scores],
        confusion=_tabulate_labels(found.confusion),
        habits=[
            ("words per reference word", f"{habits.length_ratio:.2f}", "below 1: too short"),
            ("exact", f"{habits.exact:.1%}", "equal to the first reference"),
            ("empty", f"{habits.empty:.1%}", "without text"),
            ("repetitions", f"{habits.repeated:.1%}", "words repeated directly, such as “a a”"),
            ("copies", f"{habits.copied:.1%}", "source words that the reference does not have"),
        ],
        by_length=_score_by_length(evaluation, lengths, settings, found),
        by_frequency=_score_by_frequency(evaluation),
        shown_note=_describe_choice(len(chrf)),
        flags=[(flag, FLAG_LABELS[flag]) for flag in FLAGS],
        sentences=[
            _list_sentence(
                evaluation, place, chrf[place], flags[place], lengths[place], settings.lowercase
            )
            for place in _choose_sentences(chrf)
        ],
        facts=facts,
    )


def _choose_sentences(chrf: Sequence[float]) -> list[int]:
    """Positions of the sentences to show, the worst first."""
    ranked = sorted(range(len(chrf)), key=lambda place: (chrf[place], place))
    step = max(1, -(-len(ranked) // MAX_SENTENCES))
    return ranked[::step]


def _describe_choice(num_sentences: int) -> str:
    step = max(1, -(-num_sentences // MAX_SENTENCES))
    if step == 1:
        return f"All {num_sentences:,} sentences."
    return f"One in {step} of the {num_sentences:,} sentences, ranked by chrF."


def _tabulate_labels(confusion: "Confusion | None") -> dict[str, object] | None:
    """The confusion table with the qualities of each label; None without labels, or with many."""
    from s2s_cli.scoring.labels import MAX_LABELS, OTHER
    from s2s_cli.scoring.metrics import format_share

    if confusion is None or len(confusion.labels) > MAX_LABELS:
        return None
    rows = [
        (name, [*map(str, counts), *map(format_share, shares)])
        for name, counts, shares in zip(
            confusion.labels, confusion.counts, confusion.qualities(), strict=True
        )
    ]
    columns = [*confusion.labels, OTHER, "precision", "recall", "F1"]
    return {"columns": columns, "rows": rows}


def _score_by_length(
    evaluation: "Evaluation",
    lengths: Sequence[int],
    settings: "ScoringSettings",
    found: "Scores",
) -> dict[str, object]:
    """The chrF and, if it was computed, the BLEU of each range of source lengths."""
    from s2s_cli.scoring.breakdowns import group_by_length
    from s2s_cli.scoring.metrics import MetricName, score_corpus

    scored = evaluation.scored
    # The tokeniser of BLEU may not be installed.
    has_bleu = any(score.name == "bleu" for score in found.scores)
    metrics: list[MetricName] = ["chrf", "bleu"] if has_bleu else ["chrf"]
    rows = []
    for name, places in group_by_length(lengths):
        hypotheses = [scored.hypotheses[place] for place in places]
        references = [[side[place] for place in places] for side in scored.references]
        values = [one.value for one in score_corpus(metrics, hypotheses, references, settings)]
        cells = [f"{len(places):,}", *(f"{value:.1f}" for value in values)]
        rows.append(Bar(name, cells, min(100.0, values[0])))
    return {"columns": ("sentences", "chrF", "BLEU")[: 1 + len(metrics)], "rows": rows}


def _score_by_frequency(evaluation: "Evaluation") -> dict[str, object]:
    """F1 of the tokens of each range of training frequencies."""
    from s2s_cli.scoring.analysis import score_by_frequency
    from s2s_cli.scoring.metrics import format_share

    codec = evaluation.loaded.translator.tgt
    counts = dict(zip(codec.vocabulary.tokens, codec.vocabulary.counts, strict=True))
    sides = (evaluation.scored.hypotheses, evaluation.scored.references[0])
    ours, theirs = ([codec.tokenizer.tokenize(text) for text in side] for side in sides)
    groups = score_by_frequency(ours, theirs, lambda token: counts.get(token, 0))
    rows = [
        Bar(
            group.range,
            [
                f"{group.num_tokens:,}",
                *map(format_share, (group.f1, group.precision, group.recall)),
            ],
            100 * (group.f1 or 0),
        )
        for group in groups
    ]
    return {"columns": ("tokens", "F1", "precision", "recall"), "rows": rows}


def _list_sentence(
    evaluation: "Evaluation",
    place: int,
    chrf: float,
    flags: "Flags",
    length: int,
    ignores_case: bool,
) -> dict[str, object]:
    """What is shown of a sentence."""
    from s2s_cli.pages.marking import mark_differences
    from s2s_cli.text.vocabulary import EOS_ID, MARKERS, UNK_ID

    scored, number = evaluation.scored, evaluation.scored.numbers[place]
    translation = evaluation.translations[number]
    translator = evaluation.loaded.translator
    best = translation.candidates[0]
    reference, *others = (side[place] for side in scored.references)
    expected, given = mark_differences(
        reference, scored.hypotheses[place], ignores_case=ignores_case
    )
    is_unknown = UNK_ID in translator.src.vocabulary.encode(translation.src_tokens)
    is_cut = translation.num_unread > 0 or not best.is_complete
    present = {"unknown": is_unknown, "cut": is_cut, **flags._asdict()}
    return {
        "line": number + 1,
        "chrf": chrf,
        "length": length,
        "flags": [flag for flag in FLAGS if present[flag]],
        "source": translation.source,
        "reference": expected,
        "others": others,
        "translation": given,
        "src_tokens": readable([*translation.src_tokens, MARKERS[EOS_ID]]),
        "tgt_tokens": readable(best.tokens),
        "weights": format_weights(best.attention_weights or []),
    }
