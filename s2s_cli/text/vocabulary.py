"""The tokens that a model knows, and their ids."""

import re
from collections import Counter
from collections.abc import Iterable, Sequence

from s2s_cli.errors import ConfigError, DataError

UNK_ID, PAD_ID, BOS_ID, EOS_ID = range(4)
MARKERS = ("<unk>", "<pad>", "<sos>", "<eos>")

_TAG = re.compile(r"<2[a-z]{2,3}(_[A-Za-z0-9]+)*>")


def make_tag(lang: str) -> str:
    """The entry that asks for translations into a language: `<2de>`."""
    return f"<2{lang}>"


class Vocabulary:
    """A two-way table between tokens and contiguous ids; ids 0 to 3 are the markers.

    Behind them stand the tags of target languages, where a model has several directions.

    The spelling of a marker or a tag that occurs in text is text like any other: it is unknown,
    never control.
    """

    def __init__(
        self, tokens: Sequence[str], counts: Sequence[int], tags: Sequence[str] = ()
    ) -> None:
        """Number `tokens` (without markers and tags) in the given order, from 4 on or behind tags.

        Args:
            tokens: all that text can be made of.
            counts: how often each of them occurs in the training text.
            tags: of target languages, as `make_tag` spells them.
        """
        self.tags = tuple(tags)
        self.tokens = (*MARKERS, *tags, *tokens)
        self.counts = (0,) * self.num_control + tuple(counts)
        self._ids = {token: i for i, token in enumerate(tokens, start=self.num_control)}

    @classmethod
    def build(
        cls, frequencies: Counter[str], max_size: int, min_freq: int, tags: Sequence[str] = ()
    ) -> "Vocabulary":
        """Keep the most frequent tokens; ties are broken by code point, alike on every machine.

        Args:
            frequencies: how often each token occurs in the training text.
            max_size: most entries, the four markers and the tags included.
            min_freq: rarer tokens are left out.
            tags: of target languages.
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
        """Entries before the first that text can be made of: markers and tags."""
        return len(MARKERS) + len(self.tags)

    @property
    def tag_ids(self) -> range:
        """Ids of the tags."""
        return range(len(MARKERS), self.num_control)

    def encode_tag(self, lang: str) -> list[int]:
        """What stands before a source that is to be translated into `lang`; nothing without tags.

        Raises:
            ConfigError: there are tags, but none of this language.
        """
        if not self.tags:
            return []
        tag = make_tag(lang)
        if tag not in self.tags:
            raise ConfigError(
                f"{lang}: the vocabulary has no tag of it, only {', '.join(self.tags)}"
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
        """Read what `to_tsv` wrote; what is spelled as a tag right behind the markers is one.

        No text can be mistaken for a tag there: what text is made of stands in the order of its
        frequency, and tags are counted 0 times.

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
        first = len(MARKERS)
        while first < len(tokens) and counts[first] == 0 and _TAG.fullmatch(tokens[first]):
            first += 1
        vocabulary = cls(tokens[first:], counts[first:], tokens[len(MARKERS) : first])
        if len(vocabulary._ids) != len(tokens) - first or _has_twice(vocabulary.tags):
            twice = next(token for token, n in Counter(tokens).items() if n > 1)
            raise DataError(f"{where}: the token {twice!r} stands twice; ids must be unique")
        return vocabulary


def _has_twice(tokens: Sequence[str]) -> bool:
    return len({*tokens}) < len(tokens)
