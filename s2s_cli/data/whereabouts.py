"""Where in the text of train some of its pairs stand: sought when they have to be named."""

from collections.abc import Collection, Iterator

from s2s_cli.data.sentence_pairs import Row, SentencePairs
from s2s_cli.data.splits import TrainingText


def locate_pairs(text: TrainingText, places: Collection[int]) -> list[str]:
    """File and line of some pairs, and their sentences.

    The text is read as far as the last of them.

    Args:
        text: of train.
        places: of the pairs among all that their source takes and that are not held out.

    Raises:
        DataError: the text is malformed.
    """
    wanted, found = set(places), list[str]()
    for place, (source, number, row) in enumerate(_training_rows(text)):
        if place in wanted:
            found.append(f"{_name_line(source, number)}: {row[0]} -> {row[1]}")
        if len(found) == len(wanted):
            break
    return found


def _training_rows(text: TrainingText) -> Iterator[tuple[SentencePairs, int, Row]]:
    """The pairs to train on: their source, the number of their row in it, and they themselves."""
    deal = text.deal()
    for number, source in enumerate(text.sources):
        sides = iter(deal.sides[number].tolist()) if deal else None
        for row_number, row in enumerate(source.stream([]), start=1):
            if not source.takes(row):
                continue
            if deal is None or sides is None or deal.names[next(sides)] == "train":
                yield source, row_number, row


def _name_line(source: SentencePairs, number: int) -> str:
    """In files whose lines belong together a row is a line."""
    if len(source.files) > 1:
        return f"{source.files[0]}:{number}"
    return f"{source.files[0] if source.files else source.name}, row {number}"
