"""Warnings of too little text, and of text that the vocabularies do not cover."""

from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING

from s2s_cli.errors import DataError

if TYPE_CHECKING:
    from s2s_cli.checkpoint import ModelCard
    from s2s_cli.checks.coverage import Known
    from s2s_cli.commands.loading import Loaded, ModelLocation
    from s2s_cli.config import Config, Data
    from s2s_cli.data.corpus import Corpus
    from s2s_cli.data.fingerprints import Fingerprints
    from s2s_cli.decoding.translator import Translation
    from s2s_cli.parallel import Ranks


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
    from s2s_cli.checks.coverage import MIN_COVERAGE, find_few_pairs, find_low_coverage
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


def warn_of_leakage(name: str, corpora: "Sequence[Corpus]", train: "Fingerprints") -> None:
    """Warn if source sentences of a split stand in train, with their number."""
    from s2s_cli.checks.leakage import find_corpus_leakage
    from s2s_cli.console import warn

    found = find_corpus_leakage(corpora, train)
    if found.num_sources:
        warn(
            f"{name}: {found.num_sources:,} of {found.num_pairs:,} source sentences also stand in "
            f"train, {found.num_whole:,} of them with the same translation, which makes scores "
            "look better than they are; take them out of train"
        )


def read_tests(data: "Data") -> "list[Corpus]":
    """The test set, unless it is held out of train; warns if it cannot be read."""
    from s2s_cli.console import warn
    from s2s_cli.data.splits import load_test

    if data.test is None or isinstance(data.test, float):
        return []  # no sentence of a share that is held out is in train
    try:
        return load_test(data)
    except DataError as error:
        warn(f"test was not compared with train: {error}")
        return []


def warn_of_tests_in_train(
    place: "ModelLocation", card: "ModelCard", tests: "Sequence[Corpus]"
) -> None:
    """Warn of a model's test sets likewise, if its run has the pairs that it was trained on."""
    train = _read_fingerprints(place, card)
    if train is not None:
        for test in tests:
            warn_of_leakage(f"test set {test.name}", [test], train)


def _read_fingerprints(place: "ModelLocation", card: "ModelCard") -> "Fingerprints | None":
    """Those of the pairs that a model was trained on; None if the run does not have them."""
    from s2s_cli.data.encoded_corpus import HASHES, read_fingerprints
    from s2s_cli.data.manifest import find_damage, read_manifest

    if place.run is None:
        return None
    manifest = read_manifest(place.run.data_path)
    if isinstance(manifest, str) or find_damage(place.run.data_path, manifest, {*HASHES.values()}):
        return None
    digests = {digest for source in manifest.sources for digest in source.digests}
    if digests != {*card.trained_on.get("train", {}).values()}:
        return None
    return read_fingerprints(place.run.data_path)


SAMPLED_LINES = 500
"""Of a run, from its beginning, whose script is looked at."""


class SourceCheck:
    """Counts, over a run, the source tokens that the model does not know."""

    def __init__(self, loaded: "Loaded", name: str = "") -> None:
        """Begin to count.

        Args:
            loaded: the model, in one direction.
            name: what to call the text, where a command has several.
        """
        self._loaded, self._where = loaded, f"{name}: " if name else ""
        self._num_unknown = self._num_tokens = 0
        self._lines: list[str] = []
        self._entries: set[str] = set()

    def add(self, translations: "Sequence[Translation]") -> None:
        """Count the source tokens of translations."""
        from s2s_cli.checks.coverage import count_unknown
        from s2s_cli.checks.scripts import MAX_CHARACTERS

        sentences = (one.src_tokens for one in translations)
        found = count_unknown(sentences, self._loaded.translator.src.vocabulary)
        self._num_unknown += found.num_unknown
        self._num_tokens += found.num_tokens
        self._entries.update(*(one.candidates[0].dictionary_entries for one in translations))
        room = SAMPLED_LINES - len(self._lines)
        self._lines += [one.source[:MAX_CHARACTERS] for one in translations[:room]]

    def warn(self, ranks: "Ranks | None" = None) -> None:
        """Say so, in one line, if the text is hardly what the model is for.

        Also say how many entries of the dictionary were used, if there is one.

        Args:
            ranks: the processes that share the run, if there are several.
        """
        from s2s_cli.checks.coverage import UnknownTokens
        from s2s_cli.console import say, warn

        counts = self._num_unknown, self._num_tokens
        found = UnknownTokens(*(int(ranks.sum(one)) for one in counts) if ranks else counts)
        script = describe_script(self._lines, self._loaded.card.src_lang)
        if found.is_high:
            warn(
                f"{self._where}{found.share:.0%} of the source tokens ({found.num_unknown:,} of "
                f"{found.num_tokens:,}) are not in the model's vocabulary, so translations are "
                f"mostly guesses{f'; {script}' if script else ''}; use a model of this text's "
                f"language and domain (this one translates from {_languages(self._loaded)})"
            )
        elif script:
            warn(f"{self._where}{script}; use a model of this text's language")
        if dictionary := self._loaded.translator.dictionary:
            used = self._entries
            if ranks:
                parts = ranks.gather("\n".join(used).encode())
                used = {key for part in parts for key in part.decode().split("\n") if key}
            say(f"{self._where}dictionary: {len(used):,} of {len(dictionary):,} entries used")


def describe_script(lines: Iterable[str], lang: str, min_lines: int | None = None) -> str:
    """That lines are not in the script of their language; nothing if they are."""
    from s2s_cli.checks.scripts import MIN_LINES, TextScripts, scripts_of

    text = TextScripts.of(lines)
    if text.fits(lang, MIN_LINES if min_lines is None else min_lines):
        return ""
    wanted = " or ".join(sorted(scripts_of(lang) or ()))
    return f"the text is in {text.main_script()} script, not in that of {lang} ({wanted})"


def describe_unknown(translation: "Translation", loaded: "Loaded") -> str:
    """What the model does not know of a line; nothing if it knows all of it."""
    from s2s_cli.checks.coverage import list_unknown

    unknown = list_unknown(translation.src_tokens, loaded.translator.src.vocabulary)
    script = describe_script([translation.source], loaded.card.src_lang, 1)
    words = f"not in the model's vocabulary: {', '.join(unknown)}" if unknown else ""
    return "; ".join(filter(None, (words, script)))


def _languages(loaded: "Loaded") -> str:
    return ", ".join(dict.fromkeys(src for src, _ in loaded.card.all_directions))
