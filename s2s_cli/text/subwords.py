"""Subwords: a sentencepiece model splits words into pieces, and joins pieces to words.

The model gets the words of a sentence joined by spaces. Its pieces write a space as U+2581, which
`spacing.py` escapes inside words, and they concatenate to exactly the input, unknown characters
included. So the pieces are all that has to be stored: both the words and other segmentations of
them can be recovered.
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
"""Fixed, because the pieces depend on it (sums over threads), and must not on the machine."""

TABLE_WORDS, TABLE_WORD_LENGTH = 1 << 18, 40
"""Words whose pieces are remembered, and their maximum length in characters: for languages without
spaces the tokeniser `none` gives whole sentences, of which few occur twice."""

MAX_LINE_BYTES = 2**30
"""By default the trainer silently skips lines of more than 4,192 bytes."""


class Subwords:
    """A trained sentencepiece model."""

    def __init__(self, content: bytes, kind: str, where: str) -> None:
        """Load a model from its bytes.

        Args:
            content: from `train_subwords` or a file.
            kind: `bpe` or `unigram`.
            where: name of the model in messages.

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
        """All pieces; a character that is in none of them is unknown."""
        return list(self.scores)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Subwords) and self.content == other.content

    def __hash__(self) -> int:
        return hash(self.content)

    def segment(self, words: Iterable[str]) -> list[str]:
        """Split the words of a sentence into the most likely pieces.

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
        """Join pieces to words."""
        return [word for word in "".join(pieces).split(PIECE_SPACE) if word]

    def check_fits(self, vocabulary: Vocabulary, where: str) -> None:
        """Refuse a vocabulary that was built with another model.

        Raises:
            DataError: its tokens are not the model's pieces.
        """
        if {*vocabulary.tokens} != {*self.scores, *MARKERS, *vocabulary.tags}:
            raise DataError(
                f"{where}: its pieces are not the tokens of the vocabulary next to it; both must "
                "come from the same `s2s vocab build`"
            )


SubwordPair = tuple[Subwords | None, Subwords | None]
"""Subwords of source and target; None for a side that has none."""


def train_subwords(
    kind: str,
    words: Counter[str],
    max_size: int,
    coverage: float,
    num_tags: int = 0,
) -> Subwords:
    """Learn pieces from the words of a text; at most `max_size`, fewer from little text.

    Args:
        kind: `bpe` or `unigram`.
        words: how often each word occurs.
        max_size: maximum size of the vocabulary, including the four markers and the tags.
        coverage: share of running characters that get a piece; the rarest get none.
        num_tags: number of language tags in the vocabulary.

    Raises:
        ConfigError: the text has more characters than `max_size` allows.
    """
    written = io.BytesIO()
    order = sorted(words, key=lambda word: (-words[word], word))
    try:
        sentencepiece.SentencePieceTrainer.train(
            sentence_iterator=(f"{word}\t{words[word]}" for word in order),
            input_format="tsv",
            model_writer=written,
            model_type=kind,
            vocab_size=max_size - len(MARKERS) - num_tags + 1,  # the model adds its own <unk>
            hard_vocab_limit=False,
            character_coverage=coverage,
            # Not NFKC, which would replace the full-width punctuation of Chinese.
            normalization_rule_name="identity",
            max_sentence_length=MAX_LINE_BYTES,
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
                f"text: {kind} subwords cannot be learnt from this text ({error}); provide more "
                "text, or choose the other kind"
            ) from error
        raise ConfigError(
            f"vocab.max_size: {max_size} entries are too few: the characters of the text alone "
            f"need {int(found[1]) + len(MARKERS) + num_tags - 1}; raise it (--max-size), or lower "
            "vocab.character_coverage"
        ) from error
    return Subwords(written.getvalue(), kind, f"{kind} subwords")
