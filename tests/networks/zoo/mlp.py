"""Dense layers, elementwise operators, and sharing of parameters."""

from functools import partial
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F
from torch.nn.utils import parametrizations, prune
from torch.utils.checkpoint import checkpoint

from tests.networks.zoo.case import Case, Net, linear, net, sequences, vectors, weight


def _three(between: nn.Module | None = None, width: int = 16) -> nn.Module:
    return nn.Sequential(
        nn.Linear(12, width), between or nn.ReLU(), nn.Linear(width, width), nn.Tanh(), nn.Linear(width, 10)
    )


def _two(run: object, width: int = 16, **parts: object) -> Net:
    """fc1 12 -> width, what `run` does in between, fc2 width -> 10."""
    return net(
        lambda m, x: m.fc2(run(m, m.fc1(x))),  # type: ignore[operator]
        fc1=nn.Linear(12, width),
        fc2=nn.Linear(parts.pop("wide", width), 10),  # type: ignore[arg-type]
        **parts,
    )


def _shared_parameter() -> Any:
    model: Any = net(
        lambda m, x: m.out(F.relu(m.b(F.relu(m.a(F.relu(m.fc1(x))))))),
        fc1=nn.Linear(12, 16),
        a=nn.Linear(16, 16),
        b=nn.Linear(16, 16),
        out=nn.Linear(16, 10),
    )
    model.b.weight = model.a.weight
    return model


def _one_storage() -> Any:
    model = _shared_parameter()
    model.b.weight = nn.Parameter(model.a.weight.data)
    return model


def _flat_storage() -> Any:
    model = _shared_parameter()
    flat = torch.randn(512)
    model.a.weight = nn.Parameter(flat[:256].view(16, 16))
    model.b.weight = nn.Parameter(flat[256:].view(16, 16))
    return model


def _overlapping_storage() -> Any:
    model = _shared_parameter()
    flat = torch.randn(400)
    model.a.weight = nn.Parameter(flat[:256].view(16, 16))
    model.b.weight = nn.Parameter(flat[144:].view(16, 16))
    return model


def _parametrized(kind: str) -> nn.Module:
    model = _three()
    first = model.get_submodule("0")
    if kind == "weight_norm":
        parametrizations.weight_norm(first)
    elif kind == "spectral_norm":
        parametrizations.spectral_norm(first)
    else:
        parametrizations.orthogonal(first)
    return model


def _hooked(hook: object) -> nn.Module:
    model = _three()
    model.get_submodule("0").register_forward_hook(hook)  # type: ignore[arg-type]
    return model


class _Twice(nn.Module):
    """One layer, registered under two names."""

    def __init__(self) -> None:
        super().__init__()
        self.fc1, self.middle, self.out = linear(12, 16, 16, 10)
        self.again = self.middle

    def forward(self, x: Tensor) -> Tensor:
        x = F.relu(self.middle(F.relu(self.fc1(x))))
        out: Tensor = self.out(F.relu(self.again(x)))
        return out


class _Lists(nn.Module):
    """Parameters in lists and dictionaries, used by functional calls."""

    def __init__(self) -> None:
        super().__init__()
        self.weights = nn.ParameterList([weight(16, 12), weight(16, 16)])
        self.more = nn.ParameterDict({"bias": weight(16)})
        self.layers = nn.ModuleDict({"out": nn.Linear(16, 10)})

    def forward(self, x: Tensor) -> Tensor:
        x = F.relu(F.linear(x, self.weights[0], self.more["bias"]))
        out: Tensor = self.layers["out"](F.relu(F.linear(x, self.weights[1], self.more["bias"])))
        return out


class _Round(torch.autograd.Function):
    """Rounding with a straight-through gradient."""

    @staticmethod
    def forward(context: object, x: Tensor) -> Tensor:
        return torch.round(x * 8) / 8

    @staticmethod
    def backward(context: object, gradient: Tensor) -> Tensor:
        return gradient


def _pruned(model: nn.Module) -> nn.Module:
    prune.l1_unstructured(model.get_submodule("0"), "weight", 0.5)
    return model


