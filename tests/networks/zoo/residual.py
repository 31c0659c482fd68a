"""Residual streams, branches and joins of dense layers; inputs and outputs of many forms."""

from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from tests.networks.zoo.case import Case, Inputs, linear, net, vectors, weight


class _Stream(nn.Module):
    """A residual stream of 16 with `depth` blocks 16 -> 24 -> 16."""

    def __init__(self, depth: int = 3, norm: type[nn.Module] | None = None) -> None:
        super().__init__()
        self.first, self.last = nn.Linear(12, 16), nn.Linear(16, 10)
        self.ups = nn.ModuleList(nn.Linear(16, 24) for _ in range(depth))
        self.downs = nn.ModuleList(nn.Linear(24, 16) for _ in range(depth))
        self.norms = nn.ModuleList(norm(16) if norm else nn.Identity() for _ in range(depth))

    def forward(self, x: Tensor) -> Tensor:
        stream = self.first(x)
        for up, down, norm in zip(self.ups, self.downs, self.norms, strict=True):
            stream = stream + down(F.gelu(up(norm(stream))))
        out: Tensor = self.last(stream)
        return out


class _Branching(nn.Module):
    """Another function in train mode than in eval mode."""

    def __init__(self) -> None:
        super().__init__()
        self.fc1, self.fc2, self.out = linear(12, 16, 16, 10)

    def forward(self, x: Tensor) -> Tensor:
        h = F.relu(self.fc1(x))
        if self.training:
            h = h.flip(-1)
        out: Tensor = self.out(F.relu(self.fc2(h)))
        return out


