"""What is left of the training pairs to train on, and what is held out of them."""

from collections.abc import Collection, Iterator
from dataclasses import dataclass, field
from typing import NamedTuple

from s2s_cli.data.corpus import Corpus, PairDigest
from s2s_cli.data.sentence_pairs import Findings, Row, SentencePairs
from s2s_cli.data.shares import Deal
from s2s_cli.errors import DataError


@dataclass
class Part:
    """One side's pairs of one source."""

    digest: PairDigest = field(default_factory=PairDigest)
    num_pairs: int = 0
    rows: list[Row] = field(default_factory=list)
    """All of them, if they are to be kept."""


class LeftOut(NamedTuple):
    """How many rows a reading has left out, and why."""

    blank: int
    """A side, or both, was blank."""
    not_utf8: int
    """Bytes were not UTF-8."""


class Parts:
    """The pairs of train, read once; what came by is known when the last of them was given."""

    def __init__(self, sources: list[SentencePairs], deal: Deal | None) -> None:
        """Begin to read.

        Args:
            sources: of train.
            deal: which pair is on which side; all are to train on if None.
        """
        self.sources = sources
        self.names = deal.names if deal else ("train",)
        self.findings = [Findings() for _ in sources]
        self._deal = deal
        self._parts = {name: [Part() for _ in sources] for name in self.names}

    def read(self, keep: Collection[str] = ()) -> Iterator[tuple[int, str, str]]:
        """The pairs to train on, each behind the number of its source.

        Args:
            keep: parts whose pairs are kept in memory.

        Raises:
            DataError: the text is malformed, or changed since the pairs were dealt.
        """
        for number, source in enumerate(self.sources):
            if self._deal is None:
                part = self._parts["train"][number]
                for row in source.read(self.findings[number]):
                    part.num_pairs += 1
                    yield number, row[0], row[1]
            else:
                yield from self._read_dealt(self._deal, number, keep)

    def _read_dealt(
        self, deal: Deal, number: int, keep: Collection[str]
    ) -> Iterator[tuple[int, str, str]]:
        source, sides, place = self.sources[number], deal.sides[number].tobytes(), 0
        parts = [(name, self._parts[name][number]) for name in self.names]
        for place, row in enumerate(source.read(self.findings[number]), start=1):
            if place > len(sides):
                break
            name, part = parts[sides[place - 1]]
            part.digest.update(row[:2])
            part.num_pairs += 1
            if name in keep:
                part.rows.append(row)
            if name == "train":
                yield number, row[0], row[1]
        if place != len(sides):
            raise DataError(f"data.{source.key}: changed while it was read; try again")

    def num_pairs(self, name: str) -> list[int]:
        """How many pairs of each source are in a part."""
        return [part.num_pairs for part in self._parts[name]]

    def left_out(self) -> LeftOut:
        """Rows that were left out, of the sources that have pairs to train on."""
        both = zip(self.findings, self._parts["train"], strict=True)
        findings = [found for found, part in both if part.num_pairs]
        return LeftOut(
            sum(found.num_blank for found in findings),
            sum(found.num_not_utf8 for found in findings),
        )

    def digests(self, name: str) -> list[tuple[str, ...]]:
        """For each source the hashes of its pairs in a part; none if it has no pairs there."""
        if self._deal is None:
            return [found.digests for found in self.findings]
        return [(part.digest.hexdigest(),) if part.num_pairs else () for part in self._parts[name]]

    def origin(self, name: str) -> dict[str, str]:
        """Where a part came from: name to SHA-256."""
        return name_digests(self.sources, name, self.digests(name), is_dealt=self._deal is not None)

    def corpora(self, name: str) -> list[Corpus]:
        """The pairs of a part that was held out and kept, a corpus for each source with any."""
        return [
            make_held_out(source, name, part.rows, part.digest.hexdigest())
            for source, part in zip(self.sources, self._parts[name], strict=True)
            if part.num_pairs
        ]


def make_held_out(source: SentencePairs, name: str, rows: list[Row], digest: str) -> Corpus:
    """What is held out of a source; it has no weight."""
    return Corpus(
        name=f"{source.name}-{name}",
        src=[row[0] for row in rows],
        tgt=[row[1] for row in rows],
        num_blank=0,
        origin={_name_part(source, name): digest},
        src_lang=source.direction.src,
        tgt_lang=source.direction.tgt,
    )


def name_digests(
    sources: list[SentencePairs], name: str, digests: list[tuple[str, ...]], *, is_dealt: bool
) -> dict[str, str]:
    """Where a part came from: name to SHA-256, of all sources with pairs in it."""
    origin: dict[str, str] = {}
    for source, found in zip(sources, digests, strict=True):
        if found:
            names = (_name_part(source, name),) if is_dealt else source.origin_names
            origin.update(zip(names, found, strict=True))
    return origin


def _name_part(source: SentencePairs, name: str) -> str:
    """A part has its own hash: another share is other data, though the files stay."""
    names = source.origin_names
    whole = [key for key in names if not any(other.startswith(f"{key}#") for other in names)]
    return f"{'+'.join(dict.fromkeys(whole))}#{name}"
