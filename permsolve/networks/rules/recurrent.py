"""Single steps of recurrent layers, by what they compute."""

from permsolve.networks.rules.call import Call, Outcome, rule
from permsolve.networks.rules.contractions import apply_linear
from permsolve.networks.symmetry.combining import merge
from permsolve.networks.symmetry.reindexing import reshape, select
from permsolve.networks.symmetry.structure import Structure
from permsolve.networks.symmetry.value import Value


def _gates(call: Call, hidden: Value, count: int) -> tuple[list[Value], list[Value]]:
    """What the input and the hidden state contribute to each gate."""
    s = call.structure
    inputs = apply_linear(s, call["input"], call["w_ih"], call["b_ih"])
    states = apply_linear(s, hidden, call["w_hh"], call["b_hh"])
    return _parts(s, inputs, count), _parts(s, states, count)


def _parts(structure: Structure, value: Value, count: int) -> list[Value]:
    *lead, width = value.shape
    split = reshape(structure, value, [*lead, count, width // count])
    return [select(structure, split, len(lead), part) for part in range(count)]


@rule("lstm_cell")
def lstm_cell(call: Call) -> Outcome:
    """Four gates, a cell and a hidden state: all alike."""
    hidden, cell = call["hx"]
    inputs, states = _gates(call, hidden, 4)
    state = merge(call.structure, [*inputs, *states, cell], cell.shape)
    return [state, state]


@rule("gru_cell")
def gru_cell(call: Call) -> Outcome:
    """Three gates and the hidden state."""
    hidden = call["hx"]
    inputs, states = _gates(call, hidden, 3)
    return merge(call.structure, [*inputs, *states, hidden], hidden.shape)


@rule("rnn_tanh_cell", "rnn_relu_cell")
def rnn_cell(call: Call) -> Outcome:
    """One gate that becomes the hidden state."""
    inputs, states = _gates(call, call["hx"], 1)
    return merge(call.structure, [*inputs, *states], call["hx"].shape)