class _DataDependent(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.fc1, self.fc2 = linear(12, 16, 10)

    def forward(self, x: Tensor) -> Tensor:
        h = self.fc1(x)
        if h.sum() > 0:
            h = h.flip(-1)
        out: Tensor = self.fc2(h)
        return out


class _Running(nn.Module):
    """Keeps a running mean of its hidden layer and subtracts it; counts its calls."""

    mean: Tensor
    calls: Tensor

    def __init__(self, persistent: bool) -> None:
        super().__init__()
        self.fc1, self.fc2 = linear(12, 16, 10)
        self.register_buffer("mean", torch.randn(16), persistent=persistent)
        self.register_buffer("calls", torch.tensor(0))

    def forward(self, x: Tensor) -> Tensor:
        h = F.relu(self.fc1(x))
        self.mean.mul_(0.9).add_(0.1 * h.mean(0))
        self.calls += 1
        out: Tensor = self.fc2(h - self.mean)
        return out


_STREAM = ("ups.0", "ups.1", "ups.2", "downs.0", "downs.1", "downs.2", "last")


def _body() -> dict[str, nn.Module]:
    first, second, last = linear(12, 16, 24, 10)
    return {"first": first, "second": second, "last": last}


def _hidden(m: Any, x: Tensor) -> tuple[Tensor, Tensor]:
    one = F.relu(m.first(x))
    return one, F.relu(m.second(one))


def _keywords() -> Inputs:
    return {"x": torch.randn(3, 12, dtype=torch.float64), "scale": torch.randn(3, 1, dtype=torch.float64)}


CASES = (
    Case("stream", _Stream, vectors(12), _STREAM),
    Case("stream_layer_norm", lambda: _Stream(norm=nn.LayerNorm), vectors(12), _STREAM),
    Case("stream_rms_norm", lambda: _Stream(norm=nn.RMSNorm), vectors(12), _STREAM),
    Case(
        "residual_from_input",
        lambda: net(
            lambda m, x: m.out(x + m.down(F.relu(m.up(x)))),
            up=nn.Linear(12, 16),
            down=nn.Linear(16, 12),
            out=nn.Linear(12, 10),
        ),
        vectors(12),
        ("down",),
        "the stream is the model's input",
    ),
    Case(
        "residual_into_output",
        lambda: net(
            lambda m, x: (lambda s: s + m.down(F.relu(m.up(s))))(m.first(x)),
            first=nn.Linear(12, 16),
            up=nn.Linear(16, 24),
            down=nn.Linear(24, 16),
        ),
        vectors(12),
        ("down",),
        "the stream is the model's output",
    ),
    Case(
        "forks_and_joins",
        lambda: net(
            lambda m, x: (lambda h: m.out(F.relu(m.a(h)) * torch.sigmoid(m.b(h)) + m.c(h)))(F.relu(m.first(x))),
            first=nn.Linear(12, 16),
            a=nn.Linear(16, 24),
            b=nn.Linear(16, 24),
            c=nn.Linear(16, 24),
            out=nn.Linear(24, 10),
        ),
        vectors(12),
        ("a", "b", "c", "out"),
    ),
    Case(
        "joined_with_broadcast",
        lambda: net(
            lambda m, x: m.out(F.relu(m.a(x)) * m.gate(x)),
            a=nn.Linear(12, 16),
            gate=nn.Linear(12, 1),
            out=nn.Linear(16, 10),
        ),
        vectors(12),
        ("out",),
    ),
    Case(
        "joined_with_input_column",
        lambda: net(lambda m, x: m.out(F.relu(m.a(x)) + x[:, :1]), a=nn.Linear(12, 16), out=nn.Linear(16, 10)),
        vectors(12),
        ("out",),
        "one number for all channels",
    ),
    Case(
        "cat_of_branches",
        lambda: net(
            lambda m, x: m.out(torch.cat([F.relu(m.a(x)), m.b(x)], -1)),
            a=nn.Linear(12, 16),
            b=nn.Linear(12, 8),
            out=nn.Linear(24, 10),
        ),
        vectors(12),
        ("out",),
        "each branch its own permutation",
    ),
    Case(
        "cat_with_input",
        lambda: net(
            lambda m, x: m.out(torch.cat([F.relu(m.a(x)), x], dim=1)), a=nn.Linear(12, 16), out=nn.Linear(28, 10)
        ),
        vectors(12),
        {"out": 16 / 28},
        "the columns of the input stay",
    ),
    Case(
        "cat_then_residual",
        lambda: net(
            lambda m, x: m.out(torch.cat([m.a(x), m.b(x)], 1) + m.c(x)),
            a=nn.Linear(12, 16),
            b=nn.Linear(12, 8),
            c=nn.Linear(12, 24),
            out=nn.Linear(24, 10),
        ),
        vectors(12),
        ("out",),
        "the rows of c follow in two blocks",
    ),
    Case(
        "cat_in_two_orders",
        lambda: net(
            lambda m, x: (lambda a, b: m.p(torch.cat([a, b], 1)) + m.q(torch.cat([b, a], 1)))(m.a(x).relu(), m.b(x)),
            a=nn.Linear(12, 16),
            b=nn.Linear(12, 8),
            p=nn.Linear(24, 10),
            q=nn.Linear(24, 10),
        ),
        vectors(12),
        ("p", "q"),
    ),
    Case(
        "square_parameter",
        lambda: net(
            lambda m, x: m.out(F.relu(m.a(x) + m.square.t())),
            a=nn.Linear(12, 16),
            out=nn.Linear(16, 10),
            square=weight(16, 16),
        ),
        vectors(12, batch=16),
        ("out",),
        "rows of the parameter are channels, its columns are examples",
    ),
    Case(
        "square_parameter_twice",
        lambda: net(
            lambda m, x: m.out(F.relu(m.a(x) @ m.square + m.square.sum(0))),
            a=nn.Linear(12, 16),
            out=nn.Linear(16, 10),
            square=weight(16, 16),
        ),
        vectors(12),
        ("out",),
    ),
    Case(
        "tuple_output",
        lambda: net(lambda m, x: (m.last(_hidden(m, x)[1]), _hidden(m, x)[1].mean(-1)), **_body()),
        vectors(12),
        ("second", "last"),
    ),
    Case(
        "tuple_with_hidden",
        lambda: net(lambda m, x: (m.last(_hidden(m, x)[1]), _hidden(m, x)[0]), **_body()),
        vectors(12),
        ("last",),
        "the first hidden layer is an output",
    ),
    Case(
        "nested_output",
        lambda: net(
            lambda m, x: {"logits": m.last(_hidden(m, x)[1]), "more": [None, {"hidden": _hidden(m, x)[1]}]}, **_body()
        ),
        vectors(12),
        ("second",),
        "the second hidden layer is an output",
    ),
    Case(
        "keyword_inputs",
        lambda: net(lambda m, x, scale: m.last(_hidden(m, x)[1] * scale), **_body()),
        _keywords,
        ("second", "last"),
    ),
    Case(
        "two_inputs",
        lambda: net(lambda m, x, y: m.last(F.relu(m.second(F.relu(m.first(x)) + F.relu(m.first(y))))), **_body()),
        vectors(12, count=2),
        ("second", "last"),
    ),
    Case(
        "input_of_hidden_width",
        lambda: net(
            lambda m, x, y: m.last(m.second(F.relu(m.first(x)) + y[:, :1] * 2 + y.repeat(1, 2)[:, :16])), **_body()
        ),
        vectors(12, count=2),
        ("last",),
        "an input is added to the first hidden layer",
    ),
    Case(
        "input_changed_in_place",
        lambda: net(lambda m, x: m.last(_hidden(m, x.clone().add_(1.0))[1]), **_body()),
        vectors(12),
        ("second", "last"),
    ),
    Case(
        "data_dependent_index",
        lambda: net(
            lambda m, x, y: m.last(F.relu(m.second(F.relu(m.first(x)).gather(1, y.argsort(1).repeat(1, 2)[:, :16])))),
            **_body(),
        ),
        vectors(12, count=2),
        ("last",),
    ),
    Case("train_mode_differs", _Branching, vectors(12), ("out",), "a flip that only train mode has"),
    Case("data_dependent_branch", _DataDependent, vectors(12), (), "not to be traced", untraceable=True),
    Case("running_mean", lambda: _Running(True), vectors(12), ("fc2",), "the buffer follows"),
    Case(
        "running_mean_not_saved",
        lambda: _Running(False),
        vectors(12),
        (),
        "a buffer that is not saved must stay as the code makes it",
    ),
    Case(
        "masked_select",
        lambda: net(lambda m, x: m.last(F.relu(m.second(F.relu(m.first(x[x[:, 0] > -9]))))), **_body()),
        vectors(12),
        (),
        "how many rows there are depends on the data: permuted or refused",
    ),
)
