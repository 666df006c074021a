"""Whether a training diverges: a rule about its losses, in nats per target token.

Who guesses evenly among V entries pays log(V) a token. Training begins there and goes down; a model
that has stopped learning the text still pays little more. A loss of more than twice as much, or of
ten times the best so far, means that updates were too large.
"""

import math

TIMES_GUESSING = 2.0
TIMES_BEST = 10.0
HARMLESS = 1.0
"""So low a loss is no divergence, however much lower the best was."""


def find_divergence(loss: float, best_loss: float | None, num_entries: int) -> str | None:
    """What is wrong with a loss, in words; None if nothing is.

    Args:
        loss: in nats per target token.
        best_loss: the validation loss of the best epoch so far; None if there is none.
        num_entries: of the target vocabulary.
    """
    guess = math.log(num_entries)
    if not loss <= TIMES_GUESSING * guess:
        return (
            f"{loss:.4g} per token, where guessing evenly among {num_entries:,} entries would cost "
            f"{guess:.4g}"
        )
    if best_loss is not None and loss > max(TIMES_BEST * best_loss, HARMLESS):
        return f"{loss:.4g} per token, more than ten times the best so far ({best_loss:.4g})"
    return None
