"""Which source word a target word belongs to, by attention."""

from collections.abc import Sequence

Weights = Sequence[Sequence[float]]
"""For each target token its attention over the source tokens; more positions may follow them."""


def number_words(tokens: Sequence[str]) -> list[int]:
    """For each token the number, from 0, of the word that it is part of: each token is a word."""
    return list(range(len(tokens)))


def find_most_attended(weights: Weights, num_src_tokens: int) -> list[int]:
    """For each target token the source token it looked at most; eos and padding do not count."""
    found = []
    for row in weights:
        words = row[:num_src_tokens]
        found.append(max(range(len(words)), key=words.__getitem__))
    return found


def align_words(
    src_tokens: Sequence[str], tgt_tokens: Sequence[str], weights: Weights
) -> list[tuple[int, int]]:
    """Links (source word, target word), in the order of the source, each once."""
    src_words, tgt_words = number_words(src_tokens), number_words(tgt_tokens)
    looked_at = find_most_attended(weights, len(src_tokens))
    links = {(src_words[i], tgt_words[j]) for j, i in enumerate(looked_at[: len(tgt_words)])}
    return sorted(links)


def format_pharaoh(links: Sequence[tuple[int, int]]) -> str:
    """Links as `i-j i-j ...`, the format of Pharaoh and of Moses."""
    return " ".join(f"{src}-{tgt}" for src, tgt in links)
