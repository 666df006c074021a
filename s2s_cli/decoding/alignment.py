"""Which source word a target word belongs to, by attention."""

from collections.abc import Sequence

from s2s_cli.text.spacing import PIECE_SPACE
from s2s_cli.text.tokenizer import Tokenizer

Weights = Sequence[Sequence[float]]
"""For each target token its attention over the source tokens; more positions may follow them."""


def number_words(tokens: Sequence[str], tokenizer: Tokenizer) -> list[int]:
    """For each token the number, from 0, of the word that it is part of.

    A subword that starts with a space begins a word, and so does the first one. Without subwords
    each token is a word; so is each subword where nothing says where words begin: of Chinese that
    went to the subwords whole.
    """
    if tokenizer.subwords is None or (tokenizer.name == "none" and not tokenizer.finds_words):
        return list(range(len(tokens)))
    numbers: list[int] = []
    for token in tokens:
        begins = not numbers or token.startswith(PIECE_SPACE)
        numbers.append((numbers[-1] if numbers else -1) + begins)
    return numbers


def find_most_attended(weights: Weights, num_src_tokens: int) -> list[int]:
    """For each target token the source token it looked at most; eos and padding do not count."""
    found = []
    for row in weights:
        words = row[:num_src_tokens]
        found.append(max(range(len(words)), key=words.__getitem__))
    return found


def align_words(
    src_words: Sequence[int], tgt_words: Sequence[int], weights: Weights
) -> list[tuple[int, int]]:
    """Links (source word, target word), in the order of the source, each once.

    Args:
        src_words: for each source token the number of its word.
        tgt_words: for each target token the same.
        weights: attention of the target tokens; eos, if it follows, is linked to nothing.
    """
    looked_at = find_most_attended(weights[: len(tgt_words)], len(src_words))
    return sorted({(src_words[i], word) for i, word in zip(looked_at, tgt_words, strict=True)})


def format_pharaoh(links: Sequence[tuple[int, int]]) -> str:
    """Links as `i-j i-j ...`, the format of Pharaoh and of Moses."""
    return " ".join(f"{src}-{tgt}" for src, tgt in links)
