"""An experiment: the attention loop of training as CUDA graphs. It is not part of the package.

    python -m tools.experiments.cuda_graphs train --set training.device=cuda    # as `s2s train`

Idea: a step of the loop launches about ten small kernels on a GPU, and twice as many in the
backward pass. With small batches the processor needs longer to launch a kernel than the GPU needs
to run it. A CUDA graph (`torch.cuda.CUDAGraph`) records the launches of a whole loop once and
repeats them at once.

Unproven: **this code has never run on a GPU.** `pytest tools/experiments` tests it on a CPU, where
nothing is recorded and `replay` runs the function again; so buckets, padding and the order of calls
are tested, but neither the recording, nor the shared memory, nor the speed. Before it can come back
into the package, a GPU has to show that (1) losses and gradients equal those of the loop without
graphs, (2) it is faster, recording included, and (3) the memory is affordable. A further drawback:
which batches are replayed depends on the batches before, so a resumed run may differ in rounding
from an uninterrupted one.

A graph reads and writes the same memory each time, so all sizes must be those of the recording:

- Batch size, source length and target length are rounded up to a bucket. Each bucket has a graph
  for the forward and one for the backward pass. A batch is copied into the corner of the bucket's
  tensors.
- The rest is zero. Only the bias is minus infinity behind the end of the source, so that padding
  gets no attention, and zero in surplus rows, whose softmax would otherwise be NaN. Surplus steps
  and rows receive no gradient, so sums over all rows equal those over the real ones.
- All graphs share one memory pool: tensors that one graph saves for its backward pass may be
  overwritten by another graph. So while a backward pass is pending, a further loop runs without
  graphs.

Rounding up costs at most an eighth of each size above 32, and more below. Recording takes time, and
memory for a second copy of the loop.
"""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any, NamedTuple, cast
from unittest.mock import patch
from weakref import ref

import torch
from torch import Tensor
from torch.autograd import Function
from torch.autograd.function import once_differentiable

from s2s_cli.errors import is_out_of_memory
from s2s_cli.kernels.attention_loop import (
    LoopInputs,
    SavedLoop,
    backward_loop,
    forward_loop,
    run_attention_loop,
)
from s2s_cli.kernels.cells import Cell, State
from s2s_cli.model import bahdanau

MAX_BUCKETS = 64
"""Buckets that get graphs. Recording takes time, so further buckets run without graphs."""

SMALLEST_MULTIPLE = 4
"""Sizes are rounded up to multiples of this number at least."""

SIZES_PER_OCTAVE = 8
"""Number of sizes between a power of two and the next, above 32."""


@contextmanager
def graphed_loop() -> Iterator["GraphedLoop"]:
    """Replace the loop of Bahdanau's and GNMT's decoders while the block runs, for one model."""
    loop = GraphedLoop()
    with patch.object(bahdanau, "run_attention_loop", loop):
        yield loop


class Bucket(NamedTuple):
    """Sizes of a batch, rounded up, and the type of its products."""

    batch: int
    src_len: int
    tgt_len: int
    dtype: torch.dtype


class GraphedLoop:
    """As `run_attention_loop`, replayed where possible. Belongs to one decoder."""

    def __init__(self) -> None:
        self.graphs: dict[Bucket, _Graphs | None] = {}
        """None for buckets whose recording ran out of memory."""
        self._places: _Places | None = None
        self._pending: ref[_Pass] | None = None

    def __call__(self, cell: type[Cell], inputs: LoopInputs, state: State) -> tuple[Tensor, Tensor]:
        """Outputs `(tgt_len, batch, hidden)` and contexts `(tgt_len, batch, value)`."""
        is_pending = self._pending is not None and self._pending() is not None
        graphs = None if is_pending else self._find(cell, inputs, state)
        if graphs is None:
            return run_attention_loop(cell, inputs, state)
        this_pass = _Pass(graphs)
        outputs = _Replayed.apply(this_pass, *inputs, *state)  # type: ignore[no-untyped-call]
        self._pending = ref(this_pass)
        return cast("tuple[Tensor, Tensor]", outputs)

    def _find(self, cell: type[Cell], inputs: LoopInputs, state: State) -> "_Graphs | None":
        """The graphs of a batch's bucket, recorded first if it is a new bucket."""
        bucket = bucket_of(inputs)
        if bucket not in self.graphs and len(self.graphs) < MAX_BUCKETS:
            if self._places is None:
                self._places = _Places(inputs.gates.device)
            self.graphs[bucket] = None
            try:
                with torch.no_grad():
                    self.graphs[bucket] = _Graphs(cell, bucket, inputs, state, self._places)
            except RuntimeError as error:
                if not is_out_of_memory(error):
                    raise
        return self.graphs.get(bucket)


