"""What each word of a translation looked at: drawn in the terminal, or written to a page."""

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from s2s_cli.errors import ConfigError
from s2s_cli.text.spacing import MARKS
from s2s_cli.text.vocabulary import EOS_ID, MARKERS

if TYPE_CHECKING:
    from s2s_cli.commands.loading import Loaded
    from s2s_cli.decoding.translator import Translation

SHADES = (" ", "░", "▒", "▓", "█")
"""For weights from 0 to 1."""

MAX_SENTENCES = {".html": 1000, ".svg": 50}
"""Sentences on a page and in a picture; those after them are left out."""

CELL, GAP, LETTER = 24, 8, 9
"""Sizes in an SVG picture, in pixels: a cell, the space around labels, and a letter."""


class Grid(NamedTuple):
    """The attention of a sentence."""

    line: int
    """Counted from 1."""
    source: str
    translation: str
    columns: list[str]
    """Source tokens, with the end mark."""
    rows: list[str]
    """Tokens of the translation."""
    weights: list[list[float]]


def readable(tokens: Sequence[str]) -> list[str]:
    """Tokens without the marks for spaces, which people need not know; `▁` stays."""
    unmarked = ["".join(part for part in token if part not in MARKS) for token in tokens]
    # A token may be nothing else than a mark.
    return [new or old for new, old in zip(unmarked, tokens, strict=True)]


def make_grid(translation: "Translation", line: int) -> Grid | None:
    """The attention of the best translation; None if it has none, as a blank line."""
    best = translation.candidates[0]
    if not best.tokens or best.attention_weights is None:
        return None
    columns = readable([*translation.src_tokens, MARKERS[EOS_ID]])
    rows = readable(best.tokens)
    return Grid(line, translation.source, best.text, columns, rows, best.attention_weights)


def draw(grid: Grid, width: int) -> str:
    """Draw a grid with a row for each token of the translation, in blocks that fit the width.

    Args:
        grid: the attention.
        width: of the terminal, in columns.
    """
    from s2s_cli.console import printable

    rows, columns = ([printable(token) for token in side] for side in (grid.rows, grid.columns))
    label = max(map(_width_of, rows))
    lines = []
    for first, last in _split_columns(columns, width - label - 2):
        sizes = [max(2, _width_of(token)) for token in columns[first:last]]
        head = " ".join(map(_pad, columns[first:last], sizes))
        lines.append(f"{' ' * label}  {head}".rstrip())
        for row, weights in zip(rows, grid.weights, strict=True):
            cells = " ".join(
                shade(weight) * 2 + " " * (size - 2)
                for weight, size in zip(weights[first:last], sizes, strict=True)
            )
            lines.append(f"{_pad(row, label)}  {cells}".rstrip())
        lines.append("")
    return "\n".join(lines[:-1])


def _split_columns(columns: Sequence[str], width: int) -> list[tuple[int, int]]:
    """Ranges of columns that fit into the width, with at least one column each."""
    ranges, first, used = [], 0, 0
    for place, token in enumerate(columns):
        size = max(2, _width_of(token)) + 1
        if place > first and used + size > width + 1:
            ranges.append((first, place))
            first, used = place, 0
        used += size
    return [*ranges, (first, len(columns))]


def _width_of(text: str) -> int:
    """Columns of a terminal that a text takes; a Chinese character takes two."""
    from rich.cells import cell_len

    return cell_len(text)


def _pad(text: str, width: int) -> str:
    """Fill with spaces to a number of columns."""
    return text + " " * (width - _width_of(text))


def shade(weight: float) -> str:
    """The block for a weight from 0 to 1; the lightest one stands for 0.1 and more."""
    return SHADES[min(len(SHADES) - 1, int((weight + 0.15) * 4))]


class AttentionViews:
    """Shows the attention of translations as they are made, and writes a page at the end."""

    def __init__(self, *, is_shown: bool, path: Path | None) -> None:
        """Prepare; nothing is written yet.

        Args:
            is_shown: whether to draw each sentence on stderr.
            path: of the page, an `.html` or `.svg` file, if there is one.

        Raises:
            ConfigError: the file's name has another ending.
        """
        if path is not None and path.suffix not in MAX_SENTENCES:
            raise ConfigError(f"--attention-file {path}: name a file *.html or *.svg")
        self.is_shown = is_shown
        self.path = path
        self._grids: list[Grid] = []
        self._num_left_out = 0

    def check(self, loaded: "Loaded") -> None:
        """Refuse a model, or an ensemble, without attention, if attention is shown.

        Raises:
            ConfigError: it has none.
        """
        cards = (loaded.card, *loaded.others)
        is_used = self.is_shown or self.path is not None
        if is_used and all(card.model.context != "attention" for card in cards):
            raise ConfigError(
                "--attention, --attention-file: this model has no attention; use one with "
                "model.context attention"
            )

    def add(self, translation: "Translation", number: int) -> None:
        """Show a translation of a line, counted from 0."""
        from s2s_cli.console import make_console, say

        if not self.is_shown and self.path is None:
            return
        grid = make_grid(translation, number + 1)
        if grid is None:
            return
        if self.is_shown:
            say(draw(grid, make_console().width))
            say("")
        if self.path is not None and len(self._grids) < MAX_SENTENCES[self.path.suffix]:
            self._grids.append(grid)
        elif self.path is not None:
            self._num_left_out += 1

    def write(self) -> None:
        """Write the page, if there is one."""
        from s2s_cli.console import warn
        from s2s_cli.pages.render import render
        from s2s_cli.storage.atomic import write_file

        if self.path is None:
            return
        if not self._grids:
            warn(f"{self.path}: is empty, because nothing was translated")
        if self._num_left_out:
            warn(
                f"{self.path}: has the first {len(self._grids):,} sentences only; left out: "
                f"{self._num_left_out:,}"
            )
        if self.path.suffix == ".html":
            sentences = [
                {**grid._asdict(), "percents": format_weights(grid.weights)} for grid in self._grids
            ]
            page = render("attention.html", title="Attention", sentences=sentences)
        else:
            page = render("heatmaps.svg", **_lay_out(self._grids))
        write_file(self.path, page)


NO_VIEWS = AttentionViews(is_shown=False, path=None)
"""Shows nothing."""


def format_weights(weights: Sequence[Sequence[float]]) -> str:
    """Weights in per cent, at most 99: columns separated by commas, rows by semicolons."""
    rows = ([str(min(99, round(100 * weight))) for weight in row] for row in weights)
    return ";".join(",".join(row) for row in rows)


def _lay_out(grids: Sequence[Grid]) -> dict[str, object]:
    """Positions of the heat maps in a picture, in pixels."""
    placed, top, width = [], GAP, 0
    for grid in grids:
        left = GAP * 2 + LETTER * max(map(_width_of, grid.rows))
        head = GAP * 2 + LETTER * max(map(_width_of, grid.columns))
        placed.append({**grid._asdict(), "left": left, "top": top + head})
        top += head + CELL * len(grid.rows) + 3 * GAP
        width = max(width, left + CELL * len(grid.columns) + GAP)
    return {"grids": placed, "width": width, "height": top, "cell": CELL, "gap": GAP}
