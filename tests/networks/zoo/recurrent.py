"""Recurrent networks: built-in operators, cells, written by hand, and scans."""

from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from tests.networks.zoo.case import Case, net, sequences, weight


def _built_in(kind: type[nn.Module], **options: Any) -> Any:
    wide = 32 if options.get("bidirectional") else 16
    return lambda: net(
        lambda m, x: m.out(F.relu(m.after(m.core(F.relu(m.stem(x)))[0]))),
        stem=nn.Linear(12, 16),
        core=kind(16, 16, batch_first=True, **options),
        after=nn.Linear(wide, 16),
        out=nn.Linear(16, 10),
    )


def _elman(m: Any, x: Tensor, start: Tensor | None = None) -> Tensor:
    h = torch.zeros(x.shape[0], 16, dtype=x.dtype) if start is None else start[:, 0]
    for step in range(x.shape[1]):
        h = torch.tanh(m.enter(x[:, step]) + m.again(h))
    return m.out(h)  # type: ignore[no-any-return]


def _gru(m: Any, x: Tensor) -> Tensor:
    h = x.new_zeros(x.shape[0], 16)
    outputs = []
    for part in x.unbind(1):
        reset, update, new = m.enter(part).chunk(3, -1)
        reset_h, update_h, new_h = m.again(h).chunk(3, -1)
        update = torch.sigmoid(update + update_h)
        h = (1 - update) * torch.tanh(new + torch.sigmoid(reset + reset_h) * new_h) + update * h
        outputs.append(h)
    return m.out(torch.stack(outputs, 1))  # type: ignore[no-any-return]


def _lstm(m: Any, x: Tensor) -> Tensor:
    h = c = x.new_zeros(x.shape[0], 16)
    for part in x.unbind(1):
        enter, forget, new, leave = (m.enter(part) + m.again(h)).chunk(4, -1)
        c = forget.sigmoid() * c + enter.sigmoid() * new.tanh()
        h = leave.sigmoid() * c.tanh()
    return m.out(h)  # type: ignore[no-any-return]


def _cell(kind: type[nn.Module]) -> Any:
    def run(m: Any, x: Tensor) -> Tensor:
        state: Any = None
        for part in x.unbind(1):
            state = m.cell(part, state)
        return m.out(state[0] if isinstance(state, tuple) else state)  # type: ignore[no-any-return]

    return lambda: net(run, cell=kind(12, 16), out=nn.Linear(16, 10))


def _state_space(m: Any, x: Tensor) -> Tensor:
    """A diagonal state space per channel, gated (Mamba in small)."""
    u, gate = m.enter(x).chunk(2, -1)
    u = F.silu(m.conv(u.transpose(1, 2))[..., : u.shape[1]].transpose(1, 2))
    step = F.softplus(m.step(u))
    state = torch.zeros(x.shape[0], 16, 4, dtype=x.dtype)
    into, outof = m.into(u), m.outof(u)
    rate = -torch.exp(m.rate)
    ys = []
    for t in range(x.shape[1]):
        decay = torch.exp(step[:, t, :, None] * rate)
        state = decay * state + (step[:, t] * u[:, t])[:, :, None] * into[:, t, None, :]
        ys.append((state * outof[:, t, None, :]).sum(-1))
    y = torch.stack(ys, 1) + u * m.skip
    return m.out(y * F.silu(gate))  # type: ignore[no-any-return]


def _average(m: Any, x: Tensor) -> Tensor:
    s = F.relu(m.stem(x))
    return m.out(s.cumsum(1) / torch.arange(1, s.shape[1] + 1).view(-1, 1))  # type: ignore[no-any-return]


def _causal(m: Any, x: Tensor) -> Tensor:
    h = x.transpose(1, 2)
    for name in ("a", "b"):
        h = F.relu(m.get_submodule(name)(F.pad(h, (2, 0))))
    return m.out(h.transpose(1, 2))  # type: ignore[no-any-return]


def _cells(gates: int) -> dict[str, nn.Module]:
    return {"enter": nn.Linear(12, 16 * gates), "again": nn.Linear(16, 16 * gates), "out": nn.Linear(16, 10)}


_UNSEEN = "the step's own weights do not count as prunable, and its state is the caller's"
_FOLLOWS = "the hidden axis follows inside the operator, whose weights do not count as prunable"

