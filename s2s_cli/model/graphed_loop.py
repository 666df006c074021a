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
- Graphs share their memory as far as the allocator manages: what one keeps for its way back may
  stand where another writes. So while a way back is due, a further loop runs kernel by kernel.

Padding costs up to an eighth of each size above 32, and more below; recording costs time, and
memory for the loop once more. Without a GPU nothing can be recorded, and what would be is run
again: so buckets, corners and order can be tested, but not the memory.
"""

from collections.abc import Callable
from typing import Any, NamedTuple, cast
from weakref import ref

import torch
from torch import Tensor
from torch.autograd import Function
from torch.autograd.function import once_differentiable

from s2s_cli.errors import is_out_of_memory
from s2s_cli.kernels.attention_loop import Given, Way, fused_loop, run_backwards, run_forwards
from s2s_cli.kernels.cells import Cell, State

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
        self.graphs: dict[Bucket, _Graphs | None] = {}
        """None where there was too little memory for recording."""
        self._places: _Places | None = None
        self._due: ref[_Visit] | None = None

    def __call__(self, cell: type[Cell], given: Given, state: State) -> tuple[Tensor, Tensor]:
        """Outputs `(tgt_len, batch, hidden)` and contexts `(tgt_len, batch, value)`."""
        is_due = self._due is not None and self._due() is not None
        graphs = None if is_due else self._find(cell, given, state)
        if graphs is None:
            return fused_loop(cell, given, state)
        visit = _Visit(graphs)
        outputs = _Replayed.apply(visit, *given, *state)  # type: ignore[no-untyped-call]
        self._due = ref(visit)
        return cast("tuple[Tensor, Tensor]", outputs)

    def _find(self, cell: type[Cell], given: Given, state: State) -> "_Graphs | None":
        """The graphs of a batch's bucket, recorded if they are not yet and may be."""
        bucket = bucket_of(given)
        if bucket not in self.graphs and len(self.graphs) < MOST:
            if self._places is None:
                self._places = _Places(given.gates.device)
            self.graphs[bucket] = None
            try:
                with torch.no_grad():
                    self.graphs[bucket] = _Graphs(cell, bucket, given, state, self._places)
            except RuntimeError as error:
                if not is_out_of_memory(error):
                    raise
        return self.graphs.get(bucket)

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


class _Places:
    """What the graphs of all buckets share: a stream, memory, tensors that stay where they are."""

    def __init__(self, device: torch.device) -> None:
        self._device = device
        self._flat: dict[tuple[str, torch.dtype], Tensor] = {}
        if device.type == "cuda":
            with torch.cuda.device(device):
                self._stream = torch.cuda.Stream()  # type: ignore[no-untyped-call]
                self._pool = torch.cuda.graph_pool_handle()

    def warm_up(self, work: Callable[[], None]) -> None:
        """Do something once outside of a graph, for what libraries make when first called."""
        if self._device.type == "cuda":
            with torch.cuda.device(self._device):
                self._stream.wait_stream(torch.cuda.current_stream())
                with torch.cuda.stream(self._stream):
                    work()
                torch.cuda.current_stream().wait_stream(self._stream)

    def record(self, work: Callable[[], None]) -> Callable[[], None]:
        """Record what a function tells a GPU.

        Args:
            work: reads and writes tensors that stay where they are.

        Returns:
            Tells it again.
        """
        if self._device.type != "cuda":
            work()
            return work
        graph = torch.cuda.CUDAGraph()
        # Other threads, such as NCCL's, may go on with what is forbidden in a recording.
        recording = torch.cuda.graph(
            graph, pool=self._pool, stream=self._stream, capture_error_mode="thread_local"
        )
        with torch.cuda.device(self._device), recording:
            work()
        return graph.replay

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

        places.warm_up(forwards)
        places.warm_up(backwards)
        kept.clear()
        self.go_forwards = places.record(forwards)
        self.go_backwards = places.record(backwards)
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
