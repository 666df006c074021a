"""Format translations as lines of output."""

import json
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from s2s_cli.commands.attention_views import NO_VIEWS, AttentionViews
from s2s_cli.errors import ConfigError, DataError
from s2s_cli.text.vocabulary import EOS_ID, MARKERS

if TYPE_CHECKING:
    from s2s_cli.commands.loading import Loaded
    from s2s_cli.decoding.translator import Candidate, Translation


class Rendering(NamedTuple):
    """The format of the output."""

    loaded: "Loaded"
    as_json: bool
    has_links: bool
    """Whether alignments are written as well."""
    views: AttentionViews = NO_VIEWS

    def text(self, translation: "Translation", number: int) -> str:
        """The translation of a line of the input, counted from 0."""
        n_best = self.loaded.decoding.n_best
        if self.as_json:
            cards = (self.loaded.card, *self.loaded.others)
            has_attention = any(card.model.context == "attention" for card in cards)
            return format_json(translation, n_best, has_attention=has_attention)
        return format_translation(translation, number, n_best)

    def links(self, translation: "Translation") -> str:
        """The alignment of a translation, if alignments are written."""
        if not self.has_links:
            return ""
        return format_alignment(self.loaded.translator.align(translation))


def format_alignment(links: list[tuple[int, int]] | None) -> str:
    """Format an alignment as Pharaoh does; that of a blank line is empty.

    Raises:
        ConfigError: the model has no attention.
    """
    from s2s_cli.decoding.unknown_words import format_pharaoh

    if links is None:
        raise ConfigError(
            "--alignments: requires attention, and this model has none; use a model with "
            "model.context attention"
        )
    return f"{format_pharaoh(links)}\n"


def format_translation(translation: "Translation", number: int, n_best: int) -> str:
    """Format a translation as one line; with `n_best` above 1, as that many in Moses' format."""
    if n_best == 1:
        return f"{translation.text}\n"
    return "".join(
        f"{number} ||| {candidate.text} ||| {candidate.score:.4f}\n"
        for candidate in fill_candidates(translation, n_best)
    )


def format_json(translation: "Translation", n_best: int, *, has_attention: bool) -> str:
    """Format a translation as one line of JSON (docs/output.md); all lines have the same fields.

    Args:
        translation: of a line of input, which may be blank.
        n_best: number of candidates.
        has_attention: whether the model has attention.
    """
    best, *others = (
        _describe(candidate, has_attention=has_attention)
        for candidate in fill_candidates(translation, n_best)
    )
    found = {
        "source": translation.source,
        "source_tokens": [*translation.src_tokens, MARKERS[EOS_ID]],
        **best,
        "alternatives": others,
    }
    return json.dumps(found, ensure_ascii=False) + "\n"


def fill_candidates(translation: "Translation", n_best: int) -> list["Candidate"]:
    """Exactly `n_best` candidates: the last is repeated if the search found fewer.

    It finds one for a blank line, and fewer if a prefix or the length limit allows only few.
    """
    found = translation.candidates
    return [*found, *[found[-1]] * (n_best - len(found))]


def _describe(candidate: "Candidate", *, has_attention: bool) -> dict[str, object]:
    weights = candidate.attention_weights or []
    rounded = [[round(weight, 4) for weight in row] for row in weights]
    return {
        "translation": candidate.text,
        "score": candidate.score,
        "log_prob": candidate.log_prob,
        "tokens": candidate.tokens,
        "attention": rounded if has_attention else None,
    }


class Prefixes(NamedTuple):
    """The prefixes of the translations."""

    text: str
    """The same prefix for every line; may be empty."""
    lines: list[str] | None
    """A prefix for each line, instead of `text`."""
    path: Path | None
    """The file of `lines`."""

    def of(self, first: int, count: int) -> list[str]:
        """The prefixes of `count` lines of the input, from line `first`, counted from 0.

        Raises:
            DataError: there are more lines than prefixes.
        """
        if self.lines is None:
            return [self.text] * count
        if first + count > len(self.lines):
            raise DataError(
                f"{self.path}: has {len(self.lines)} lines, and the input has more; "
                "give each line a prefix, which may be blank"
            )
        return self.lines[first : first + count]

    def check_used(self, count: int) -> None:
        """Check that the input, which has `count` lines, used all prefixes.

        Raises:
            DataError: there were fewer lines than prefixes.
        """
        if self.lines is not None and count < len(self.lines):
            raise DataError(
                f"{self.path}: has {len(self.lines)} lines, the input only {count}; "
                "give each line one prefix"
            )


def read_prefixes(text: str | None, path: Path | None) -> Prefixes:
    """Read `--prefix` and `--prefix-file`.

    Raises:
        ConfigError: the text has several lines.
        DataError: the file cannot be read.
    """
    from s2s_cli.data.lines import read_lines

    if text is not None and "\n" in text:
        raise ConfigError("--prefix: has a line break; give one line")
    return Prefixes(text or "", None if path is None else read_lines(path), path)
