"""`s2s eval --score-pairs`: how likely the model finds each pair of the test set."""

from collections.abc import Sequence
from typing import TYPE_CHECKING

from s2s_cli.errors import ConfigError, DataError

if TYPE_CHECKING:
    from s2s_cli.commands.loading import Loaded
    from s2s_cli.data.corpus import Corpus

HEADER = "log_prob\tlog_prob_per_token\ttokens"


def refuse_beside_pairs(**options: object) -> None:
    """Options of a translation, or of its scores, that were given beside `--score-pairs`.

    Raises:
        ConfigError: one has a value.
    """
    needless = [name for name, value in options.items() if value is not None]
    if needless:
        raise ConfigError(
            f"{', '.join(needless)}: of no use with --score-pairs, which neither translates nor "
            "compares; leave it out"
        )


BATCH_SIZE = "decoding.batch_size"


def refuse_search_settings(sets: Sequence[str]) -> None:
    """Refuse settings of a search: scores are the model's own, in float32, by its plain steps.

    Raises:
        ConfigError: a `--set` names a key of the section `decoding` other than the batch size.
    """
    from s2s_cli.recipe import parse_override

    keys = (parse_override(text)[0] for text in sets)
    needless = [key for key in keys if key.startswith("decoding.") and key != BATCH_SIZE]
    if needless:
        raise ConfigError(
            f"--set {', '.join(needless)}: has no effect with --score-pairs, which does not search "
            f"and always computes in float32; leave it out ({BATCH_SIZE} may be set)"
        )


def show_pair_scores(loaded: "Loaded", tests: "Sequence[Corpus]") -> None:
    """One TSV line per pair on stdout, after a header; their sum on stderr.

    Args:
        loaded: the model.
        tests: the pairs; those of each are of one direction.

    Raises:
        DataError: pairs with a blank side were left out, so that lines would not match.
    """
    from s2s_cli.console import show_table, write_result
    from s2s_cli.data.corpus import join_corpora
    from s2s_cli.decoding.pairs import perplexity, score_pairs
    from s2s_cli.scoring.perplexity import describe_perplexity

    test = join_corpora(tests)
    if test.num_blank:
        raise DataError(
            f"{test.name}: {test.num_blank} pairs have a blank side and no score, so scores would "
            "not stand on their pairs' lines; take those pairs out of both sides"
        )
    size = loaded.decoding.num_sentences
    scores = [
        score
        for part in tests
        for score in score_pairs(
            loaded.between(*part.direction).translator, part.src, part.tgt, size
        )
    ]
    rows = [
        f"{score.log_prob:.6f}\t{score.log_prob_per_token:.6f}\t{score.num_tokens}"
        for score in scores
    ]
    write_result("\n".join([HEADER, *rows]))
    facts = (
        f"{len(scores):,}",
        f"{sum(score.num_tokens for score in scores):,}",
        f"{sum(score.log_prob for score in scores):.4f}",
        describe_perplexity(perplexity(scores), digits=4),
    )
    show_table(f"pairs of {test.name}", ("pairs", "tokens", "log_prob", "perplexity"), [facts])
