"""The tokenisers that a recipe, or a model's description, asks for."""

from s2s_cli.config import Text
from s2s_cli.sources import Direction
from s2s_cli.text.subword import SubwordPair
from s2s_cli.text.tokenizer import Tokenizer, make_tokenizer


def make_tokenizers(
    text: Text, languages: Direction, subwords: SubwordPair = (None, None)
) -> tuple[Tokenizer, Tokenizer]:
    """Tokenisers of source and target.

    Args:
        text: names of the tokenisers, and how text is normalised.
        languages: source and target language.
        subwords: what cuts the words of each side further, if anything.
    """
    src, tgt = (
        make_tokenizer(name, lang, text.lowercase, side, text.normalize, text.chinese)
        for name, lang, side in zip(
            (text.src_tokenizer, text.tgt_tokenizer), languages, subwords, strict=True
        )
    )
    return src, tgt
