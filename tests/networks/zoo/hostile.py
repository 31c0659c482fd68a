"""Models written in ways that tools stumble over: hidden sharing, state, wrappers, odd types."""

from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from tests.networks.zoo.case import Case, images, linear, net, sequences, tokens, vectors, weight


def _three() -> nn.Module:
    first, second, third = linear(12, 16, 16, 10)
    return nn.Sequential(first, nn.ReLU(), second, nn.Tanh(), third).double()


def _pair(run: Any, **parts: Any) -> Any:
    return net(run, fc1=nn.Linear(12, 16), fc2=nn.Linear(16, 10), **parts).double()


def _ahead(m: Any, x: Tensor) -> Tensor:
    result: Tensor = m.fc2(F.relu(m.fc1(x)))
    return result


def _hidden_view(part: slice) -> nn.Module:
    """A view of a parameter, kept as a plain attribute: nothing tells that it is the same memory."""
    model = _pair(lambda m, x: _ahead(m, x) + m.hold.sum(0)[:10])
    model.hold = model.fc1.weight.detach()[part]
    return model  # type: ignore[no-any-return]


def _hidden_in_list() -> nn.Module:
    model = _pair(lambda m, x: _ahead(m, x) + F.linear(x, m.hold[0])[:, :10])
    model.hold = [model.fc1.weight.data]
    return model  # type: ignore[no-any-return]


def _hidden_in_closure() -> nn.Module:
    first = nn.Linear(12, 16).double()
    hold = first.weight.detach()
    return net(
        lambda m, x: m.fc2(F.relu(m.fc1(x))) + F.linear(x, hold)[:, :10], fc1=first, fc2=nn.Linear(16, 10).double()
    )


def _hidden_layer() -> nn.Module:
    """A layer outside the model, and one inside that is also reached from outside."""
    model = _pair(lambda m, x: _ahead(m, x) + m.fc3(F.relu(m.hold[0](x))) + m.fc3(m.hold[1](x)), fc3=nn.Linear(16, 10))
    model.hold = [model.fc1, nn.Linear(12, 16).double()]
    return model  # type: ignore[no-any-return]


def _running(m: Any, x: Tensor) -> Tensor:
    h = F.relu(m.fc1(x))
    m.state.mul_(0.5).add_(h.mean(0).detach())
    result: Tensor = m.fc2(h + m.state)
    return result


def _branches(m: Any, x: Tensor) -> Tensor:
    h = m.fc1(x)
    result: Tensor = torch.cond(x.sum() > 0, lambda one: m.fc2(F.relu(one)), lambda one: m.fc2(one.flip(1)), (h,))
    return result


def _masked_copy(m: Any, x: Tensor) -> Tensor:
    masked = m.fc1.weight.clone()
    masked[:4].zero_()
    result: Tensor = m.fc2(F.relu(F.linear(x, masked, m.fc1.bias)))
    return result


def _other_layer_hook() -> nn.Module:
    model = _pair(_ahead)
    model.fc1.register_forward_hook(lambda layer, args, out: out * layer.weight.sum(1))
    return model  # type: ignore[no-any-return]


def _old_norm(kind: Any) -> nn.Module:
    model = _three()
    kind(model.get_submodule("2"))
    return model


def _strided() -> nn.Module:
    model: Any = _three()
    model[2].weight = nn.Parameter(torch.randn(16, 16, dtype=torch.float64).t())
    model[4].weight = nn.Parameter(torch.randn(10, 32, dtype=torch.float64)[:, ::2])
    return model  # type: ignore[no-any-return]


def _compiled() -> nn.Module:
    whole = torch.compile(_three())
    assert isinstance(whole, nn.Module)
    return whole


def _compiled_part() -> nn.Module:
    model = _three()
    model.get_submodule("2").compile()
    return model


class _Normalised(nn.Linear):
    """Computes with a function of its weight."""

    def forward(self, input: Tensor) -> Tensor:
        return F.linear(input, F.normalize(self.weight, dim=1), self.bias)


_SAME_MEMORY = "permuting the parameter would permute what the model reads as a constant"

