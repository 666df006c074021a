"""Warnings about the data: too few pairs, low coverage, leaked test pairs, wrong scripts."""

from collections.abc import Iterable, Mapping, Sequence
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from s2s_cli.checkpoint import ModelCard
    from s2s_cli.commands.loading import Loaded, ModelLocation
    from s2s_cli.config import Config
    from s2s_cli.data.dataset import Dataset
    from s2s_cli.data.fingerprints import Fingerprints
    from s2s_cli.data.pairs import ParallelText, Row
    from s2s_cli.decoding.translator import Translation
    from s2s_cli.parallel import Ranks


ADVICE = {
    "train": "a model learns little from so few; add text, or fine-tune a trained model (--from)",
    "valid": "scores on so few pairs are mostly chance; use more (data.valid)",
}


def warn_of_amounts(config: "Config", datasets: "Mapping[str, Dataset]") -> None:
    """Warn of splits with too few pairs, and of sides with low vocabulary coverage."""
    from s2s_cli.checks.coverage import MIN_COVERAGE, MIN_PAIRS, find_few_pairs, find_low_coverage
    from s2s_cli.console import warn
    from s2s_cli.vocabularies import name_sides

    counts = {name: datasets[name].manifest.counts for name in ("train", "valid")}
    num_pairs = {name: found.pairs for name, found in counts.items()}
    for split in find_few_pairs(num_pairs):
        warn(
            f"{split}: {num_pairs[split]:,} pairs, fewer than {MIN_PAIRS[split]:,}: {ADVICE[split]}"
        )
    advice = (
        "raise vocab.max_size, lower vocab.min_freq, or use subwords (text.src_subword, "
        "text.tgt_subword)"
    )
    if config.training.init_from is not None:
        advice = f"{config.training.init_from} was trained on other text; train without --from"
    src, tgt = name_sides(config.data.languages)
    sides = [
        (f"{split} {lang}", number, 1 - num_unknown / max(1, number))
        for split, found in counts.items()
        for lang, number, num_unknown in (
            (src, found.src_tokens, found.src_unknown),
            (tgt, found.tgt_tokens, found.tgt_unknown),
        )
    ]
    for label, share in find_low_coverage(sides):
        warn(
            f"{label}: the vocabulary covers {share:.1%} of the tokens, less than "
            f"{MIN_COVERAGE:.0%}; {advice}"
        )


def warn_of_leaked_splits(datasets: "Mapping[str, Dataset]") -> None:
    """Warn of validation and test pairs that also occur in train."""
    train = datasets["train"].fingerprints
    for name in ("valid", "test"):
        if name in datasets:
            warn_of_leakage(name, datasets[name].all_rows(), train)


def warn_of_leakage(name: str, rows: "Iterable[Row]", train: "Fingerprints") -> None:
    """Warn if source sentences of a split also occur in train, with their count."""
    from s2s_cli.checks.leakage import count_leaks
    from s2s_cli.console import warn

    num_rows, num_sources, num_pairs = count_leaks(rows, train)
    if num_sources:
        warn(
            f"{name}: {num_sources:,} of {num_rows:,} source sentences also occur in "
            f"train, {num_pairs:,} of them with the same translation, which makes scores "
            "look better than they are; remove them from train"
        )


def warn_of_tests_in_train(
    location: "ModelLocation", card: "ModelCard", tests: "Sequence[ParallelText]"
) -> None:
    """Warn of test pairs that occur in train, if the run of the model still has its dataset."""
    train = _read_fingerprints(location, card)
    if train is not None:
        for test in tests:
            warn_of_leakage(f"test set {test.name}", test.pairs, train)


def _read_fingerprints(location: "ModelLocation", card: "ModelCard") -> "Fingerprints | None":
    """Read the fingerprints of a model's training pairs; None if its run does not have them."""
    from s2s_cli.data.dataset import HASHES, read_fingerprints
    from s2s_cli.data.manifest import find_damage, read_manifest

    if location.run is None:
        return None
    folder = location.run.data_path / "train"
    manifest = read_manifest(folder)
    if isinstance(manifest, str) or find_damage(folder, manifest, {*HASHES.values()}):
        return None
    if {*manifest.origin.values()} != {*card.trained_on.get("train", {}).values()}:
        return None
    return read_fingerprints(folder)


SAMPLED_LINES = 500
"""Number of lines, from the start of a text, whose script is checked."""


class SourceCheck:
    """Counts the source tokens of a text that the model does not know."""

    def __init__(self, loaded: "Loaded", name: str = "") -> None:
        """Start with no tokens.

        Args:
            loaded: the model, in one direction.
            name: name of the text for messages, if a command reads several texts.
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
        num_unknown, num_tokens = count_unknown(sentences, self._loaded.translator.src.vocabulary)
        self._num_unknown += num_unknown
        self._num_tokens += num_tokens
        self._entries.update(*(one.candidates[0].dictionary_entries for one in translations))
        num_missing = SAMPLED_LINES - len(self._lines)
        self._lines += [one.source[:MAX_CHARACTERS] for one in translations[:num_missing]]

    def warn(self, ranks: "Ranks | None" = None) -> None:
        """Warn in one line if the text seems to have another language or domain than the model.

        Also report how many entries of the dictionary were used, if there is one.

        Args:
            ranks: the processes that share the text, if there are several.
        """
        from s2s_cli.checks.coverage import MAX_UNKNOWN
        from s2s_cli.console import say, warn

        num_unknown, num_tokens = self._num_unknown, self._num_tokens
        if ranks:
            num_unknown, num_tokens = int(ranks.sum(num_unknown)), int(ranks.sum(num_tokens))
        share = num_unknown / num_tokens if num_tokens else 0.0
        script = describe_script(self._lines, self._loaded.card.src_lang)
        if share > MAX_UNKNOWN:
            warn(
                f"{self._where}{share:.0%} of the source tokens ({num_unknown:,} of "
                f"{num_tokens:,}) are not in the model's vocabulary, so translations are "
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
    """Describe the script of lines if it is not that of their language; empty if it is."""
    from s2s_cli.checks.scripts import (
        MIN_LINES,
        count_letters_by_line,
        fits_language,
        main_script,
        scripts_of,
    )

    text = count_letters_by_line(lines)
    if fits_language(text, lang, MIN_LINES if min_lines is None else min_lines):
        return ""
    expected = " or ".join(sorted(scripts_of(lang) or ()))
    return f"the text is in {main_script(text)} script, not in that of {lang} ({expected})"


def describe_unknown(translation: "Translation", loaded: "Loaded") -> str:
    """Describe the parts of a line that the model does not know; empty if it knows all."""
    from s2s_cli.checks.coverage import list_unknown

    unknown = list_unknown(translation.src_tokens, loaded.translator.src.vocabulary)
    script = describe_script([translation.source], loaded.card.src_lang, 1)
    words = f"not in the model's vocabulary: {', '.join(unknown)}" if unknown else ""
    return "; ".join(filter(None, (words, script)))


def _languages(loaded: "Loaded") -> str:
    return ", ".join(dict.fromkeys(src for src, _ in loaded.card.all_directions))
