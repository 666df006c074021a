"""The fused loop as CUDA graphs: a GPU is told of a whole loop at once, not of each kernel.

A step of the loop is some ten small kernels, and twice as many on the way back. Where batches are
small, the processor needs longer to tell a GPU of a kernel than the GPU needs to do it. A CUDA
graph (`torch.cuda.CUDAGraph`) is what a function told the GPU once, to be told again at once. It
reads and writes the same places each time, so sizes must be those of the first time:

- batches, source and target lengths are rounded up to buckets, and each bucket has two graphs, one
  for each way. What is given is copied into the corner of the bucket's places.
- The rest is zero, but for the bias: minus infinity beyond the source's end, so that nothing is
  read there, and zero in the rows that are too many, whose softmax would else be of nothing. No
  gradient comes from steps and rows that nobody asked for, so the sums over all of them are those
  of the real ones.
- Graphs share their memory: what one keeps for its way back stands where another writes. So while
  a way back is due, a further loop runs kernel by kernel.
"""

from collections.abc import Callable
from typing import Any, NamedTuple, cast
from weakref import ref

import torch
from torch import Tensor
from torch.autograd import Function
from torch.autograd.function import once_differentiable

from s2s_cli.model.cells import Cell, State
from s2s_cli.model.fused_loop import Given, Way, fused_loop, run_backwards, run_forwards

MOST = 64
"""Buckets that are given graphs; recording takes a while, so what comes after is told as ever."""

NARROWEST = 4
"""Sizes are multiples of it."""

PER_OCTAVE = 8
"""Sizes above 32 are rounded up to one of so many between a power of two and the next."""


class Bucket(NamedTuple):
    """Sizes of a batch, rounded up, and the type of its products."""

    batch: int
    src_len: int
    tgt_len: int
    dtype: torch.dtype


class GraphedLoop:
    """A loop as `fused_loop`, replayed where that may be. Belongs to one decoder."""

    def __init__(self) -> None:
        self.graphs: dict[Bucket, _Graphs] = {}
        self._places = _Places()
        self._due: ref[_Visit] | None = None

    def __call__(self, cell: type[Cell], given: Given, state: State) -> tuple[Tensor, Tensor]:
        """Outputs `(tgt_len, batch, hidden)` and contexts `(tgt_len, batch, value)`."""
        bucket = bucket_of(given)
        is_due = self._due is not None and self._due() is not None
        is_full = bucket not in self.graphs and len(self.graphs) >= MOST
        if is_due or is_full:
            return fused_loop(cell, given, state)
        if bucket not in self.graphs:
            with torch.no_grad():
                self.graphs[bucket] = _Graphs(cell, bucket, given, state, self._places)
        visit = _Visit(self.graphs[bucket])
        outputs = _Replayed.apply(visit, *given, *state)  # type: ignore[no-untyped-call]
        self._due = ref(visit)
        return cast("tuple[Tensor, Tensor]", outputs)

    def __deepcopy__(self, memo: dict[int, object]) -> "GraphedLoop":
        """A copy of the model has other places, so graphs of its own."""
        return GraphedLoop()


def bucket_of(given: Given) -> Bucket:
    """In which bucket a batch is."""
    batch, src_len, _ = given.keys.shape
    tgt_len = given.gates.size(0)
    return Bucket(round_up(batch), round_up(src_len), round_up(tgt_len), given.keys.dtype)