CASES = (
    Case("hidden_view", lambda: _hidden_view(slice(None)), vectors(12), (), _SAME_MEMORY),
    Case("hidden_part_of_a_view", lambda: _hidden_view(slice(2, 5)), vectors(12), (), _SAME_MEMORY),
    Case("hidden_in_a_list", _hidden_in_list, vectors(12), (), _SAME_MEMORY),
    Case("hidden_in_a_closure", _hidden_in_closure, vectors(12), (), _SAME_MEMORY),
    Case("hidden_layer", _hidden_layer, vectors(12), (), "fc3 reads a layer that is no part of the model"),
    Case("running_state", lambda: _pair(_running, state=torch.rand(16)), vectors(12), ("fc2",), "the state follows"),
    Case(
        "mask_of_weights",
        lambda: _pair(
            lambda m, x: m.fc2(F.relu(F.linear(x, m.fc1.weight * m.mask))),
            mask=(torch.rand(16, 12) > 0.5).to(torch.float64),
        ),
        vectors(12),
        ("fc2",),
    ),
    Case(
        "mask_of_channels",
        lambda: _pair(lambda m, x: m.fc2(m.fc1(x).masked_fill(m.mask, 0.0)), mask=torch.rand(16) > 0.5),
        vectors(12),
        ("fc2",),
    ),
    Case(
        "integer_weights",
        lambda: _pair(
            lambda m, x: F.linear(_ahead(m, x), m.codes.to(x.dtype) * m.step[:, None]),
            codes=torch.randint(-127, 127, (7, 10), dtype=torch.int8),
            step=torch.rand(7),
        ),
        vectors(12),
        ("fc2",),
        "codes of another type, which follow nobody or move with their scales",
    ),
    Case("branches_on_values", lambda: _pair(_branches), vectors(12), (), "both branches are closed to rules"),
    Case(
        "dropout_in_evaluation",
        lambda: _pair(lambda m, x: m.fc2(F.dropout(m.fc1(x), 0.5, True))),
        vectors(12),
        (),
        "the same seed must give the same outputs",
        train=False,
    ),
    Case("masked_copy_of_a_weight", lambda: _pair(_masked_copy), vectors(12), {"fc2": 12 / 16}, "four rows are zeroed"),
    Case("hook_reads_the_weight", _other_layer_hook, vectors(12), ("fc2",)),
    Case("old_weight_norm", lambda: _old_norm(nn.utils.weight_norm), vectors(12), ("4",), "a hook computes it"),
    Case("old_spectral_norm", lambda: _old_norm(nn.utils.spectral_norm), vectors(12), ("4",)),
    Case("strided_weights", _strided, vectors(12), ("2", "4"), "not contiguous, but no memory twice"),
    Case("data_parallel", lambda: nn.DataParallel(_three()), vectors(12), ("module.2", "module.4")),
    Case("averaged", lambda: torch.optim.swa_utils.AveragedModel(_three()), vectors(12), ("module.2", "module.4")),
    Case("compiled", _compiled, vectors(12), ("_orig_mod.2", "_orig_mod.4")),
    Case("compiled_part", _compiled_part, vectors(12), ("2", "4")),
    Case(
        "weight_in_a_function",
        lambda: nn.Sequential(_Normalised(12, 16), nn.ReLU(), _Normalised(16, 16), nn.ReLU(), _Normalised(16, 10)),
        vectors(12),
        ("2", "4"),
        "each row is divided by its norm, whatever its order",
    ),
    Case(
        "embedding_of_bounded_norm",
        lambda: net(
            lambda m, x: m.out(m.table(x)), table=nn.Embedding(20, 16, max_norm=1.0), out=nn.Linear(16, 10)
        ),
        tokens(20),
        (),
        "the table is rewritten by an operator without a rule",
    ),
    Case(
        "number_of_a_buffer",
        lambda: _pair(lambda m, x: m.fc2(F.relu(m.fc1(x)) * m.size.item()), size=torch.tensor(2.0)),
        vectors(12),
        (),
        "what is computed with a number taken out of a tensor is pinned",
    ),
    Case("one_picture", lambda: nn.Sequential(nn.Conv2d(3, 16, 3), nn.BatchNorm2d(16), nn.ReLU(), nn.Flatten(),
         nn.Linear(256, 8)), images(3, batch=1), (), "a batch of one; the map is flattened"),
    Case("one_vector_squeezed", lambda: _pair(lambda m, x: m.fc2(m.fc1(x).squeeze())[None]), vectors(12, batch=1),
         ("fc2",)),
    Case("empty_batch", lambda: _three(), vectors(12, batch=0), (), "nothing to see: all is pinned"),
    Case("no_layers", nn.Sequential, sequences(12), ()),
    Case("scale_used_twice", lambda: _pair(lambda m, x: m.fc2(m.fc1(x) * m.s) + m.s.square().sum(), s=weight(16)),
         vectors(12), ("fc2",)),
)  # fmt: skip
