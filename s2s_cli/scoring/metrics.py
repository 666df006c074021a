"""Corpus scores by sacrebleu, with the settings that a language needs."""

import importlib.metadata
import importlib.util
from collections.abc import Sequence
from typing import Literal, NamedTuple

from sacrebleu.metrics.base import Metric
from sacrebleu.metrics.bleu import BLEU
from sacrebleu.metrics.chrf import CHRF

from s2s_cli.errors import ConfigError, DataError
from s2s_cli.scoring.ter import MAX_SHIFT_TOKENS, Advance, CorpusTER, measure_ter
from s2s_cli.text.language import base_language, is_chinese, is_written_without_spaces
from s2s_cli.text.normalize import Form, Normalizer, Script
from s2s_cli.text.word_boundaries import choose_tokenizer, split_plain

MetricName = Literal["bleu", "chrf", "ter"]
METRIC_NAMES: tuple[MetricName, ...] = ("bleu", "chrf", "ter")
DEFAULT_METRICS: tuple[MetricName, ...] = ("bleu", "chrf")
"""TER takes a minute where these take a second, so it is computed on request."""

_BLEU_TOKENIZERS = {"zh": "zh", "lzh": "zh", "ja": "ja-mecab", "ko": "ko-mecab"}
_NEEDED_MODULES = {
    "ja-mecab": ("MeCab", "sacrebleu[ja]"),
    "ko-mecab": ("mecab_ko", "sacrebleu[ko]"),
}


_DOWNLOADING = {"spm", "flores101", "flores200"}
"""Tokenisers of sacrebleu that fetch a model from the network when first used."""


class ScoringSettings(NamedTuple):
    """What decides a score besides the texts."""

    tgt_lang: str
    lowercase: bool = False
    tokenize: str | None = None
    """sacrebleu's tokeniser for BLEU; None chooses by target language."""
    form: Form = "nfc"
    """Unicode normalisation of both sides: composed and decomposed letters are the same text."""
    chinese: Script = "keep"
    """Script that both sides are converted to, if they are Chinese."""

    def normalize(self, lines: Sequence[str]) -> list[str]:
        """Translations or references as they are compared, in their own letter case."""
        form = "nfc" if self.form == "none" else self.form
        keep_case = Normalizer(self.tgt_lang, form=form, chinese=self.chinese).keep_case
        return [keep_case(line) for line in lines]

    @property
    def suffix(self) -> str:
        """What a signature says of normalisation that changes scores; nothing for NFC alone."""
        form = f"|form:{self.form}" if self.form == "nfkc" else ""
        is_converted = self.chinese != "keep" and is_chinese(self.tgt_lang)
        return form + (f"|script:{self.chinese}" if is_converted else "")


class Score(NamedTuple):
    """A corpus score and the recipe of its making."""

    name: str
    value: float
    signature: str
    note: str = ""
    """What a reader has to know to interpret the value; usually empty."""


def score_corpus(
    names: Sequence[MetricName],
    hypotheses: Sequence[str],
    references: Sequence[Sequence[str]],
    settings: ScoringSettings,
    advance: Advance = lambda _done, _total: None,
) -> list[Score]:
    """Score translations against one or more references, as the sacrebleu command does.

    Args:
        names: which measures.
        hypotheses: one detokenised translation a line.
        references: one or more lists of raw references, each as long as `hypotheses`.
        settings: language, case and tokeniser.
        advance: called after each sentence of TER.

    Raises:
        DataError: nothing to score, or lists of different length.
        ConfigError: the tokeniser is unknown or not installed.
    """
    check_lengths(hypotheses, references)
    scores = []
    for name in names:
        if name == "ter":
            found = measure_ter(hypotheses, references, settings.tgt_lang, advance)
            signature = found.signature + settings.suffix
            scores.append(Score(name, found.value, signature, _note_on_ter(found)))
            continue
        is_bleu = name == "bleu"
        metric: Metric = make_bleu(settings) if is_bleu else CHRF(lowercase=settings.lowercase)
        result = metric.corpus_score(list(hypotheses), [list(ref) for ref in references])
        signature = metric.get_signature().format() + settings.suffix
        scores.append(Score(name, float(result.score), signature))
    return scores


def _note_on_ter(found: CorpusTER) -> str:
    if not found.num_without_shifts:
        return ""
    return (
        f"{found.num_without_shifts:,} sentences of more than {MAX_SHIFT_TOKENS} tokens are scored "
        "without shifts, by plain edit distance"
    )


