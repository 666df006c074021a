"""Pretrained word vectors, in the text format of word2vec and fastText.

A first line `number width` (GloVe's files have none), then a line per word: the word and its
numbers, parted by spaces.
"""

from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor

from s2s_cli.data.file_kinds import TOLERATED
from s2s_cli.data.lines import check_text, is_decodable, stream_raw_lines
from s2s_cli.errors import ConfigError, DataError
from s2s_cli.text.vocabulary import Vocabulary

NUM_HEADER_FIELDS = 2


class VectorCoverage(NamedTuple):
    """How much of a vocabulary a file of vectors knows."""

    num_found: int
    num_entries: int
    share: float
    """Of running tokens of the training text, 0 to 1."""
    num_not_utf8: int
    """Words left out because they are not UTF-8."""


def fill_embeddings(table: Tensor, vocabulary: Vocabulary, path: Path, key: str) -> VectorCoverage:
    """Overwrite the rows of the words that the file knows; the others keep what they have.

    Args:
        table: embeddings `(vocab, embed)`, changed in place.
        vocabulary: whose ids are the table's rows.
        path: the file, plain or `.gz`.
        key: of the recipe that named it, for messages.

    Raises:
        DataError: the file is missing or malformed, or not UTF-8.
        ConfigError: its vectors are not as wide as the table, or it knows no word of ours.
    """
    found: set[str] = set()
    num_words = num_not_utf8 = 0
    with torch.no_grad():
        for raw, vector in _read_vectors(path, table.size(1), key):
            num_words += 1
            if not is_decodable(raw):
                num_not_utf8 += 1
            elif (word := raw.decode()) in vocabulary and word not in found:
                found.add(word)
                table[vocabulary.encode([word])[0]] = torch.from_numpy(vector)
    if num_not_utf8 * TOLERATED > num_words:
        check_text(path)
    if not found:
        raise ConfigError(f"{key}: {path} knows no word of the vocabulary; is it of this language?")
    counts = dict(zip(vocabulary.tokens, vocabulary.counts, strict=True))
    total = sum(vocabulary.counts)
    share = sum(counts[word] for word in found) / total if total else 0.0
    return VectorCoverage(len(found), len(vocabulary), share, num_not_utf8)


def _read_vectors(path: Path, width: int, key: str) -> Iterator[tuple[bytes, np.ndarray]]:
    for number, line in enumerate(stream_raw_lines(path), start=1):
        if number > 1 and not line.strip():
            continue  # as behind the last word
        fields = line.rstrip(b"\r\n ").split(b" ")
        if number == 1:
            header = len(fields) == NUM_HEADER_FIELDS and all(f.isdigit() for f in fields)
            found = int(fields[1]) if header else _measure(fields, width)
            if found is None:
                raise DataError(
                    f"{path}:1: expected a word and numbers, or how many words and how many "
                    f"numbers; {key} names a file in word2vec's or fastText's text format"
                )
            if found != width:
                raise ConfigError(
                    f"{key}: the vectors of {path} are {found} wide, the embeddings {width}; "
                    f"set the side's embed_size to {found}, or name another file"
                )
            if header:
                continue
        word = b" ".join(fields[:-width])
        try:
            vector = np.array(fields[-width:], dtype=np.float32)
            if len(vector) != width or not word or not np.isfinite(vector).all():
                raise ValueError
            yield word, vector
        except ValueError as error:
            raise DataError(
                f"{path}:{number}: expected a word and {width} numbers, parted by spaces"
            ) from error


def _measure(fields: list[bytes], width: int) -> int | None:
    """How wide the vector of a line is; None if there is none, `width` if a word has spaces."""
    for found in (len(fields) - 1, width):
        try:
            if 0 < found < len(fields) and [float(field) for field in fields[-found:]]:
                return found
        except ValueError:
            continue
    return None
