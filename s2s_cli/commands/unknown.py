"""Warnings of source text that the model does not know."""

from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from s2s_cli.commands.loading import Loaded
    from s2s_cli.decoding.translator import Translation
    from s2s_cli.distributed import Ranks

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
        from s2s_cli.checks.scripts import MAX_CHARACTERS
        from s2s_cli.checks.unknown import count_unknown

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
        from s2s_cli.checks.unknown import UnknownTokens
        from s2s_cli.console import say, warn

        counts = self._num_unknown, self._num_tokens
        found = UnknownTokens(*(int(ranks.total(one)) for one in counts) if ranks else counts)
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
    from s2s_cli.checks.unknown import list_unknown

    unknown = list_unknown(translation.src_tokens, loaded.translator.src.vocabulary)
    script = describe_script([translation.source], loaded.card.src_lang, 1)
    words = f"not in the model's vocabulary: {', '.join(unknown)}" if unknown else ""
    return "; ".join(filter(None, (words, script)))


def _languages(loaded: "Loaded") -> str:
    return ", ".join(dict.fromkeys(src for src, _ in loaded.card.all_directions))
