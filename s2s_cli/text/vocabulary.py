"""The tokens that a model knows, and their ids."""

from collections import Counter
from collections.abc import Iterable, Sequence

from s2s_cli.errors import DataError

UNK_ID, PAD_ID, BOS_ID, EOS_ID = range(4)
MARKERS = ("<unk>", "<pad>", "<sos>", "<eos>")


class Vocabulary:
    """A two-way table between tokens and contiguous ids; ids 0 to 3 are the markers.

    A marker's spelling that occurs in text is text like any other: it is unknown, never control.
    """

    def __init__(self, tokens: Sequence[str], counts: Sequence[int]) -> None:
        """Number `tokens` (without the markers) from 4 on, in the given order."""
        self.tokens = (*MARKERS, *tokens)
        self.counts = (0,) * len(MARKERS) + tuple(counts)
        self._ids = {token: i for i, token in enumerate(tokens, start=len(MARKERS))}

    @classmethod
    def build(cls, frequencies: Counter[str], max_size: int, min_freq: int) -> "Vocabulary":
        """Keep the most frequent tokens; ties are broken by code point, alike on every machine.

        Args:
            frequencies: how often each token occurs in the training text.
            max_size: most entries, the four markers included.
            min_freq: rarer tokens are left out.
        """
        kept = [
            (token, count)
            for token, count in frequencies.items()
            if count >= min_freq and token not in MARKERS
        ]
        kept.sort(key=lambda entry: (-entry[1], entry[0]))
        kept = kept[: max_size - len(MARKERS)]
        return cls([token for token, _ in kept], [count for _, count in kept])

    def __len__(self) -> int:
        return len(self.tokens)

    def __contains__(self, token: str) -> bool:
        return token in self._ids

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Vocabulary) and self.to_tsv() == other.to_tsv()

    def __hash__(self) -> int:
        return hash(self.tokens)

    def encode(self, tokens: Iterable[str]) -> list[int]:
        """Ids of the tokens, `UNK_ID` for the unknown."""
        return [self._ids.get(token, UNK_ID) for token in tokens]

    def decode(self, token_ids: Iterable[int]) -> list[str]:
        """Tokens of the ids, the markers by their spelling."""
        return [self.tokens[token_id] for token_id in token_ids]

    def coverage(self, frequencies: Counter[str]) -> float:
        """Share of running tokens, 0 to 1, that the vocabulary knows."""
        total = frequencies.total()
        known = sum(count for token, count in frequencies.items() if token in self)
        return known / total if total else 0.0

    def to_tsv(self) -> str:
        """`token TAB count` lines in id order."""
        rows = zip(self.tokens, self.counts, strict=True)
        return "".join(f"{token}\t{count}\n" for token, count in rows)

    @classmethod
    def from_tsv(cls, text: str, where: str) -> "Vocabulary":
        """Read what `to_tsv` wrote.

        Raises:
            DataError: a line is not `token TAB count`, a token stands twice, or the first four
                are not the markers.
        """
        tokens: list[str] = []
        counts: list[int] = []
        for number, line in enumerate(text.removesuffix("\n").split("\n"), start=1):
            token, tab, count = line.partition("\t")
            if not (token and tab and count.isascii() and count.isdigit()):
                raise DataError(f"{where}:{number}: expected `token TAB count`, found {line!r}")
            tokens.append(token)
            counts.append(int(count))
        if tuple(tokens[: len(MARKERS)]) != MARKERS:
            raise DataError(f"{where}: the first four tokens must be {' '.join(MARKERS)}")
        vocabulary = cls(tokens[len(MARKERS) :], counts[len(MARKERS) :])
        if len(vocabulary._ids) != len(tokens) - len(MARKERS):
            twice = next(token for token, n in Counter(tokens).items() if n > 1)
            raise DataError(f"{where}: the token {twice!r} stands twice; ids must be unique")
        return vocabulary