CASES = (
    Case("lstm", _built_in(nn.LSTM), sequences(12), ("after", "out"), _FOLLOWS),
    Case(
        "lstm_two_ways",
        _built_in(nn.LSTM, bidirectional=True, num_layers=2),
        sequences(12),
        ("after", "out"),
        "each direction has an order of its own",
    ),
    Case("lstm_no_bias", _built_in(nn.LSTM, bias=False, num_layers=2), sequences(12), ("after", "out"), _FOLLOWS),
    Case("lstm_dropout", _built_in(nn.LSTM, num_layers=2, dropout=0.2), sequences(12), ("after", "out"), train=False),
    Case(
        "lstm_projected",
        lambda: net(lambda m, x: m.after(m.core(x)[0]), core=nn.LSTM(12, 32, proj_size=16), after=nn.Linear(16, 10)),
        sequences(12),
        ("after",),
        "cell and projected state are two axes; time comes first",
    ),
    Case("gru", _built_in(nn.GRU), sequences(12), ("after", "out"), _FOLLOWS),
    Case("gru_deep", _built_in(nn.GRU, num_layers=3), sequences(12), ("after", "out"), _FOLLOWS),
    Case("rnn", _built_in(nn.RNN), sequences(12), ("after", "out"), _FOLLOWS),
    Case("rnn_relu", _built_in(nn.RNN, nonlinearity="relu"), sequences(12), ("after", "out"), _FOLLOWS),
    Case(
        "lstm_last_state",
        lambda: net(
            lambda m, x: m.out(torch.cat([part[-1] for part in m.core(x)[1]], -1)),
            core=nn.LSTM(12, 16, num_layers=2, batch_first=True),
            out=nn.Linear(32, 10),
        ),
        sequences(12),
        ("out",),
        "hidden state and cell of the last layer",
    ),
    Case(
        "gru_given_start",
        lambda: net(
            lambda m, x, start: m.out(m.core(x, start[:1, :2, :16].repeat(1, 1, 2)[..., :16])[0]),
            core=nn.GRU(12, 16, batch_first=True),
            out=nn.Linear(16, 10),
        ),
        sequences(12, count=2),
        (),
        "the first state is the caller's",
    ),
    Case(
        "lstm_learnt_start",
        lambda: net(
            lambda m, x: m.out(m.core(x, (m.h.expand(1, 2, 16).contiguous(), m.c.expand(1, 2, 16).contiguous()))[0]),
            core=nn.LSTM(12, 16, batch_first=True),
            out=nn.Linear(16, 10),
            h=weight(16),
            c=weight(16),
        ),
        sequences(12),
        ("out",),
        "the first states are parameters and follow",
    ),
    Case(
        "seq2seq_gru",
        lambda: net(
            lambda m, x: m.out(m.decoder(x.flip(1), m.encoder(x)[1])[0]),
            encoder=nn.GRU(12, 16, batch_first=True),
            decoder=nn.GRU(12, 16, batch_first=True),
            out=nn.Linear(16, 10),
        ),
        sequences(12),
        ("out",),
        "the encoder's last state starts the decoder: both have one order",
    ),
    Case(
        "elman_by_hand",
        lambda: net(_elman, **_cells(1)),
        sequences(12),
        ("again", "out"),
        "the state starts at zero, alike for all",
    ),
    Case(
        "elman_given_start",
        lambda: net(lambda m, x, start: _elman(m, x, start.repeat(1, 1, 2)[..., :16]), **_cells(1)),
        sequences(12, count=2),
        (),
        "the first state is the caller's",
    ),
    Case("gru_by_hand", lambda: net(_gru, **_cells(3)), sequences(12), ("again", "out"), "all gates follow"),
    Case("lstm_by_hand", lambda: net(_lstm, **_cells(4)), sequences(12), ("again", "out")),
    Case("rnn_cell", _cell(nn.RNNCell), sequences(12), (), _UNSEEN),
    Case("gru_cell", _cell(nn.GRUCell), sequences(12), (), _UNSEEN),
    Case("lstm_cell", _cell(nn.LSTMCell), sequences(12), (), _UNSEEN),
    Case(
        "state_space",
        lambda: net(
            _state_space,
            enter=nn.Linear(12, 32),
            conv=nn.Conv1d(16, 16, 3, padding=2, groups=16),
            step=nn.Linear(16, 16),
            into=nn.Linear(16, 4),
            outof=nn.Linear(16, 4),
            rate=weight(16, 4),
            skip=weight(16),
            out=nn.Linear(16, 10),
        ),
        sequences(12),
        ("step", "into", "outof", "out"),
        "the channels of the scan are free",
    ),
    Case(
        "running_average",
        lambda: net(_average, stem=nn.Linear(12, 16), out=nn.Linear(16, 10)),
        sequences(12),
        ("out",),
        "a sum over the past, not over channels",
    ),
    Case(
        "causal_convolutions",
        lambda: net(_causal, a=nn.Conv1d(12, 16, 3), b=nn.Conv1d(16, 16, 3), out=nn.Linear(16, 10)),
        sequences(12),
        ("b", "out"),
    ),
)
