"""The cost of a target token of the benchmark's model, and the bound that follows from it."""

from typing import NamedTuple

from benchmarks.work import Work

GATES = 3
"""Of a GRU."""
PASSES = 3
"""The backward pass has twice the products of the forward pass: for weights and for inputs."""


class Shape(NamedTuple):
    """Sizes of the products; `ratio` is source tokens per target token."""

    embed: int
    hidden: int
    attention: int
    vocab: int
    ratio: float
    src_len: float
    """Mean tokens of a source sentence."""


def shape_of(work: Work, num_markers: int = 4) -> Shape:
    """The sizes of the work, with the markers of the vocabulary."""
    num_src, num_tgt = work.num_tokens
    sizes = work.sizes
    return Shape(
        sizes.embed,
        sizes.hidden,
        sizes.attention,
        work.vocab_sizes[1] + num_markers,
        num_src / num_tgt,
        num_src / work.num_pairs,
    )


def forward_flops(shape: Shape) -> float:
    """Floating point operations of the forward pass per target token, matrix products only.

    The product of a vector and a matrix (m, n) is m n multiplications and as many additions. With
    e, h, a, v the sizes of embeddings, states, attention and vocabulary, r source tokens per target
    token, l the length of a source sentence, and b = h / 2 the width of one direction:

        encoder   r * 2 directions * 2 (e + b) 3 b      GRU over word and state
        keys      r * 2 h a                             once per source token
        query     2 h a                                 once per target token
        scores    2 l a                                 v . tanh(query + key), each source token
        context   2 l h                                 the weighted sum of encoder outputs
        decoder   2 (e + h + h) 3 h                     GRU over word, context and state
        readout   2 (h + e + h) h                       tanh layer over state, word and context
        output    2 h v                                 logits

    Pointwise operations, the softmax and the optimizer are not counted, so the true bound is lower.
    """
    e, h, a, v, r, length = shape
    b = h / 2
    encoder = r * 2 * 2 * (e + b) * GATES * b
    attention = r * 2 * h * a + 2 * h * a + 2 * length * a + 2 * length * h
    decoder = 2 * (e + h + h) * GATES * h
    output = 2 * (h + e + h) * h + 2 * h * v
    return encoder + attention + decoder + output


def training_flops(shape: Shape) -> float:
    """Floating point operations of an update per target token."""
    return PASSES * forward_flops(shape)


def bound(shape: Shape, gflops: float) -> float:
    """Target tokens per second if training consisted of matrix products only."""
    return gflops * 1e9 / training_flops(shape)