def round_up(size: int) -> int:
    """The size of the bucket that is wide enough."""
    step = max(NARROWEST, (1 << (size - 1).bit_length()) // 2 // PER_OCTAVE)
    return -(-size // step) * step


def record(work: Callable[[], None], pool: Any, device: torch.device) -> Callable[[], None]:
    """Record what a function tells a GPU.

    Args:
        work: reads and writes tensors that stay where they are.
        pool: memory that the graphs of a loop share.
        device: the GPU.

    Returns:
        Tells it again.
    """
    with torch.cuda.device(device):
        # As PyTorch asks: once outside of a graph and beside the main stream, for what libraries
        # make when they are first called.
        stream = torch.cuda.Stream()  # type: ignore[no-untyped-call]
        stream.wait_stream(torch.cuda.current_stream())
        with torch.cuda.stream(stream):
            work()
        torch.cuda.current_stream().wait_stream(stream)
        graph = torch.cuda.CUDAGraph()
        # Other threads, such as NCCL's, may go on with what is forbidden in a recording.
        with torch.cuda.graph(graph, pool=pool, capture_error_mode="thread_local"):
            work()
    return graph.replay


class _Places:
    """Tensors that stay where they are, shared by the graphs of all buckets."""

    def __init__(self) -> None:
        self.pool = torch.cuda.graph_pool_handle() if torch.cuda.is_available() else None
        self._flat: dict[tuple[str, torch.dtype], Tensor] = {}

    def take(self, name: str, like: Tensor, shape: tuple[int, ...]) -> Tensor:
        """The place of this name, as large as is asked for; of larger ones the beginning."""
        size, key = torch.Size(shape).numel(), (name, like.dtype)
        if key not in self._flat or self._flat[key].numel() < size:
            # Graphs that know the former place keep it.
            self._flat[key] = like.new_zeros(size)
        return self._flat[key][:size].view(shape)


class _Graphs:
    """A bucket's loop, both ways."""

    def __init__(
        self, cell: type[Cell], bucket: Bucket, given: Given, state: State, places: _Places
    ) -> None:
        def take(name: str, like: Tensor, *sizes: int) -> Tensor:
            shape = (*sizes, *like.shape[len(sizes) :])
            return places.take(name, like, shape)

        rows, src_len, tgt_len, _ = bucket
        self.given = Given(
            gates=take("gates", given.gates, tgt_len, rows),
            keys=take("keys", given.keys, rows, src_len),
            values=take("values", given.values, rows, src_len),
            bias=take("bias", given.bias, rows, src_len),
            from_state=take("from_state", given.from_state),
            recurrent_bias=take("recurrent_bias", given.recurrent_bias),
            from_context=take("from_context", given.from_context),
            score=take("score", given.score),
        )
        self.state = tuple(take(f"state {i}", part, rows) for i, part in enumerate(state))
        hidden, value = state[0].size(-1), given.values.size(-1)
        self.outputs = (
            places.take("outputs", state[0], (tgt_len, rows, hidden)),
            places.take("contexts", given.values, (tgt_len, rows, value)),
        )
        self.d_outputs = tuple(
            places.take(f"d_outputs {i}", part, tuple(part.shape))
            for i, part in enumerate(self.outputs)
        )
        self.gradients = tuple(
            places.take(f"gradient {i}", part, tuple(part.shape))
            for i, part in enumerate((*self.given, *self.state))
        )
        kept: list[Way] = []

        def forwards() -> None:
            outputs, way = run_forwards(cell, self.given, self.state)
            kept[:] = [way]
            _copy((outputs, way.contexts), self.outputs)

        def backwards() -> None:
            _copy(run_backwards(cell, self.given, kept[0], *self.d_outputs), self.gradients)

        self.go_forwards = record(forwards, places.pool, self.outputs[0].device)
        self.go_backwards = record(backwards, places.pool, self.outputs[0].device)
        # From here on the memory of the way is for other graphs too.
        kept.clear()

    def put(self, given: Given, state: State) -> None:
        """Let a batch stand where the graphs read."""
        for place, part in zip((*self.given, *self.state), (*given, *state), strict=True):
            _fill(place, part)
        rows, src_len = given.bias.shape
        self.given.bias[:rows, src_len:] = -torch.inf


class _Visit:
    """A batch's way there and, if it is gone, back."""

    def __init__(self, graphs: _Graphs) -> None:
        self.graphs = graphs


class _Replayed(Function):
    @staticmethod
    def forward(ctx: Any, visit: _Visit, *tensors: Tensor) -> tuple[Tensor, ...]:
        graphs, given = visit.graphs, Given(*tensors[: len(Given._fields)])
        ctx.visit, ctx.shapes = visit, [tensor.shape for tensor in tensors]
        graphs.put(given, tensors[len(given) :])
        graphs.go_forwards()
        shown = given.gates.shape[:2]
        return tuple(_corner(place, shown) for place in graphs.outputs)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, *d_outputs: Tensor) -> tuple[Tensor | None, ...]:
        graphs: _Graphs = ctx.visit.graphs
        for place, gradient in zip(graphs.d_outputs, d_outputs, strict=True):
            _fill(place, gradient)
        graphs.go_backwards()
        wanted = zip(graphs.gradients, ctx.shapes, ctx.needs_input_grad[1:], strict=True)
        gradients = [
            _corner(place, shape) if is_wanted else None for place, shape, is_wanted in wanted
        ]
        ctx.visit = None
        return (None, *gradients)


def _fill(place: Tensor, tensor: Tensor) -> None:
    """Put a tensor into the corner of a place, and zero into the rest."""
    if place.shape != tensor.shape:
        place.zero_()
    place[tuple(map(slice, tensor.shape))] = tensor


def _corner(place: Tensor, shape: tuple[int, ...]) -> Tensor:
    """What stands in the corner of a place; the place is free again."""
    return place[tuple(map(slice, shape))].clone()


def _copy(tensors: Any, places: tuple[Tensor, ...]) -> None:
    for tensor, place in zip(tensors, places, strict=True):
        if tensor is not None:
            place.copy_(tensor)
