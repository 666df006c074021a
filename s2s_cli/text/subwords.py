"""Subwords: words cut into pieces by a sentencepiece model, and put together again.

The words of a sentence go to the model joined by spaces. Its pieces write a space as U+2581, which
no word holds (`spacing.py` escapes it), and join to exactly what went in, unknown characters
included. So pieces are all that need be kept: other segmentations are drawn from them, and the
words come back from them.
"""

import io
import re
from collections import Counter
from collections.abc import Iterable

import sentencepiece

from s2s_cli.errors import ConfigError, DataError
from s2s_cli.text.spacing import PIECE_SPACE
from s2s_cli.text.vocabulary import MARKERS, Vocabulary

NUM_THREADS = 4
"""Fixed, because sums over threads, and so the pieces, depend on it; more cores change nothing."""

TABLE_WORDS, TABLE_WORD_LENGTH = 1 << 18, 40
"""Words that a table of pieces remembers, and their greatest length in characters: tokeniser `none`
gives whole sentences of languages without spaces, of which few come twice."""

LONGEST_LINE = 2**30
"""In bytes; the trainer would pass over lines beyond its own limit of 4,192 without a word."""


class Subwords:
    """A trained sentencepiece model."""

    def __init__(self, content: bytes, kind: str, where: str) -> None:
        """Load a model from its bytes.

        Args:
            content: what `train_subwords` or a file holds.
            kind: `bpe` or `unigram`.
            where: names the model in errors.

        Raises:
            DataError: it is not a sentencepiece model.
        """
        self.content = content
        self.kind = kind
        self._table: dict[str, list[str]] = {}
        try:
            self._processor = sentencepiece.SentencePieceProcessor(model_proto=content)
            ids = range(self._processor.get_piece_size())
            self.scores: dict[str, float] = {
                self._processor.id_to_piece(i): self._processor.get_score(i)
                for i in ids
                if not self._processor.is_unknown(i)
            }
        except (RuntimeError, ValueError) as error:
            raise DataError(f"{where}: not a sentencepiece model, or a damaged one") from error
        if not self.scores:
            raise DataError(f"{where}: a sentencepiece model without pieces")

    @property
    def pieces(self) -> list[str]:
        """All that text can be cut into; what lies beyond them is left as it is, and unknown."""
        return list(self.scores)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Subwords) and self.content == other.content

    def __hash__(self) -> int:
        return hash(self.content)

    def segment(self, words: Iterable[str]) -> list[str]:
        """The likeliest pieces of a sentence's words.

        No piece crosses a space, so each word is cut by itself, and a table remembers the pieces
        of words that were cut before: several times as fast as cutting whole sentences.
        """
        pieces: list[str] = []
        for word in words:
            known = self._table.get(word)
            if known is None:
                known = self._cut(word)
            pieces += known
        return pieces

    def _cut(self, word: str) -> list[str]:
        pieces: list[str] = self._processor.encode(word, out_type=str)
        if len(word) <= TABLE_WORD_LENGTH:
            if len(self._table) >= TABLE_WORDS:
                self._table.clear()
            self._table[word] = pieces
        return pieces

    def join(self, pieces: Iterable[str]) -> list[str]:
        """The words that pieces spell."""
        return [word for word in "".join(pieces).split(PIECE_SPACE) if word]

    def check_fits(self, vocabulary: Vocabulary, where: str) -> None:
        """Refuse a vocabulary that was built with another model.

        Raises:
            DataError: its tokens are not the model's pieces.
        """
        if {*vocabulary.tokens} != {*self.scores, *MARKERS, *vocabulary.tags}:
            raise DataError(
                f"{where}: its pieces are not the tokens of the vocabulary beside it; both must "
                "come from one `s2s vocab build`"
            )


SubwordPair = tuple[Subwords | None, Subwords | None]
"""What cuts the words of source and target, if anything."""


def train_subwords(
    kind: str,
    words: Counter[str],
    max_size: int,
    coverage: float,
    num_tags: int = 0,
) -> Subwords:
    """Learn pieces from the words of a text; as many as the text gives, up to `max_size`.

    Args:
        kind: `bpe` or `unigram`.
        words: how often each occurs.
        max_size: most entries of the vocabulary, the four markers included.
        coverage: share of running characters that get a piece; the rarest of the rest get none.
        num_tags: entries of the vocabulary that are tags of languages, and no pieces.

    Raises:
        ConfigError: `max_size` has no room for the characters alone.
    """
    written = io.BytesIO()
    order = sorted(words, key=lambda word: (-words[word], word))
    try:
        sentencepiece.SentencePieceTrainer.train(
            sentence_iterator=(f"{word}\t{words[word]}" for word in order),
            input_format="tsv",
            model_writer=written,
            model_type=kind,
            vocab_size=max_size - len(MARKERS) - num_tags + 1,  # the model has an <unk> of its own
            hard_vocab_limit=False,
            character_coverage=coverage,
            # No NFKC: full-width punctuation is what Chinese is written with.
            normalization_rule_name="identity",
            max_sentence_length=LONGEST_LINE,
            num_threads=NUM_THREADS,
            unk_id=0,
            bos_id=-1,
            eos_id=-1,
            pad_id=-1,
            minloglevel=2,
        )
    except RuntimeError as error:
        found = re.search(r"smaller than required_chars\. \d+ vs (\d+)", str(error))
        if found is None:
            raise ConfigError(
                f"text: no {kind} subwords can be learnt from this text ({error}); give more text, "
                "or choose the other kind"
            ) from error
        raise ConfigError(
            f"vocab.max_size: {max_size} entries are too few, the characters of the text alone "
            f"take {int(found[1]) + len(MARKERS) + num_tags - 1}; raise it (--max-size), or lower "
            "vocab.character_coverage"
        ) from error
    return Subwords(written.getvalue(), kind, f"{kind} subwords")
