"""A user's dictionary: translations of words that the model does not know."""

from collections.abc import Callable
from pathlib import Path

from s2s_cli.data.lines import read_lines
from s2s_cli.errors import DataError


def read_dictionary(path: Path, normalize: Callable[[str], str] = str) -> dict[str, str]:
    """Read lines of `source TAB target`, where the source is one word without spaces.

    In languages without spaces, a source may be several tokens of the model.

    Args:
        path: the file.
        normalize: normalises text for the model; applied to sources, but not to targets.

    Raises:
        DataError: the file cannot be read, a line is malformed, or two lines have the same source.
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
                "one by one, so name a single word"
            )
        word = normalize(source)
        if word in entries:
            spelling = f" (as the model reads {source!r})" if word != source else ""
            raise DataError(
                f"{path}:{number}: {word!r}{spelling} is already in the dictionary; "
                "keep one translation"
            )
        entries[word] = target
    return entries
