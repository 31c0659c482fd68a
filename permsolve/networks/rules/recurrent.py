"""Recurrent layers and their single steps, by what they compute."""

from collections.abc import Sequence

from permsolve.networks.rules.call import Call, Outcome, rule
from permsolve.networks.rules.contractions import apply_linear
from permsolve.networks.symmetry.combining import fix, joined, merge
from permsolve.networks.symmetry.reindexing import insert, reshape, select
from permsolve.networks.symmetry.structure import Structure
from permsolve.networks.symmetry.value import Value

_GATES = {"aten.lstm": 4, "aten.gru": 3, "aten.rnn_tanh": 1, "aten.rnn_relu": 1}


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


@rule("lstm.input", "gru.input", "rnn_tanh.input", "rnn_relu.input")
def recurrent(call: Call) -> Outcome:
    """All layers, directions and steps: in each layer and direction the channels of the state move as one."""
    s, value = call.structure, call["input"]
    initial = call["hx"] if isinstance(call["hx"], list) else [call["hx"]]
    time = 1 if call["batch_first"] else 0
    directions = 2 if call["bidirectional"] else 1
    total = call["num_layers"] * directions
    each = len(call["params"]) // total
    finals: list[list[Value]] = [[] for _ in initial]
    for layer in range(call["num_layers"]):
        outputs = []
        for number in range(layer * directions, (layer + 1) * directions):
            start = [insert(select(s, state, 0, number), time) for state in initial]
            states = _steps(call, fix(s, value, [time]), start, call["params"][number * each : (number + 1) * each])
            outputs.append(states[0])
            for kind, state in zip(finals, states, strict=True):
                kind.append(insert(select(s, state, time, 0), 0))
        value = joined(s, outputs, 2) if directions > 1 else outputs[0]
    # Laid one on the other, the final states of all layers move alike; where nobody reads them they demand nothing.
    last = [
        joined(s, kind, 0) if number in call.used else Value(call.shapes[number] or ())
        for number, kind in enumerate(finals, 1)
    ]
    return [value, *last]


def _steps(call: Call, value: Value, start: Sequence[Value], params: Sequence[Value]) -> list[Value]:
    """Hidden state (and cell) of one layer and direction at all steps, beginning with ``start``."""
    s, gates = call.structure, _GATES[call.name]
    into, again, *rest = params
    biases: Sequence[Value | None] = rest[:2] if call["has_biases"] else (None, None)
    projection = rest[-1] if len(rest) % 2 else None
    inputs = _parts(s, apply_linear(s, value, into, biases[0]), gates)
    # What comes out is fed back: the state is what the inputs and the start make it, and then has to agree with itself.
    inner = merge(s, [*inputs, start[-1]], inputs[0].shape)
    hidden = inner
    if projection is not None:
        hidden = apply_linear(s, inner, projection, None)
    hidden = merge(s, [hidden, start[0]], hidden.shape)
    fed_back = _parts(s, apply_linear(s, hidden, again, biases[1]), gates)
    inner = merge(s, [inner, *fed_back], inner.shape)
    return [hidden if projection is not None else merge(s, [hidden, inner], inner.shape), inner][: len(start)]
