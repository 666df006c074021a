"""A user's dictionary: what to say for words that the model does not know."""

from collections.abc import Callable
from pathlib import Path

from s2s_cli.data.lines import read_lines
from s2s_cli.errors import DataError


def read_dictionary(path: Path, normalize: Callable[[str], str] = str) -> dict[str, str]:
    """Read lines of `source TAB target`; the source is one word.

    In text without spaces it is whatever some tokens spell.

    Args:
        path: the file.
        normalize: what the model's text goes through; sources do, too, targets do not.

    Raises:
        DataError: the file cannot be read, or a line is malformed or says a source word anew.
    """
    entries: dict[str, str] = {}
    for number, line in enumerate(read_lines(path), start=1):
        fields = [field.strip() for field in line.split("\t")]
        if len(fields) != 2 or not all(fields):
            raise DataError(
                f"{path}:{number}: expected `source TAB target`, found {line!r}; put one TAB "
                "between a word and its translation"
            )
        source, target = fields
        if len(source.split()) > 1:
            raise DataError(
                f"{path}:{number}: {source!r} is more than one word; unknown words are looked up "
                "one by one"
            )
        word = normalize(source)
        if word in entries:
            as_read = f" (the model reads {source!r} so)" if word != source else ""
            raise DataError(
                f"{path}:{number}: {word!r} stands here twice{as_read}; keep one translation"
            )
        entries[word] = target
    return entries
