"""`s2s eval --tune`: choose beam size and length penalty on the validation set."""

import time
from collections.abc import Sequence
from statistics import fmean
from typing import TYPE_CHECKING

from s2s_cli.commands.scores import ScoringOptions, ignores_case
from s2s_cli.commands.test_sets import (
    TestSetOptions,
    check_directions,
    check_held_out,
    gather_overrides,
    in_words,
)
from s2s_cli.errors import ConfigError

if TYPE_CHECKING:
    from s2s_cli.commands.loading import Loaded, ModelLocation
    from s2s_cli.config import Config, Decoding
    from s2s_cli.data.pairs import ParallelText
    from s2s_cli.decoding.tuning import Trial
    from s2s_cli.scoring.metrics import MetricName
    from s2s_cli.training.training_data import ValidText

TITLES = {"bleu": "BLEU", "chrf": "chrF", "accuracy": "accuracy"}
"""The scores that can rank searches."""


def tune_search(
    options: TestSetOptions,
    location: "ModelLocation",
    loaded: "Loaded",
    scoring: ScoringOptions,
    named: "Sequence[MetricName]",
) -> None:
    """Try a grid of settings; a table on stderr, the best ones as `--set` options on stdout.

    Args:
        options: the recipe, if no run contains the model, and directions to select.
        location: of the model or ensemble.
        loaded: the model or ensemble, with the present settings.
        scoring: case and tokeniser.
        named: the metrics that options name, at most one.

    Raises:
        ConfigError: the validation set is not known, or two metrics are named.
        DataError: a file is missing or malformed; or the validation set is held out from the
            training pairs, but the model was trained with another split of them.
    """
    from s2s_cli.console import write_result
    from s2s_cli.decoding.tuning import BEAM_SIZES, LENGTH_PENALTIES, choose_best

    if len(named) > 1:
        names = ", ".join(f"--{name}" for name in named)
        raise ConfigError(f"{names}: --tune compares searches by one score; name one")
    config, sets = _load_valid_sets(options, location, loaded)
    scoring = scoring._replace(lowercase=ignores_case(scoring.lowercase, loaded.card))
    texts = _group_by_direction(sets, scoring, loaded)
    metric = named[0] if named else _choose_metric(config, texts)
    now = loaded.decoding
    sizes = sorted({*BEAM_SIZES, now.beam_size})
    penalties = sorted({*LENGTH_PENALTIES, now.length_penalty})
    trials = [
        _try_beam_size(
            now.model_copy(update={"beam_size": size, "n_best": 1}),
            penalties,
            texts,
            loaded,
            metric,
        )
        for size in sizes
    ]
    best = choose_best(trials, penalties, now)
    num_pairs = sum(len(text.rows) for text in texts)
    title = f"{TITLES[metric]} on {', '.join(one.name for one in sets)} ({num_pairs:,} pairs)"
    _show(title, trials, penalties, best, now)
    beam_size, length_penalty = best
    write_result(
        f"--set decoding.beam_size={beam_size} --set decoding.length_penalty={length_penalty:g}"
    )


def _load_valid_sets(
    options: TestSetOptions, location: "ModelLocation", loaded: "Loaded"
) -> "tuple[Config, list[ParallelText]]":
    """Read the recipe of the run, or the one that the options name, and its validation set."""
    from s2s_cli.console import say
    from s2s_cli.data.test_set import load_valid
    from s2s_cli.decoding.translator import find_directions
    from s2s_cli.recipe import load_recipe

    card, recipe = loaded.card, options.config
    if location.run is not None and location.run.config_path.is_file():
        recipe = str(location.run.config_path)
    if recipe is None:
        raise ConfigError(
            f"{location.folder}: is not in a run folder, so its validation set is not known; "
            "name its recipe with --config"
        )
    directions = find_directions(card.all_directions, options.src_lang, options.tgt_lang)
    config = load_recipe(recipe, gather_overrides(options, card)).config
    check_directions(config.data, recipe, location, card)
    all_sets, hashes = load_valid(config.data)
    check_held_out("valid", hashes, location, loaded)
    sets = [one for one in all_sets if one.direction in directions]
    if not sets:
        raise ConfigError(
            f"{recipe}: has no validation set for {in_words(directions)}; choose another direction "
            "with --from and --to"
        )
    say(f"validation set of {recipe}: {', '.join(one.name for one in sets)}")
    return config, sets


