"""Translations as lines of output."""

import json
from typing import TYPE_CHECKING, NamedTuple

from s2s_cli.errors import ConfigError

if TYPE_CHECKING:
    from s2s_cli.commands.loading import Loaded
    from s2s_cli.decoding.translator import Translation


class Rendering(NamedTuple):
    """In which form translations are written."""

    loaded: "Loaded"
    as_json: bool
    has_links: bool
    """Whether alignments are written as well."""

    def text(self, translation: "Translation", number: int) -> str:
        """The translation of a line of the input, counted from 0."""
        return format_translation(
            translation, number, self.loaded.decoding.n_best, as_json=self.as_json
        )

    def links(self, translation: "Translation") -> str:
        """Its alignment, if one is asked for."""
        if not self.has_links:
            return ""
        return format_alignment(self.loaded.translator.align(translation))


def format_alignment(links: list[tuple[int, int]] | None) -> str:
    """Links of a translation, in Pharaoh's format; a blank line has none.

    Raises:
        ConfigError: the model has no attention.
    """
    from s2s_cli.decoding.alignment import format_pharaoh

    if links is None:
        raise ConfigError(
            "--alignments: come from attention, and this model has none; name one with "
            "model.context attention"
        )
    return f"{format_pharaoh(links)}\n"


def format_translation(translation: "Translation", number: int, n_best: int, as_json: bool) -> str:
    """One line of output; with `n_best` above 1, that many in Moses' format."""
    if as_json:
        return json.dumps(_as_dict(translation), ensure_ascii=False) + "\n"
    if n_best == 1:
        return f"{translation.text}\n"
    return "".join(
        f"{number} ||| {candidate.text} ||| {candidate.score:.4f}\n"
        for candidate in translation.candidates
    )


def _as_dict(translation: "Translation") -> dict[str, object]:
    best, *others = translation.candidates
    found: dict[str, object] = {
        "source": translation.source,
        "translation": best.text,
        "score": best.score,
        "log_prob": best.log_prob,
        "source_tokens": translation.src_tokens,
        "tokens": best.tokens,
        "alternatives": [
            {"translation": other.text, "score": other.score, "tokens": other.tokens}
            for other in others
        ],
    }
    if best.weights is not None:
        found["attention"] = [[round(weight, 4) for weight in row] for row in best.weights]
    return found
