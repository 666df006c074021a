"""One side of a model's text: its tokeniser and its vocabulary."""

from collections.abc import Iterable
from typing import NamedTuple

from s2s_cli.text.tokenizer import Tokenizer
from s2s_cli.text.vocabulary import Vocabulary


class Codec(NamedTuple):
    """From sentences to token ids and back."""

    tokenizer: Tokenizer
    vocabulary: Vocabulary

    def encode(self, sentence: str) -> list[int]:
        """Token ids of a sentence, without bos and eos."""
        return self.vocabulary.encode(self.tokenizer.tokenize(sentence))

    def decode(self, token_ids: Iterable[int]) -> str:
        """The sentence that the ids, without bos and eos, spell."""
        return self.tokenizer.detokenize(self.vocabulary.decode(token_ids))
