"""One unidirectional recurrent layer, over a whole sequence or one step at a time.

Its step has one cell of torch.nn, or several (deep transitions).
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

    def __init__(self, cell: str, hidden_size: int) -> None:
        super().__init__()
        self.cell = CELLS[cell]
        gates_size = NUM_GATES[cell] * hidden_size
        self.recurrent = nn.Linear(hidden_size, gates_size)
        self.gates = nn.Parameter(torch.zeros(gates_size))

    def forward(self, state: State) -> State:
        """From one state to the next, each `(batch, hidden)` in the type of the weights."""
        recurrent: Tensor = self.recurrent(state[0]).to(self.gates.dtype)
        return self.cell.forward(self.gates.unsqueeze(0), recurrent, state)[0]


class RecurrentLayer(nn.Module):
    """One unidirectional layer that runs over a whole sequence or one step at a time.

    It wraps a single-layer module of torch.nn. Several layers in one module would use cuDNN's
    dropout between them, which keeps a random state that no seed restores. With a `depth` of more
    than one, further cells without input follow in each step, `Transition`s.
    """

    def __init__(self, cell: str, input_size: int, hidden_size: int, depth: int = 1) -> None:
        super().__init__()
        self.cell = cell
        self.rnn = RNN_CLASSES[cell](input_size, hidden_size, batch_first=True)
        self.transitions = nn.ModuleList(Transition(cell, hidden_size) for _ in range(1, depth))

    @property
    def is_plain(self) -> bool:
        """Whether a step is one cell of torch.nn, as torch's own loops and our kernels compute."""
        return not self.transitions

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
        bias = cast("Tensor", self.rnn.bias_hh_l0)
        zeros = bias.new_zeros(num_rows, self.rnn.hidden_size)
        return (zeros,) * NUM_STATE_TENSORS[self.cell]

    def project(self, inputs: Tensor) -> Tensor:
        """The gates that come from the inputs, `(..., gates * hidden)`."""
        return F.linear(inputs, self.rnn.weight_ih_l0, self.rnn.bias_ih_l0)  # type: ignore[arg-type]

    def step(self, gates: Tensor, state: State) -> State:
        """The state after one step, each `(batch, hidden)`.

        Args:
            gates: what `project` returned, `(batch, gates * hidden)`, possibly plus other inputs.
            state: each `(batch, hidden)`.
        """
        recurrent = F.linear(state[0], self.rnn.weight_hh_l0, self.rnn.bias_hh_l0)  # type: ignore[arg-type]
        # Under autocast the products are bfloat16. The state stays in the type of the weights.
        dtype = cast("Tensor", self.rnn.bias_hh_l0).dtype
        state = cast_state(state, dtype)
        state = CELLS[self.cell].forward(gates.to(dtype), recurrent.to(dtype), state)[0]
        for transition in self.transitions:
            state = transition(state)
        return state