def score_tokens(
    hypotheses: Sequence[str],
    references: Sequence[Sequence[str]],
    settings: ScoringSettings,
) -> Score:
    """BLEU of words by plain Moses or jieba, as papers report "BLEU on tokens".

    Translations and references are cut by the same tokeniser, lower-cased first if case does not
    count, and compared without any further tokenisation. The translations are the detokenised
    ones, so that models of words and of subwords compare. Never compare it with BLEU of another
    tokeniser; the signature names this one.

    Args:
        hypotheses: one detokenised translation a line.
        references: one or more lists of raw references, each as long as `hypotheses`.
        settings: language, and whether case counts.
    """
    check_lengths(hypotheses, references)
    metric = BLEU(lowercase=settings.lowercase, tokenize="none", force=True)
    split = split_plain(settings.tgt_lang)

    def cut(lines: Sequence[str]) -> list[str]:
        return [" ".join(split(line.lower() if settings.lowercase else line)) for line in lines]

    result = metric.corpus_score(cut(hypotheses), [cut(side) for side in references])
    name = choose_tokenizer("auto", settings.tgt_lang)
    signature = f"{metric.get_signature().format()}|words:{name}{settings.suffix}"
    return Score("bleu-tokens", float(result.score), signature)


def score_sentences(
    hypotheses: Sequence[str], references: Sequence[Sequence[str]], settings: ScoringSettings
) -> list[float]:
    """Sentence chrF of each, 0 to 100: kinder to single sentences than BLEU is."""
    check_lengths(hypotheses, references)
    metric = CHRF(lowercase=settings.lowercase)
    return [
        float(metric.sentence_score(hypothesis, list(refs)).score)
        for hypothesis, *refs in zip(hypotheses, *references, strict=True)
    ]


def check_lengths(hypotheses: Sequence[str], references: Sequence[Sequence[str]]) -> None:
    """Refuse what sacrebleu would score without a word.

    Raises:
        DataError: no sentences, no references, or lists of different length.
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


def make_bleu(settings: ScoringSettings) -> BLEU:
    """BLEU set up for a language.

    Raises:
        ConfigError: the tokeniser is unknown or not installed.
    """
    tokenize = settings.tokenize or choose_bleu_tokenizer(settings.tgt_lang)
    _check_tokenizer(tokenize)
    return BLEU(lowercase=settings.lowercase, tokenize=tokenize, force=True)


def choose_bleu_tokenizer(lang: str) -> str:
    """Tokeniser of sacrebleu for a language; characters where it has none that finds words."""
    usual = "char" if is_written_without_spaces(lang) else "13a"
    return _BLEU_TOKENIZERS.get(base_language(lang), usual)


def _check_tokenizer(tokenize: str) -> None:
    known = [name for name in BLEU.TOKENIZERS if name not in _DOWNLOADING]
    if tokenize not in known:
        raise ConfigError(f"--tokenize {tokenize}: choose among {', '.join(known)}")
    module, extra = _NEEDED_MODULES.get(tokenize, ("", ""))
    if module and importlib.util.find_spec(module) is None:
        raise ConfigError(
            f"BLEU with the tokeniser {tokenize} needs a package that is not installed: "
            f'pip install "{extra}" (or choose another with --tokenize, such as char)'
        )


def sacrebleu_version() -> str:
    """Version of the library that computes the scores."""
    return importlib.metadata.version("sacrebleu")


MOST_SHOWN = 1e6


def describe_perplexity(value: float, digits: int = 2) -> str:
    """A perplexity in words; above a million its digits mean nothing any more.

    Args:
        value: of the perplexity, infinite at most.
        digits: behind the point.
    """
    return ">1e6" if value > MOST_SHOWN else f"{value:.{digits}f}"


class ScoredLines(NamedTuple):
    """The lines of a test set that are scored."""

    numbers: list[int]
    """Their places in the test set, from 0."""
    hypotheses: list[str]
    references: list[list[str]]
    """One list per reference; where one is blank, the first that is not stands in for it, which
    changes no score that takes the best match."""


def choose_scored_lines(
    hypotheses: Sequence[str], references: Sequence[Sequence[str]]
) -> ScoredLines:
    """Leave out the lines whose references are all blank.

    Args:
        hypotheses: one translation per line of the test set.
        references: one or more lists, each as long as `hypotheses`.

    Raises:
        DataError: nothing to score, or lists of different length.
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
