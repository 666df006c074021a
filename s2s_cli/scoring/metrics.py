"""Scores of translations: BLEU, chrF and TER by sacrebleu, with the settings a language needs.

`choose_scored_lines` selects the lines of a test set that can be scored, `score_corpus` scores
them, and each `Score` has a signature, which names everything that can change its value.
"""

import importlib.metadata
import importlib.util
from collections.abc import Callable, Sequence
from itertools import count
from typing import Any, Literal, NamedTuple

from sacrebleu.metrics.base import Metric
from sacrebleu.metrics.bleu import BLEU
from sacrebleu.metrics.chrf import CHRF
from sacrebleu.significance import PairedTest

from s2s_cli.errors import ConfigError, DataError
from s2s_cli.scoring.ter import MAX_SHIFT_TOKENS, BoundedTER
from s2s_cli.text.language import base_language, is_chinese, is_written_without_spaces
from s2s_cli.text.normalize import Form, Normalizer, Script
from s2s_cli.text.word_boundaries import choose_tokenizer, make_metric_splitter

MetricName = Literal["bleu", "chrf", "ter"]
METRIC_NAMES: tuple[MetricName, ...] = ("bleu", "chrf", "ter")
DEFAULT_METRICS: tuple[MetricName, ...] = ("bleu", "chrf")
"""Without TER, which takes a minute where these take a second."""

_BLEU_TOKENIZERS = {"zh": "zh", "lzh": "zh", "ja": "ja-mecab", "ko": "ko-mecab"}
_REQUIRED_MODULES = {
    "ja-mecab": ("MeCab", "sacrebleu[ja]"),
    "ko-mecab": ("mecab_ko", "sacrebleu[ko]"),
}
"""For tokenisers of sacrebleu the module that they import, and the package that contains it."""

_DOWNLOADING_TOKENIZERS = {"spm", "flores101", "flores200"}
"""Tokenisers of sacrebleu that download a model at their first use."""

MAX_RESAMPLED = 20_000
"""With more sentences, sacrebleu's bootstrap needs gigabytes of memory."""

MAX_PERPLEXITY = 1e6
"""The digits of a higher perplexity say nothing."""


class ScoringSettings(NamedTuple):
    """Everything besides the texts that determines a score."""

    tgt_lang: str
    lowercase: bool = False
    tokenize: str | None = None
    """sacrebleu's tokeniser for BLEU; None selects it by target language."""
    form: Form = "nfc"
    """Unicode normalisation of both sides: composed and decomposed letters are the same text."""
    chinese: Script = "keep"
    """Script that both sides are converted to, if they are Chinese."""

    def normalize(self, lines: Sequence[str]) -> list[str]:
        """Translations or references as they are compared; their letter case remains."""
        form = "nfc" if self.form == "none" else self.form
        keep_case = Normalizer(self.tgt_lang, form=form, chinese=self.chinese).keep_case
        return [keep_case(line) for line in lines]

    @property
    def suffix(self) -> str:
        """The part of a signature that names normalisation; empty for NFC alone."""
        form = f"|form:{self.form}" if self.form == "nfkc" else ""
        is_converted = self.chinese != "keep" and is_chinese(self.tgt_lang)
        return form + (f"|script:{self.chinese}" if is_converted else "")


class Score(NamedTuple):
    """A corpus score with its signature."""

    name: str
    value: float
    signature: str
    note: str = ""
    """What a reader must know to interpret the value; usually empty."""
    interval: float | None = None
    """Half the width of the 95 % interval, by sacrebleu's bootstrap (Koehn 2004), if computed."""


class ScoredLines(NamedTuple):
    """The lines of a test set that are scored."""

    numbers: list[int]
    """Their positions in the test set, from 0."""
    hypotheses: list[str]
    references: list[list[str]]
    """One list per reference. The first reference of a line that is not blank replaces blank ones,
    which changes no score that takes the best match."""


def choose_scored_lines(
    hypotheses: Sequence[str], references: Sequence[Sequence[str]]
) -> ScoredLines:
    """Select the lines with at least one reference that is not blank.

    Args:
        hypotheses: one translation per line of the test set.
        references: one or more lists, each as long as `hypotheses`.

    Raises:
        DataError: there is nothing to score, or lists differ in length.
    """
    check_lengths(hypotheses, references)
    present = [
        next((reference for reference in row if reference.strip()), None)
        for row in zip(*references, strict=True)
    ]
    numbers = [number for number, reference in enumerate(present) if reference is not None]
    chosen = [
        [side[number] if side[number].strip() else present[number] or "" for number in numbers]
        for side in references
    ]
    scored = ScoredLines(numbers, [hypotheses[number] for number in numbers], chosen)
    check_lengths(scored.hypotheses, scored.references)
    return scored


