"""Subwords: a sentencepiece model splits words into pieces, and joins pieces to words.

The model gets the words of a sentence joined by spaces. Its pieces write a space as U+2581, which
`spacing.py` escapes inside words, and they concatenate to exactly the input, unknown characters
included. So the pieces are all that has to be stored: both the words and other segmentations of
them can be recovered.
"""

import io
import re
from collections.abc import Iterable, Sequence

import sentencepiece

from s2s_cli.errors import ConfigError, DataError
from s2s_cli.text.spacing import PIECE_SPACE
from s2s_cli.text.vocabulary import MARKERS, Vocabulary

NUM_THREADS = 4
"""Fixed, because the pieces depend on it (sums over threads), and must not on the machine."""

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

    def segment(self, words: Sequence[str]) -> list[str]:
        """Split the words of a sentence into the most likely pieces."""
        pieces: list[str] = self._processor.encode(" ".join(words), out_type=str)
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
    sentences: Iterable[Sequence[str]],
    max_size: int,
    coverage: float,
    num_tags: int = 0,
) -> Subwords:
    """Learn pieces from the words of sentences; at most `max_size`, fewer from little text.

    Args:
        kind: `bpe` or `unigram`.
        sentences: the words of each.
        max_size: maximum size of the vocabulary, including the four markers and the tags.
        coverage: share of running characters that get a piece; the rarest get none.
        num_tags: number of language tags in the vocabulary.

    Raises:
        ConfigError: the text has more characters than `max_size` allows.
    """
    written = io.BytesIO()
    try:
        sentencepiece.SentencePieceTrainer.train(
            sentence_iterator=map(" ".join, sentences),
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