CASES = (
    Case("mlp", _three, vectors(12), ("2", "4")),
    Case(
        "mlp_no_bias",
        lambda: nn.Sequential(
            nn.Linear(12, 16, bias=False), nn.ReLU(), nn.Linear(16, 24, bias=False), nn.ReLU(), nn.Linear(24, 10)
        ),
        vectors(12),
        ("2", "4"),
    ),
    Case("mlp_deep", lambda: nn.Sequential(*linear(12, 16, 24, 32, 24, 16, 10)), vectors(12), tuple("12345")),
    Case("mlp_width_36", lambda: _three(width=36), vectors(12), ("2", "4"), "36 is no multiple of 16"),
    Case("mlp_width_18", lambda: _three(width=18), vectors(12), ("2", "4"), "18 is no multiple of 4: a short group"),
    Case("mlp_in_sequences", _three, sequences(12), ("2", "4")),
    Case("single_layer", lambda: nn.Linear(12, 10), vectors(12), (), "input and output belong to the caller"),
    Case(
        "unused_layer",
        lambda: net(
            lambda m, x: m.fc2(F.relu(m.fc1(x))), fc1=nn.Linear(12, 16), fc2=nn.Linear(16, 10), spare=nn.Linear(16, 16)
        ),
        vectors(12),
        ("fc2",),
        "nobody feeds `spare`",
    ),
    *(
        Case(f"activation_{type(activation).__name__.lower()}", partial(_three, activation), vectors(12), ("2", "4"))
        for activation in (nn.GELU(), nn.SiLU(), nn.Hardswish(), nn.LeakyReLU(), nn.Softplus(), nn.ReLU6(), nn.ELU())
    ),
    Case("activation_softmax", lambda: _three(nn.Softmax(-1)), vectors(12), ("2", "4"), "softmax treats all alike"),
    Case("activation_log_softmax", lambda: _three(nn.LogSoftmax(-1)), vectors(12), ("2", "4")),
    Case("prelu_one", lambda: _three(nn.PReLU()), vectors(12), ("2", "4")),
    Case("prelu_per_channel", lambda: _three(nn.PReLU(16)), vectors(12), ("2", "4"), "the slopes follow"),
    Case("dropout", lambda: _three(nn.Dropout(0.3)), vectors(12), ("2", "4"), train=False),
    Case(
        "swiglu",
        lambda: net(
            lambda m, x: m.down(F.silu(m.gate(x)) * m.up(x)),
            gate=nn.Linear(12, 16),
            up=nn.Linear(12, 16),
            down=nn.Linear(16, 10),
        ),
        vectors(12),
        ("down",),
    ),
    Case(
        "gate_up_fused",
        lambda: _two(lambda m, h: F.silu(h.chunk(2, -1)[0]) * h.chunk(2, -1)[1], 32, wide=16),
        vectors(12),
        ("fc2",),
        "both halves follow one permutation",
    ),
    Case("glu", lambda: _two(lambda m, h: F.glu(h, -1), 32, wide=16), vectors(12), ("fc2",)),
    Case(
        "scale_parameter",
        lambda: _two(lambda m, h: h * m.scale + m.shift, scale=weight(16), shift=weight(16)),
        vectors(12),
        ("fc2",),
    ),
    Case(
        "mask_buffer",
        lambda: _two(lambda m, h: h * m.keep, keep=(torch.arange(16) % 3 > 0).float()),
        vectors(12),
        ("fc2",),
        "a persistent buffer follows",
    ),
    Case(
        "constant_along_channels",
        lambda: _two(lambda m, h: h + torch.arange(16)),
        vectors(12),
        (),
        "the constant is in the code and cannot follow",
    ),
    Case("constant_mask", lambda: _two(lambda m, h: h * (torch.arange(16) % 2)), vectors(12), ()),
    Case(
        "names_that_collide",
        lambda: net(
            lambda m, x: m.out(F.relu(m.fc1_1(F.relu(m.fc11(x))))),
            fc11=nn.Linear(12, 16),
            fc1_1=nn.Linear(16, 24),
            out=nn.Linear(24, 10),
        ),
        vectors(12),
        ("fc1_1", "out"),
    ),
    Case(
        "called_twice",
        lambda: net(
            lambda m, x: m.out(F.relu(m.middle(F.relu(m.middle(F.relu(m.fc1(x))))))),
            fc1=nn.Linear(12, 16),
            middle=nn.Linear(16, 16),
            out=nn.Linear(16, 10),
        ),
        vectors(12),
        ("middle", "out"),
        "input and output axis of `middle` are the same one",
    ),
    Case(
        "called_twice_on_input",
        lambda: net(lambda m, x: m.out(m.middle(F.relu(m.middle(x)))), middle=nn.Linear(16, 16), out=nn.Linear(16, 10)),
        vectors(16),
        (),
        "the input axis of `middle`, and with it the output axis, is the caller's",
    ),
    Case("registered_twice", _Twice, vectors(12), ("middle", "out")),
    Case("shared_parameter", _shared_parameter, vectors(12), ("a", "out"), "a and b are one weight"),
    Case("one_storage", _one_storage, vectors(12), (), "two parameters over the same memory: left alone"),
    Case("flat_storage", _flat_storage, vectors(12), ("a", "b", "out"), "one memory block, but no overlap"),
    Case("overlapping_storage", _overlapping_storage, vectors(12), ()),
    Case(
        "tied_transposed",
        lambda: net(
            lambda m, x: F.linear(F.relu(F.linear(F.relu(m.b(F.relu(m.a(x)))), m.b.weight.t())), m.a.weight.t()),
            a=nn.Linear(12, 16),
            b=nn.Linear(16, 24),
        ),
        vectors(12),
        ("b",),
        "autoencoder: the columns of b are also rows of its transpose",
    ),
    Case(
        "bias_used_elsewhere",
        lambda: net(
            lambda m, x: (m.fc2(F.relu(m.fc1(x))), m.fc1.bias * 2), fc1=nn.Linear(12, 16), fc2=nn.Linear(16, 10)
        ),
        vectors(12),
        (),
        "the bias is an output, too",
    ),
    Case(
        "weight_returned",
        lambda: net(
            lambda m, x: (m.fc2(F.relu(m.fc1(x))), m.fc2.weight.abs().sum(0)),
            fc1=nn.Linear(12, 16),
            fc2=nn.Linear(16, 10),
        ),
        vectors(12),
        (),
    ),
    Case(
        "weight_penalty",
        lambda: net(
            lambda m, x: (m.fc2(F.relu(m.fc1(x))), m.fc2.weight.pow(2).sum()),
            fc1=nn.Linear(12, 16),
            fc2=nn.Linear(16, 10),
        ),
        vectors(12),
        ("fc2",),
        "a sum over all is indifferent to order",
    ),
    Case("parameters_in_containers", _Lists, vectors(12), ("layers.out",)),
    Case("frozen_parameters", lambda: _three().requires_grad_(False), vectors(12), ("2", "4")),
    Case("weight_norm", lambda: _parametrized("weight_norm"), vectors(12), ("4",), "what is parametrized may be left"),
    Case("spectral_norm", lambda: _parametrized("spectral_norm"), vectors(12), ("4",)),
    Case("orthogonal", lambda: _parametrized("orthogonal"), vectors(12), ("4",)),
    Case("torch_prune_mask", lambda: _pruned(_three()), vectors(12), ("4",), "a hook computes the first weight"),
    Case("hook_scales", lambda: _hooked(lambda module, inputs, out: out * 3), vectors(12), ("2", "4")),
    Case(
        "hook_adds_constant", lambda: _hooked(lambda module, inputs, out: out + torch.arange(16)), vectors(12), ("4",)
    ),
    Case("autograd_function", lambda: _two(lambda m, h: _Round.apply(h)), vectors(12), ("fc2",)),
    Case(
        "checkpoint",
        lambda: net(
            lambda m, x: m.out(checkpoint(m.body, x, use_reentrant=False)),
            body=nn.Sequential(nn.Linear(12, 16), nn.ReLU(), nn.Linear(16, 24), nn.ReLU()),
            out=nn.Linear(24, 10),
        ),
        vectors(12),
        ("body.2", "out"),
    ),
    Case(
        "low_rank_update",
        lambda: net(
            lambda m, x: F.linear(F.relu(m.fc1(x)), m.fc2.weight + m.b @ m.a, m.fc2.bias),
            fc1=nn.Linear(12, 16),
            fc2=nn.Linear(16, 10),
            a=weight(8, 16),
            b=weight(10, 8),
        ),
        vectors(12),
        ("fc2",),
        "the columns of `a` follow those of fc2",
    ),
    Case(
        "adapter",
        lambda: net(
            lambda m, x: m.fc2(F.relu(m.fc1(x))) + m.up(m.down(F.relu(m.fc1(x)))),
            fc1=nn.Linear(12, 16),
            fc2=nn.Linear(16, 10),
            down=nn.Linear(16, 8),
            up=nn.Linear(8, 10),
        ),
        vectors(12),
        ("fc2", "down", "up"),
    ),
    Case(
        "hypernetwork",
        lambda: net(
            lambda m, x: F.linear(F.relu(m.fc1(x)), m.maker(m.code).view(10, 16)),
            fc1=nn.Linear(12, 16),
            maker=nn.Linear(8, 160),
            code=weight(8),
        ),
        vectors(12),
        ("maker",),
        "`code` is a parameter and follows; the rows of `maker` make fc1's columns",
    ),
    Case("half_of_it_in_half", lambda: _two(lambda m, h: h.to(torch.float32).to(torch.float64)), vectors(12), ("fc2",)),
    Case(
        "autocast",
        lambda: net(lambda m, x: _in_autocast(m, x), fc1=nn.Linear(12, 16), fc2=nn.Linear(16, 10)),
        vectors(12),
        ("fc2",),
        "autocast leaves float64 alone",
    ),
    Case(
        "bilinear",
        lambda: net(
            lambda m, x: m.out(m.pair(m.a(x), m.b(x))),
            a=nn.Linear(12, 8),
            b=nn.Linear(12, 8),
            pair=nn.Bilinear(8, 8, 16),
            out=nn.Linear(16, 10),
        ),
        vectors(12),
        ("out",),
    ),
    Case(
        "vmapped",
        lambda: net(
            lambda m, x: m.out(torch.vmap(lambda row: F.relu(m.fc1(row)))(x)),
            fc1=nn.Linear(12, 16),
            out=nn.Linear(16, 10),
        ),
        vectors(12),
        ("out",),
    ),
    Case("scripted", lambda: torch.jit.script(_three()), vectors(12), (), "not to be traced", untraceable=True),
)


def _in_autocast(m: Any, x: Tensor) -> Tensor:
    with torch.autocast("cpu", torch.bfloat16):
        out: Tensor = m.fc2(F.relu(m.fc1(x)))
    return out