def bucket_of(inputs: LoopInputs) -> Bucket:
    """The bucket of a batch."""
    batch, src_len, _ = inputs.keys.shape
    tgt_len = inputs.gates.size(0)
    return Bucket(round_up(batch), round_up(src_len), round_up(tgt_len), inputs.keys.dtype)


def round_up(size: int) -> int:
    """The smallest bucket size that is not below `size`."""
    step = max(SMALLEST_MULTIPLE, (1 << (size - 1).bit_length()) // 2 // SIZES_PER_OCTAVE)
    return -(-size // step) * step


class _Places:
    """What all graphs share: a stream, a memory pool, and tensors at fixed addresses."""

    def __init__(self, device: torch.device) -> None:
        self._device = device
        self._flat: dict[tuple[str, torch.dtype], Tensor] = {}
        if device.type == "cuda":
            with torch.cuda.device(device):
                self._stream = torch.cuda.Stream()  # type: ignore[no-untyped-call]
                self._pool = torch.cuda.graph_pool_handle()

    def warm_up(self, work: Callable[[], None]) -> None:
        """Run a function once without recording, since libraries allocate when first called."""
        if self._device.type == "cuda":
            with torch.cuda.device(self._device):
                self._stream.wait_stream(torch.cuda.current_stream())
                with torch.cuda.stream(self._stream):
                    work()
                torch.cuda.current_stream().wait_stream(self._stream)

    def record(self, work: Callable[[], None]) -> Callable[[], None]:
        """Record the kernels that a function launches.

        Args:
            work: reads and writes tensors at fixed addresses.

        Returns:
            A function that launches them again; on a CPU `work` itself.
        """
        if self._device.type != "cuda":
            work()
            return work
        graph = torch.cuda.CUDAGraph()
        # "thread_local": other threads, such as NCCL's, may do what is forbidden while recording.
        recording = torch.cuda.graph(
            graph, pool=self._pool, stream=self._stream, capture_error_mode="thread_local"
        )
        with torch.cuda.device(self._device), recording:
            work()
        return graph.replay

    def take(self, name: str, like: Tensor, shape: tuple[int, ...]) -> Tensor:
        """The tensor of this name, in this shape: the start of the memory of that name."""
        size, key = torch.Size(shape).numel(), (name, like.dtype)
        if key not in self._flat or self._flat[key].numel() < size:
            # Earlier graphs keep the memory that they were recorded with.
            self._flat[key] = like.new_zeros(size)
        return self._flat[key][:size].view(shape)


class _Graphs:
    """The recorded forward and backward pass of a bucket."""

    def __init__(
        self, cell: type[Cell], bucket: Bucket, inputs: LoopInputs, state: State, places: _Places
    ) -> None:
        def take(name: str, like: Tensor, *sizes: int) -> Tensor:
            shape = (*sizes, *like.shape[len(sizes) :])
            return places.take(name, like, shape)

        rows, src_len, tgt_len, _ = bucket
        self.inputs = LoopInputs(
            gates=take("gates", inputs.gates, tgt_len, rows),
            keys=take("keys", inputs.keys, rows, src_len),
            values=take("values", inputs.values, rows, src_len),
            bias=take("bias", inputs.bias, rows, src_len),
            from_state=take("from_state", inputs.from_state),
            recurrent_bias=take("recurrent_bias", inputs.recurrent_bias),
            from_context=take("from_context", inputs.from_context),
            score=take("score", inputs.score),
        )
        self.state = tuple(take(f"state {i}", part, rows) for i, part in enumerate(state))
        hidden, value = state[0].size(-1), inputs.values.size(-1)
        self.outputs = (
            places.take("outputs", state[0], (tgt_len, rows, hidden)),
            places.take("contexts", inputs.values, (tgt_len, rows, value)),
        )
        self.d_outputs = tuple(
            places.take(f"d_outputs {i}", part, tuple(part.shape))
            for i, part in enumerate(self.outputs)
        )
        self.gradients = tuple(
            places.take(f"gradient {i}", part, tuple(part.shape))
            for i, part in enumerate((*self.inputs, *self.state))
        )
        saved: list[SavedLoop] = []

        def forward() -> None:
            outputs, new_saved = forward_loop(cell, self.inputs, self.state)
            saved[:] = [new_saved]
            _copy((outputs, new_saved.contexts), self.outputs)

        def backward() -> None:
            _copy(backward_loop(cell, self.inputs, saved[0], *self.d_outputs), self.gradients)

        places.warm_up(forward)
        places.warm_up(backward)
        saved.clear()
        self.replay_forward = places.record(forward)
        self.replay_backward = places.record(backward)
        # From now on other graphs may use the memory of the saved tensors.
        saved.clear()

    def put(self, inputs: LoopInputs, state: State) -> None:
        """Copy a batch to where the graphs read it."""
        for place, part in zip((*self.inputs, *self.state), (*inputs, *state), strict=True):
            _fill(place, part)
        rows, src_len = inputs.bias.shape
        self.inputs.bias[:rows, src_len:] = -torch.inf


class _Pass:
    """A forward pass; it lives until its backward pass is done or can no longer happen."""

    def __init__(self, graphs: _Graphs) -> None:
        self.graphs = graphs


class _Replayed(Function):
    @staticmethod
    def forward(ctx: Any, this_pass: _Pass, *tensors: Tensor) -> tuple[Tensor, ...]:
        graphs, inputs = this_pass.graphs, LoopInputs(*tensors[: len(LoopInputs._fields)])
        ctx.this_pass, ctx.shapes = this_pass, [tensor.shape for tensor in tensors]
        graphs.put(inputs, tensors[len(inputs) :])
        graphs.replay_forward()
        shape = inputs.gates.shape[:2]
        return tuple(_corner(place, shape) for place in graphs.outputs)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, *d_outputs: Tensor) -> tuple[Tensor | None, ...]:
        graphs: _Graphs = ctx.this_pass.graphs
        for place, gradient in zip(graphs.d_outputs, d_outputs, strict=True):
            _fill(place, gradient)
        graphs.replay_backward()
        wanted = zip(graphs.gradients, ctx.shapes, ctx.needs_input_grad[1:], strict=True)
        gradients = [
            _corner(place, shape) if is_wanted else None for place, shape, is_wanted in wanted
        ]
        ctx.this_pass = None
        return (None, *gradients)


def _fill(place: Tensor, tensor: Tensor) -> None:
    """Copy a tensor into the corner of a place, and zero the rest."""
    if place.shape != tensor.shape:
        place.zero_()
    place[tuple(map(slice, tensor.shape))] = tensor


def _corner(place: Tensor, shape: tuple[int, ...]) -> Tensor:
    """A copy of the corner of a place, which may then be overwritten."""
    return place[tuple(map(slice, shape))].clone()


def _copy(tensors: Any, places: tuple[Tensor, ...]) -> None:
    for tensor, place in zip(tensors, places, strict=True):
        if tensor is not None:
            place.copy_(tensor)


if __name__ == "__main__":
    from s2s_cli.cli import main

    with graphed_loop():
        main()
