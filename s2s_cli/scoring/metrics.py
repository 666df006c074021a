"""Corpus scores by sacrebleu, with the settings that a language needs."""

import importlib.metadata
import importlib.util
from collections.abc import Sequence
from typing import Literal, NamedTuple

from sacrebleu.metrics.base import Metric
from sacrebleu.metrics.bleu import BLEU
from sacrebleu.metrics.chrf import CHRF
from sacrebleu.metrics.ter import TER

from s2s_cli.errors import ConfigError, DataError
from s2s_cli.text.language import base_language
from s2s_cli.text.tokenizer import choose_tokenizer, split_plain

MetricName = Literal["bleu", "chrf", "ter"]
METRIC_NAMES: tuple[MetricName, ...] = ("bleu", "chrf", "ter")

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


class Score(NamedTuple):
    """A corpus score and the recipe of its making."""

    name: str
    value: float
    signature: str
    text: str
    """As the sacrebleu command prints it."""


def score_corpus(
    names: Sequence[MetricName],
    hypotheses: Sequence[str],
    references: Sequence[Sequence[str]],
    settings: ScoringSettings,
) -> list[Score]:
    """Score translations against one or more references, as the sacrebleu command does.

    Args:
        names: which measures.
        hypotheses: one detokenised translation a line.
        references: one or more lists of raw references, each as long as `hypotheses`.
        settings: language, case and tokeniser.

    Raises:
        DataError: nothing to score, or lists of different length.
        ConfigError: the tokeniser is unknown or not installed.
    """
    check_lengths(hypotheses, references)
    scores = []
    for name in names:
        metric = make_metric(name, settings)
        result = metric.corpus_score(list(hypotheses), [list(ref) for ref in references])
        signature = metric.get_signature().format()
        text = result.format(signature=signature)
        scores.append(Score(name, float(result.score), signature, text))
    return scores


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
    signature = f"{metric.get_signature().format()}|words:{name}"
    return Score("bleu-tokens", float(result.score), signature, result.format(signature=signature))


def score_sentences(
    hypotheses: Sequence[str], references: Sequence[Sequence[str]], settings: ScoringSettings
) -> list[float]:
    """Sentence chrF of each, 0 to 100: kinder to single sentences than BLEU is."""
    check_lengths(hypotheses, references)
    metric = make_metric("chrf", settings)
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


def make_metric(name: MetricName, settings: ScoringSettings) -> Metric:
    """A sacrebleu metric set up for a language.

    Raises:
        ConfigError: the BLEU tokeniser is unknown or not installed.
    """
    lang = base_language(settings.tgt_lang)
    match name:
        case "bleu":
            tokenize = settings.tokenize or _BLEU_TOKENIZERS.get(lang, "13a")
            _check_tokenizer(tokenize)
            return BLEU(lowercase=settings.lowercase, tokenize=tokenize, force=True)
        case "chrf":
            return CHRF(lowercase=settings.lowercase)
        case "ter":
            # As the command has it, TER ignores case. Without --ter-normalized and
            # --ter-asian-support a Chinese or Japanese sentence would count as one word.
            is_asian = lang in {"zh", "lzh", "ja"}
            return TER(normalized=is_asian, asian_support=is_asian)


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
