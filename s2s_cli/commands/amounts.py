"""Warnings of too little text, and of text that the vocabularies do not cover."""

from collections.abc import Iterable
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from s2s_cli.checks.amounts import Known
    from s2s_cli.config import Config

ADVICE = {
    "train": "a model learns little from so few; add text, or start from a trained model (--from)",
    "valid": "scores of so few are mostly chance; use more (data.valid)",
}


def warn_of_amounts(
    config: "Config", num_train: int, num_valid: int, known: "Iterable[Known]"
) -> None:
    """Warn of each split with too few pairs, and of each side that the vocabulary hardly covers.

    Args:
        config: the recipe.
        num_train: pairs to train on.
        num_valid: pairs to validate on.
        known: how much the vocabularies know of each side of each split.
    """
    from s2s_cli.checks.amounts import MIN_COVERAGE, find_few_pairs, find_low_coverage
    from s2s_cli.console import warn

    for few in find_few_pairs(train=num_train, valid=num_valid):
        warn(
            f"{few.split}: {few.num_pairs:,} pairs, fewer than {few.wanted:,}: {ADVICE[few.split]}"
        )
    advice = (
        "raise vocab.max_size, lower vocab.min_freq, or use subwords (text.src_subword, "
        "text.tgt_subword)"
    )
    if config.training.init_from is not None:
        advice = f"{config.training.init_from} is a model of other text; train without --from"
    for side in find_low_coverage(known):
        warn(
            f"{side.label}: the vocabulary covers {side.share:.1%} of the tokens, less than "
            f"{MIN_COVERAGE:.0%}; {advice}"
        )