def check_lengths(hypotheses: Sequence[str], references: Sequence[Sequence[str]]) -> None:
    """Refuse lists that sacrebleu would score without a warning.

    Raises:
        DataError: there are no sentences or no references, or lists differ in length.
    """
    if not hypotheses:
        raise DataError("no sentences to score; give at least one translation")
    if not references:
        raise DataError("no references to score against; give at least one")
    for number, reference in enumerate(references, start=1):
        if len(reference) != len(hypotheses):
            raise DataError(
                f"{len(hypotheses)} translations, but reference {number} has {len(reference)} "
                "lines; both need one sentence per line, in the same order"
            )


def score_corpus(
    names: Sequence[MetricName],
    hypotheses: Sequence[str],
    references: Sequence[Sequence[str]],
    settings: ScoringSettings,
    report_progress: Callable[[int, int], None] = lambda _done, _total: None,
    *,
    has_intervals: bool = False,
) -> list[Score]:
    """Score translations against one or more references, as the sacrebleu command does.

    Args:
        names: the metrics.
        hypotheses: one detokenised translation per line.
        references: one or more lists of raw references, each as long as `hypotheses`.
        settings: language, case and tokeniser.
        report_progress: called after each sentence of TER with the number of sentences scored, and
            of all.
        has_intervals: whether to compute 95 % intervals as well.

    Raises:
        DataError: there is nothing to score, or lists differ in length.
        ConfigError: the tokeniser is unknown or not installed.
    """
    check_lengths(hypotheses, references)
    done = count(1)
    scores = []
    for name in names:
        metric = make_metric(name, settings, lambda: report_progress(next(done), len(hypotheses)))
        score = _score_by(name, metric, hypotheses, references, has_intervals=has_intervals)
        note = ""
        if isinstance(metric, BoundedTER) and (number := metric.num_without_shifts):
            note = (
                f"{number:,} sentences of more than {MAX_SHIFT_TOKENS} tokens are scored without "
                "shifts, by plain edit distance"
            )
        scores.append(score._replace(signature=score.signature + settings.suffix, note=note))
    return scores


def make_metric(
    name: MetricName,
    settings: ScoringSettings,
    report_sentence: Callable[[], None] = lambda: None,
) -> Metric:
    """Make a metric of sacrebleu.

    Args:
        name: of the metric.
        settings: language, case and tokeniser.
        report_sentence: called after each sentence of TER, which is slow.

    Raises:
        ConfigError: the tokeniser is unknown or not installed.
    """
    match name:
        case "bleu":
            return make_bleu(settings)
        case "chrf":
            return CHRF(lowercase=settings.lowercase)
        case "ter":
            return BoundedTER(settings.tgt_lang, report_sentence)


def _score_by(
    name: str,
    metric: Metric,
    hypotheses: Sequence[str],
    references: Sequence[Sequence[str]],
    *,
    has_intervals: bool,
) -> Score:
    """The score by a metric, with the signature that sacrebleu gives it."""
    sides = [list(side) for side in references]
    if not has_intervals:
        score = float(metric.corpus_score(list(hypotheses), sides).score)
        return Score(name, score, metric.get_signature().format())
    # A paired test without a second system: `corpus_score` itself fails in some bootstraps.
    signatures, scores = PairedTest([("", list(hypotheses))], {name: metric}, sides, "bs")()
    ((key, signature),) = signatures.items()
    result: Any = scores[key][0]
    return Score(name, float(result.score), signature.format(), "", float(result.ci))


