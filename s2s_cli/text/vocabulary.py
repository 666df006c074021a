"""The tokens that a model knows, and their ids."""

import re
from collections import Counter
from collections.abc import Iterable, Sequence

from s2s_cli.errors import ConfigError, DataError

UNK_ID, PAD_ID, BOS_ID, EOS_ID = range(4)
MARKERS = ("<unk>", "<pad>", "<sos>", "<eos>")

_TAG = re.compile(r"<2[a-z]{2,3}(_[A-Za-z0-9]+)*>")


def make_tag(lang: str) -> str:
    """Return the tag that asks for a translation into a language: `<2de>`."""
    return f"<2{lang}>"


class Vocabulary:
    """Maps tokens to ids and back. Ids 0 to 3 are the markers.

    In a model of several directions the tags of the target languages follow, then the tokens. A
    marker or tag that occurs in text is ordinary text: it is unknown, and never has an effect.
    """

    def __init__(
        self, tokens: Sequence[str], counts: Sequence[int], tags: Sequence[str] = ()
    ) -> None:
        """Number markers, tags and tokens, in this order.

        Args:
            tokens: without markers and tags.
            counts: frequency of each token in the training text.
            tags: from `make_tag`.
        """
        self.tags = tuple(tags)
        self.tokens = (*MARKERS, *tags, *tokens)
        self.counts = (0,) * self.num_control + tuple(counts)
        self._ids = {token: i for i, token in enumerate(tokens, start=self.num_control)}

    @classmethod
    def build(
        cls, frequencies: Counter[str], max_size: int, min_freq: int, tags: Sequence[str] = ()
    ) -> "Vocabulary":
        """Keep the most frequent tokens; equally frequent ones are ordered by code point.

        Args:
            frequencies: frequency of each token in the training text.
            max_size: maximum number of entries, including the four markers and the tags.
            min_freq: minimum frequency of a token.
            tags: from `make_tag`.
        """
        control = {*MARKERS, *tags}
        kept = [
            (token, count)
            for token, count in frequencies.items()
            if count >= min_freq and token not in control
        ]
        kept.sort(key=lambda entry: (-entry[1], entry[0]))
        kept = kept[: max_size - len(control)]
        return cls([token for token, _ in kept], [count for _, count in kept], tags)

    @property
    def num_control(self) -> int:
        """Number of markers and tags, which come before the tokens."""
        return len(MARKERS) + len(self.tags)

    @property
    def tag_ids(self) -> range:
        """Ids of the tags."""
        return range(len(MARKERS), self.num_control)

    def encode_tag(self, lang: str) -> list[int]:
        """Return the ids to put before a source sentence; none if there are no tags.

        Raises:
            ConfigError: there are tags, but none for this language.
        """
        if not self.tags:
            return []
        tag = make_tag(lang)
        if tag not in self.tags:
            raise ConfigError(
                f"{lang}: the vocabulary has no tag for this language, only {', '.join(self.tags)}"
            )
        return [self.tag_ids[self.tags.index(tag)]]

    def __len__(self) -> int:
        return len(self.tokens)

    def __contains__(self, token: str) -> bool:
        return token in self._ids

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, Vocabulary):
            return False
        return self.tags == other.tags and self.to_tsv() == other.to_tsv()

    def __hash__(self) -> int:
        return hash(self.tokens)

    def encode(self, tokens: Iterable[str]) -> list[int]:
        """Return the ids of tokens, `UNK_ID` for unknown ones."""
        return [self._ids.get(token, UNK_ID) for token in tokens]

    def decode(self, token_ids: Iterable[int]) -> list[str]:
        """Return the tokens of ids, including markers."""
        return [self.tokens[token_id] for token_id in token_ids]

    def coverage(self, frequencies: Counter[str]) -> float:
        """Return the share of running tokens, 0 to 1, that the vocabulary contains."""
        total = frequencies.total()
        known = sum(count for token, count in frequencies.items() if token in self)
        return known / total if total else 0.0

    def to_tsv(self) -> str:
        """Format as lines `token TAB count` in the order of ids."""
        rows = zip(self.tokens, self.counts, strict=True)
        return "".join(f"{token}\t{count}\n" for token, count in rows)

    @classmethod
    def from_tsv(cls, text: str, where: str) -> "Vocabulary":
        """Parse what `to_tsv` wrote.

        Entries after the markers that look like tags and have count 0 are tags. A token cannot be
        mistaken for one: tokens are ordered by frequency, and the first has a count above 0.

        Args:
            text: the lines.
            where: name of the file in messages.

        Raises:
            DataError: a line is not `token TAB count`, a token occurs twice, or the first four
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
            raise DataError(
                f"{where}: the first four tokens must be {' '.join(MARKERS)}; restore the file "
                "from a copy"
            )
        first = len(MARKERS)
        while first < len(tokens) and counts[first] == 0 and _TAG.fullmatch(tokens[first]):
            first += 1
        vocabulary = cls(tokens[first:], counts[first:], tokens[len(MARKERS) : first])
        if len(vocabulary._ids) != len(tokens) - first or _has_duplicates(vocabulary.tags):
            twice = next(token for token, n in Counter(tokens).items() if n > 1)
            raise DataError(
                f"{where}: the token {twice!r} occurs twice; restore the file from a copy"
            )
        return vocabulary


def _has_duplicates(tokens: Sequence[str]) -> bool:
    return len({*tokens}) < len(tokens)