def _group_by_direction(
    sets: "list[ParallelText]", scoring: ScoringOptions, loaded: "Loaded"
) -> "list[ValidText]":
    """Join the pairs of each direction, with the settings of its scores."""
    from s2s_cli.training.training_data import ValidText

    texts = []
    for direction in dict.fromkeys(one.direction for one in sets):
        rows = [row for one in sets if one.direction == direction for row in one.pairs]
        settings = scoring.for_language(direction.tgt, loaded.card.text).settings
        texts.append(ValidText(direction, rows, settings))
    return texts


def _choose_metric(config: "Config", texts: "list[ValidText]") -> str:
    """The metric that ranks the epochs of a training, if searches can change it.

    Perplexity and the accuracy of tokens depend on the model alone. In their place, labels are
    ranked by the share of correct translations, and short or few references by chrF.
    """
    from s2s_cli.console import say
    from s2s_cli.training.validate import choose_criterion

    if config.training.best_by == "chrf":
        return "chrf"
    name, caveat = choose_criterion("bleu", texts)
    metric = "chrf" if name == "perplexity" else name
    if caveat:
        say(f"valid {caveat}; searches are compared by {TITLES[metric]}")
    return metric


def _try_beam_size(
    decoding: "Decoding",
    penalties: Sequence[float],
    texts: "list[ValidText]",
    loaded: "Loaded",
    metric: str,
) -> "Trial":
    """Translate the validation set once, and score it with every length penalty.

    With several directions, the scores are the means of theirs, as in validation.
    """
    from s2s_cli.console import counting
    from s2s_cli.decoding.tuning import Trial, translate_with_penalties

    num_pairs, num_done, seconds = sum(len(text.rows) for text in texts), 0, 0.0
    scores: list[list[float]] = []
    with counting("sentences") as show:

        def advance(number: int) -> None:
            nonlocal num_done
            num_done += number
            show(f"beam size {decoding.beam_size}", num_done, num_pairs)

        for text in texts:
            started = time.perf_counter()
            translator = loaded.between(*text.direction).translator
            sources = [row[0] for row in text.rows]
            found = translate_with_penalties(translator, sources, decoding, penalties, advance)
            seconds += time.perf_counter() - started
            scores.append([_score(metric, hypotheses, text) for hypotheses in found])
    means = [fmean(of_penalty) for of_penalty in zip(*scores, strict=True)]
    return Trial(decoding.beam_size, means, seconds)


def _score(metric: str, hypotheses: list[str], text: "ValidText") -> float:
    """Score translations of the validation pairs of one direction."""
    from s2s_cli.scoring.labels import count_confusion, score_accuracy
    from s2s_cli.scoring.metrics import score_corpus

    settings = text.scoring
    hypotheses = settings.normalize(hypotheses)
    references = [settings.normalize(side) for side in text.references]
    if metric == "accuracy":
        return score_accuracy(count_confusion(hypotheses, references, settings), settings).value
    (score,) = score_corpus(
        ["bleu" if metric == "bleu" else "chrf"], hypotheses, references, settings
    )
    return score.value


def _show(
    title: str,
    trials: "Sequence[Trial]",
    penalties: Sequence[float],
    best: tuple[int, float],
    now: "Decoding",
) -> None:
    """Print a table of the scores, and the gain over the present settings."""
    from s2s_cli.console import say, show_table
    from s2s_cli.decoding.tuning import SCORE_DIGITS

    present = now.beam_size, now.length_penalty
    scores = {
        (trial.beam_size, alpha): f"{score:.{SCORE_DIGITS}f}"
        for trial in trials
        for score, alpha in zip(trial.scores, penalties, strict=True)
    }
    marks = dict(scores)
    marks[present] = f"({marks[present]})"
    marks[best] = f"{marks[best]}*"
    table = [
        (
            str(trial.beam_size),
            *(marks[trial.beam_size, alpha] for alpha in penalties),
            f"{trial.seconds:.1f}",
        )
        for trial in trials
    ]
    show_table(title, ("beam", *(f"{alpha:g}" for alpha in penalties), "s"), table)
    say(
        "columns: length penalty, then seconds of the search, which serves all columns; "
        "*: the best, (): the present setting"
    )
    if best == present:
        say(f"the present setting is the best: {scores[best]}")
    else:
        say(f"the best: {scores[best]}, with the present setting: {scores[present]}")
    if best[0] == trials[-1].beam_size:
        say(f"{best[0]} is the largest beam size tried; --beam-size N tries N as well")
    if best[1] == penalties[-1]:
        say(f"{best[1]:g} is the largest length penalty tried; --length-penalty X tries X as well")
