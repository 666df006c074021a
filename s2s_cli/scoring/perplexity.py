"""Perplexities, as people read them."""

MOST_SHOWN = 1e6


def describe_perplexity(value: float, digits: int = 2) -> str:
    """A perplexity in words; above a million its digits mean nothing any more.

    Args:
        value: of the perplexity, infinite at most.
        digits: behind the point.
    """
    return ">1e6" if value > MOST_SHOWN else f"{value:.{digits}f}"
