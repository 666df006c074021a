"""One unidirectional recurrent layer, over a whole sequence or one step at a time.

Its step has one cell of torch.nn, or several (deep transitions). With `layer_norm: cell`, cells get
LN(W x) and LN(V h) instead of W x + b_i and V h + b_h: each sum is normalised over all gates, as in
Marian, and then has a gain and a bias (Ba et al. 2016). An LSTM's c is not normalised.
"""

from typing import Any, cast

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from s2s_cli.kernels.cells import CELLS, NUM_GATES, NUM_STATE_TENSORS, State, cast_state

RNN_CLASSES: dict[str, type[nn.RNN] | type[nn.GRU] | type[nn.LSTM]] = {
    "rnn": nn.RNN,
    "gru": nn.GRU,
    "lstm": nn.LSTM,
}


def call_rnn(rnn: nn.Module, *inputs: Any) -> Any:
    """Call one of PyTorch's recurrent layers, on any device, in any precision.

    PyTorch computes an LSTM on a CPU by oneDNN, which has no float16 LSTM for most processors. In
    float16 this function makes it use PyTorch's own loop.
    """
    onednn: Any = torch.backends.mkldnn  # PyTorch's type stubs do not know its settings
    is_half = torch.is_autocast_enabled("cpu") and torch.get_autocast_dtype("cpu") == torch.float16
    was_enabled = onednn.enabled
    try:
        onednn.enabled = was_enabled and not is_half
        return rnn(*inputs)
    finally:
        onednn.enabled = was_enabled


def as_state(hidden: Tensor | State) -> State:
    """The last state that an `nn.RNN`, `nn.GRU` or `nn.LSTM` returns, as a tuple."""
    return (hidden,) if isinstance(hidden, Tensor) else hidden


class Transition(nn.Module):
    """A cell without input, which follows another cell in the same time step.

    Its gates from the input are a trained bias. From Pascanu et al. 2014; in this form Barone et
    al. 2017 and Sennrich et al. 2017.
    """

    def __init__(self, cell: str, hidden_size: int, layer_norm: str = "none") -> None:
        super().__init__()
        self.cell = CELLS[cell]
        gates_size = NUM_GATES[cell] * hidden_size
        self.recurrent = nn.Linear(hidden_size, gates_size, bias=layer_norm != "cell")
        self.norm = make_gate_norm(gates_size, layer_norm)
        self.gates = nn.Parameter(torch.zeros(gates_size))

    def forward(self, state: State) -> State:
        """From one state to the next, each `(batch, hidden)` in the type of the weights."""
        recurrent = self.norm(self.recurrent(state[0]).to(self.gates.dtype))
        return self.cell.forward(self.gates.unsqueeze(0), recurrent, state)[0]


class RecurrentLayer(nn.Module):
    """One unidirectional layer that runs over a whole sequence or one step at a time.

    It wraps a single-layer module of torch.nn. Several layers in one module would use cuDNN's
    dropout between them, which keeps a random state that no seed restores. With a `depth` of more
    than one, further cells without input follow in each step, `Transition`s.
    """

    def __init__(
        self,
        cell: str,
        input_size: int,
        hidden_size: int,
        depth: int = 1,
        layer_norm: str = "none",
    ) -> None:
        super().__init__()
        self.cell = cell
        self.is_normalized = layer_norm == "cell"
        gates_size = NUM_GATES[cell] * hidden_size
        self.rnn = RNN_CLASSES[cell](
            input_size, hidden_size, bias=not self.is_normalized, batch_first=True
        )
        self.input_norm = make_gate_norm(gates_size, layer_norm)
        self.state_norm = make_gate_norm(gates_size, layer_norm)
        self.transitions = nn.ModuleList(
            Transition(cell, hidden_size, layer_norm) for _ in range(1, depth)
        )

    @property
    def is_plain(self) -> bool:
        """Whether a step is one cell of torch.nn, as torch's own loops and our kernels compute."""
        return not (self.transitions or self.is_normalized)

    def forward(self, inputs: Tensor, state: State) -> tuple[Tensor, State]:
        """Run over a whole sequence.

        Args:
            inputs: `(batch, tgt_len, input)`.
            state: each `(batch, hidden)`.

        Returns:
            outputs: `(batch, tgt_len, hidden)`.
            state: after the last step, each `(batch, hidden)`.
        """
        if not self.is_plain:
            return self._run_steps(inputs, state)
        first = tuple(tensor.unsqueeze(0).contiguous() for tensor in state)
        outputs, last = call_rnn(self.rnn, inputs, first if len(first) > 1 else first[0])
        return outputs, tuple(tensor[0] for tensor in as_state(last))

    def _run_steps(self, inputs: Tensor, state: State) -> tuple[Tensor, State]:
        """As `forward`, one step at a time."""
        outputs = []
        for gates in self.project(inputs).unbind(1):
            state = self.step(gates, state)
            outputs.append(state[0])
        return torch.stack(outputs, 1), state

    def zero_state(self, num_rows: int) -> State:
        """A state of zeros, each `(num_rows, hidden)`."""
        zeros = self._any_bias.new_zeros(num_rows, self.rnn.hidden_size)
        return (zeros,) * NUM_STATE_TENSORS[self.cell]

    def project(self, inputs: Tensor) -> Tensor:
        """The gates that come from the inputs, `(..., gates * hidden)`; `step` normalises them."""
        bias = None if self.is_normalized else self.rnn.bias_ih_l0
        return F.linear(inputs, self.rnn.weight_ih_l0, bias)  # type: ignore[arg-type]

    def step(self, gates: Tensor, state: State) -> State:
        """The state after one step, each `(batch, hidden)`.

        Args:
            gates: what `project` returned, `(batch, gates * hidden)`, possibly plus other inputs.
            state: each `(batch, hidden)`.
        """
        bias = None if self.is_normalized else self.rnn.bias_hh_l0
        recurrent = F.linear(state[0], self.rnn.weight_hh_l0, bias)  # type: ignore[arg-type]
        # Under autocast the products are bfloat16. The state stays in the type of the weights.
        dtype = self._any_bias.dtype
        gates, recurrent = self.input_norm(gates.to(dtype)), self.state_norm(recurrent.to(dtype))
        state = CELLS[self.cell].forward(gates, recurrent, cast_state(state, dtype))[0]
        for transition in self.transitions:
            state = transition(state)
        return state

    @property
    def _any_bias(self) -> Tensor:
        """A bias of the cell; when the matrices are packed, it keeps the type of the weights."""
        return cast("Tensor", self.state_norm.bias if self.is_normalized else self.rnn.bias_hh_l0)


def make_gate_norm(gates_size: int, layer_norm: str) -> nn.Module:
    """The normalisation of one of the sums that a cell receives, if cells have any."""
    return nn.LayerNorm(gates_size) if layer_norm == "cell" else nn.Identity()