def score_tokens(
    hypotheses: Sequence[str],
    references: Sequence[Sequence[str]],
    settings: ScoringSettings,
    *,
    has_intervals: bool = False,
) -> Score:
    """BLEU of words by plain Moses or jieba, which papers report as "BLEU on tokens".

    Translations and references are split by the same tokeniser, in lower case if case does not
    count, and compared without further tokenisation. The translations must be detokenised, so that
    models of words and of subwords are comparable. The score is not comparable with BLEU by another
    tokeniser, which the signature names.

    Args:
        hypotheses: one detokenised translation per line.
        references: one or more lists of raw references, each as long as `hypotheses`.
        settings: language, and whether case counts.
        has_intervals: whether to compute the 95 % interval as well.
    """
    check_lengths(hypotheses, references)
    metric = BLEU(lowercase=settings.lowercase, tokenize="none", force=True)
    split = make_metric_splitter(settings.tgt_lang)

    def tokenize(lines: Sequence[str]) -> list[str]:
        return [" ".join(split(line.lower() if settings.lowercase else line)) for line in lines]

    score = _score_by(
        "bleu-tokens",
        metric,
        tokenize(hypotheses),
        [tokenize(side) for side in references],
        has_intervals=has_intervals,
    )
    name = choose_tokenizer("auto", settings.tgt_lang)
    return score._replace(signature=f"{score.signature}|words:{name}{settings.suffix}")


def score_sentences(
    hypotheses: Sequence[str], references: Sequence[Sequence[str]], settings: ScoringSettings
) -> list[float]:
    """The chrF of each sentence, 0 to 100; the BLEU of a single sentence is often just 0."""
    check_lengths(hypotheses, references)
    metric = CHRF(lowercase=settings.lowercase)
    return [
        float(metric.sentence_score(hypothesis, list(refs)).score)
        for hypothesis, *refs in zip(hypotheses, *references, strict=True)
    ]


def make_bleu(settings: ScoringSettings) -> BLEU:
    """BLEU with the tokeniser that the settings name, or that the language needs.

    Raises:
        ConfigError: the tokeniser is unknown or not installed.
    """
    tokenize = settings.tokenize or _choose_bleu_tokenizer(settings.tgt_lang)
    _check_bleu_tokenizer(tokenize, "choose another tokeniser, such as --tokenize char")
    return BLEU(lowercase=settings.lowercase, tokenize=tokenize, force=True)


def make_sentence_bleu(tgt_lang: str) -> BLEU:
    """BLEU of single sentences, with the tokeniser that the language needs.

    It has no higher order of n-grams than the translation (sacrebleu's effective order).

    Raises:
        ConfigError: the tokeniser is not installed.
    """
    tokenize = _choose_bleu_tokenizer(tgt_lang)
    _check_bleu_tokenizer(tokenize, "choose decoding.utility chrf")
    return BLEU(tokenize=tokenize, force=True, effective_order=True)


def _check_bleu_tokenizer(tokenize: str, alternative: str) -> None:
    """Refuse a tokeniser of sacrebleu that is unknown or not installed.

    Args:
        tokenize: its name.
        alternative: to installing it, for the message.
    """
    known = [name for name in BLEU.TOKENIZERS if name not in _DOWNLOADING_TOKENIZERS]
    if tokenize not in known:
        raise ConfigError(
            f"--tokenize {tokenize}: is not available; choose one of {', '.join(known)}"
        )
    module, package = _REQUIRED_MODULES.get(tokenize, ("", ""))
    if module and importlib.util.find_spec(module) is None:
        raise ConfigError(
            f"BLEU: the tokeniser {tokenize} needs a package that is not installed; run pip "
            f'install "{package}", or {alternative}'
        )


def _choose_bleu_tokenizer(lang: str) -> str:
    """The tokeniser of sacrebleu for a language; characters if it has none that finds words."""
    usual = "char" if is_written_without_spaces(lang) else "13a"
    return _BLEU_TOKENIZERS.get(base_language(lang), usual)


def sacrebleu_version() -> str:
    """Version of the library that computes the scores."""
    return importlib.metadata.version("sacrebleu")


def format_perplexity(value: float, digits: int = 2) -> str:
    """A perplexity as text; `>1e6` above a million.

    Args:
        value: the perplexity, which may be infinite.
        digits: after the decimal point.
    """
    return ">1e6" if value > MAX_PERPLEXITY else f"{value:.{digits}f}"


def format_share(share: float | None) -> str:
    """A share in per cent; a dash for None."""
    return "-" if share is None else f"{100 * share:.1f}"


def format_interval(score: Score) -> str:
    """The 95 % interval of a score, as in `28.1 to 32.4`; empty if it is unknown."""
    if score.interval is None:
        return ""
    return f"{score.value - score.interval:.1f} to {score.value + score.interval:.1f}"
