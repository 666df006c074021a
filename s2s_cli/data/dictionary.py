"""A user's dictionary: what to say for words that the model does not know."""

from pathlib import Path

from s2s_cli.data.lines import read_lines
from s2s_cli.errors import DataError


def read_dictionary(path: Path, lowercase: bool = False) -> dict[str, str]:
    """Read lines of `source TAB target`; the source is one word.

    In text without spaces it is whatever some tokens spell.

    Args:
        path: the file.
        lowercase: whether sources are lower-cased, as the model's text is; targets never are.

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
        if lowercase:
            source = source.lower()
        if source in entries:
            case = " (in the lower case of the model's text)" if lowercase else ""
            raise DataError(
                f"{path}:{number}: {source!r} stands here twice{case}; keep one translation"
            )
        entries[source] = target
    return entries
