"""A user's dictionary: what to say for words that the model does not know."""

from pathlib import Path

from s2s_cli.data.corpus import read_lines
from s2s_cli.errors import DataError


def read_dictionary(path: Path) -> dict[str, str]:
    """Read lines of `source TAB target`; the source is one word.

    In text without spaces it is whatever some tokens spell.

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
        if source in entries:
            raise DataError(f"{path}:{number}: {source!r} stands here twice; keep one translation")
        entries[source] = target
    return entries
