"""What a target token of the benchmark's model costs, and so how many a machine can do a second."""

from typing import NamedTuple

from benchmarks.work import Work

GATES = 3
"""Of a GRU."""
PASSES = 3
"""The products of the forward pass, and twice as many going back: by weights and by inputs."""


class Shape(NamedTuple):
    """Sizes that products have; `ratio` is source tokens for each target token."""

    embed: int
    hidden: int
    attention: int
    vocab: int
    ratio: float
    src_len: float
    """Mean tokens of a source sentence."""


def shape_of(work: Work, num_markers: int = 4) -> Shape:
    """The sizes of the work, the model's vocabulary with its markers."""
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
    """Floating point operations of the forward pass for a target token, in matrix products alone.

    A product of a vector by a matrix (m, n) is m n multiplications and as many additions. With
    e, h, a, v the sizes of embeddings, states, attention and vocabulary, r source tokens a target
    token, l the length of a source sentence, and b = h / 2 the width of one direction:

        encoder   r * 2 directions * 2 (e + b) 3 b      GRU over word and state
        keys      r * 2 h a                             once for a source token
        query     2 h a                                 once for a target token
        scores    2 l a                                 v . tanh(query + key), each source token
        context   2 l h                                 the weighted sum of encoder outputs
        decoder   2 (e + h + h) 3 h                     GRU over word, context and state
        readout   2 (h + e + h) h                       tanh layer over state, word and context
        output    2 h v                                 logits

    Pointwise work, the softmax and the optimizer are not counted: a bound that is too high rather
    than one that flatters.
    """
    e, h, a, v, r, length = shape
    b = h / 2
    encoder = r * 2 * 2 * (e + b) * GATES * b
    attention = r * 2 * h * a + 2 * h * a + 2 * length * a + 2 * length * h
    decoder = 2 * (e + h + h) * GATES * h
    output = 2 * (h + e + h) * h + 2 * h * v
    return encoder + attention + decoder + output


def training_flops(shape: Shape) -> float:
    """Floating point operations of an update, for each of its target tokens."""
    return PASSES * forward_flops(shape)


def bound(shape: Shape, gflops: float) -> float:
    """Target tokens a second that training would reach if products were all, at a rate."""
    return gflops * 1e9 / training_flops(shape)
