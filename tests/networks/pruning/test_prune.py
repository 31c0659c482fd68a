"""Masks: what they keep, that training keeps them, and that they become final."""

from collections.abc import Callable
from copy import deepcopy
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor, nn
from torch.nn.utils import parametrizations, parametrize, prune

from permsolve.errors import InvalidNetworkError, InvalidOptionError, InvalidPatternError, InvalidProblemError
from permsolve.networks.pruning import NMMask, finalize_, is_nm, prune_


def _network() -> nn.Sequential:
    torch.manual_seed(0)
    return nn.Sequential(
        nn.Conv2d(6, 8, 3),
        nn.BatchNorm2d(8),
        nn.ReLU(),
        nn.Conv2d(8, 16, 1, groups=2),
        nn.Flatten(),
        nn.Linear(64, 12),
        nn.ReLU(),
        nn.Linear(12, 5),
    )


IMAGES = torch.randn(4, 6, 4, 4, generator=torch.Generator().manual_seed(1))
WEIGHTS = ("0.weight", "3.weight", "5.weight", "7.weight")


def _naive(weight: Tensor, n: int, m: int) -> Tensor:
    """The mask by definition, entry by entry; of equal entries the first are kept."""
    mask = torch.zeros_like(weight, dtype=torch.bool)
    rows = weight.movedim(1, -1).flatten(0, -2)
    kept = mask.movedim(1, -1).reshape(rows.shape)
    for row in range(rows.shape[0]):
        for start in range(0, rows.shape[1], m):
            group = [(-abs(float(value)), start + place) for place, value in enumerate(rows[row, start : start + m])]
            for _, place in sorted(group)[:n]:
                kept[row, place] = True
    return kept.reshape(weight.movedim(1, -1).shape).movedim(-1, 1)


@pytest.mark.parametrize("pattern", [(2, 4), (1, 2), (3, 5), (4, 8)])
def test_masks_are_those_of_the_definition(pattern: tuple[int, int]) -> None:
    """Linear, convolution and grouped convolution; M that divides the channels, and M that does not."""
    model = _network()
    before = {name: parameter.detach().clone() for name, parameter in model.named_parameters()}
    masks = prune_(model, f"{pattern[0]}:{pattern[1]}")
    assert tuple(masks) == tuple(name for name in WEIGHTS if before[name].shape[1] > pattern[0])
    for name, mask in masks.items():
        assert torch.equal(mask, _naive(before[name], *pattern))
        pruned = model.get_submodule(name.partition(".")[0]).weight
        assert isinstance(pruned, Tensor)
        assert torch.equal(pruned, before[name] * mask)
        assert is_nm(pruned, f"{pattern[0]}:{pattern[1]}")


@settings(max_examples=30, deadline=None)
@given(rows=st.integers(1, 5), columns=st.integers(1, 13), m=st.integers(2, 8), data=st.data())
def test_any_shape_and_pattern(rows: int, columns: int, m: int, data: st.DataObject) -> None:
    """Ties included, the mask is the naive one, and the pruned weight follows the pattern."""
    n = data.draw(st.integers(1, m - 1))
    seed = data.draw(st.integers(0, 999))
    layer = nn.Linear(columns, rows)
    with torch.no_grad():
        layer.weight.copy_(torch.randint(-2, 3, (rows, columns), generator=torch.Generator().manual_seed(seed)))
    expected = _naive(layer.weight.detach(), n, m)
    masks = prune_(layer, f"{n}:{m}")
    if masks:
        assert torch.equal(masks["weight"], expected)
    else:
        assert bool(expected.all())
    assert is_nm(layer.weight, f"{n}:{m}")


def test_training_keeps_the_masks() -> None:
    """An optimizer made before, with momentum and decay, trains on; zeros stay zeros and the rest moves."""
    model = _network()
    optimizer = torch.optim.AdamW(model.parameters(), lr=0.05, weight_decay=0.1)
    model(IMAGES).square().mean().backward()
    optimizer.step()  # the moments of what will be pruned are not zero
    optimizer.zero_grad()
    masks = prune_(model)
    start = model(IMAGES).detach()
    for _ in range(5):
        optimizer.zero_grad()
        model(IMAGES).square().mean().backward()
        optimizer.step()
    assert not torch.equal(model(IMAGES), start)
    for name, mask in masks.items():
        layer: Any = model.get_submodule(name.partition(".")[0])
        assert is_nm(layer.weight)
        assert not layer.weight.detach()[~mask].any()
        gradient = layer.parametrizations.weight.original.grad
        assert gradient[mask].any()
        assert not gradient[~mask].any()


def test_finalize_leaves_a_plain_model() -> None:
    """The same function, names, parameter objects and classes as before; a dense model loads its state."""
    model = _network()
    parameters = dict(model.named_parameters())
    masks = prune_(model)
    expected = model(IMAGES)
    assert finalize_(model) == WEIGHTS
    assert torch.equal(model(IMAGES), expected)
    assert {name: id(parameter) for name, parameter in model.named_parameters()} == {
        name: id(parameter) for name, parameter in parameters.items()
    }
    assert type(model[5]) is nn.Linear
    assert not any(isinstance(module, NMMask) for module in model.modules())
    for name in masks:
        assert is_nm(parameters[name])
    fresh = _network()
    fresh.load_state_dict(model.state_dict())
    assert finalize_(model) == ()


def test_the_state_of_an_optimizer_fits_after_finalize() -> None:
    """It goes by the order of the parameters: a square weight and its neighbours must not change places."""

    class Scaled(nn.Linear):
        def __init__(self) -> None:
            super().__init__(8, 8)
            self.scale = nn.Parameter(torch.ones(8, 8))

        def forward(self, x: Tensor) -> Tensor:
            return nn.functional.linear(x, self.weight * self.scale, self.bias)

    torch.manual_seed(0)
    model = nn.Sequential(Scaled(), nn.Linear(8, 8), parametrizations.weight_norm(nn.Linear(8, 8)))
    model[1].weight = model[0].weight
    optimizer = torch.optim.Adam(model.parameters())
    model(torch.randn(4, 8)).square().sum().backward()
    optimizer.step()
    names = [name for name, _ in model.named_parameters()]
    moments = {name: optimizer.state[parameter]["exp_avg"] for name, parameter in model.named_parameters()}
    saved = optimizer.state_dict()
    prune_(model, exclude="2")
    copy = deepcopy(model)
    for one in (model, copy):
        finalize_(one)
        assert [name for name, _ in one.named_parameters()] == names
        fresh = torch.optim.Adam(one.parameters())
        fresh.load_state_dict(saved)
        for name, parameter in one.named_parameters():
            assert torch.equal(fresh.state[parameter]["exp_avg"], moments[name])


def test_state_dict_holds_the_masks() -> None:
    """A model pruned from other weights takes masks and weights of the state that it loads."""
    model = _network()
    masks = prune_(model)
    other = _network()
    with torch.no_grad():
        for parameter in other.parameters():
            parameter.neg_().add_(torch.randn_like(parameter))
    taken = prune_(other)
    assert not torch.equal(taken["5.weight"], masks["5.weight"])
    other.load_state_dict(model.state_dict())
    assert torch.equal(taken["5.weight"], masks["5.weight"])
    assert torch.equal(other.eval()(IMAGES), model.eval()(IMAGES))


def test_copies_are_independent() -> None:
    """A deep copy has masks of its own, which stay when those of the model are made final."""
    model = _network()
    prune_(model)
    copy = deepcopy(model)
    assert torch.equal(copy.eval()(IMAGES), model.eval()(IMAGES))
    prune_(copy, "1:4")
    layer: Any = model[5]
    assert is_nm(copy[5].weight, "1:4")
    assert not is_nm(layer.weight, "1:4")
    expected = copy(IMAGES)
    finalize_(model)
    assert torch.equal(copy(IMAGES), expected)
    assert finalize_(copy) == WEIGHTS
    assert torch.equal(copy(IMAGES), expected)


def test_shared_parameters_are_masked_everywhere() -> None:
    """A tied embedding and two layers over one parameter stay tied, under one mask, and after it is final."""
    model = nn.ModuleDict({"embed": nn.Embedding(10, 8), "head": nn.Linear(8, 10), "a": nn.Linear(8, 10)})
    layers: Any = model
    layers["head"].weight = layers["a"].weight = layers["embed"].weight
    masks = prune_(model)
    assert list(masks) == ["head.weight"]
    for layer in layers.values():
        assert is_nm(layer.weight)
        assert layer.parametrizations.weight.original is layers["head"].parametrizations.weight.original
    with torch.no_grad():
        layers["head"].parametrizations.weight.original.add_(1.0)
    assert torch.equal(layers["embed"].weight, layers["a"].weight)
    assert len(finalize_(model)) == 3
    assert layers["embed"].weight is layers["a"].weight is layers["head"].weight
    assert is_nm(layers["embed"].weight)


def test_pruning_again_only_prunes_more() -> None:
    """A stricter pattern takes away, a looser one brings nothing back."""
    model = _network()
    two = prune_(model, "2:4")["5.weight"].clone()
    one = prune_(model, "1:4")["5.weight"].clone()
    assert bool((one <= two).all())
    assert is_nm(model[5].weight, "1:4")
    assert torch.equal(prune_(model, "3:4")["5.weight"], one)
    assert len(list(model.get_submodule("5.parametrizations.weight").children())) == 1


def test_a_pruned_weight_keeps_all_it_has() -> None:
    """What follows the pattern already loses nothing."""
    model = _network()
    prune_(model)
    finalize_(model)
    before = deepcopy(model.state_dict())
    prune_(model)
    finalize_(model)
    assert all(torch.equal(tensor, before[name]) for name, tensor in model.state_dict().items())


@pytest.mark.parametrize(
    ("include", "exclude", "expected"),
    [
        (None, "0", ("3.weight", "5.weight", "7.weight")),
        ("5*", None, ("5.weight",)),
        (["[05]", "7.weight"], "0", ("5.weight", "7.weight")),
        (lambda name: int(name) > 3, None, ("5.weight", "7.weight")),
        (None, lambda name: name in {"0", "7"}, ("3.weight", "5.weight")),
    ],
)
def test_layers_are_chosen_by_name(include: Any, exclude: Any, expected: tuple[str, ...]) -> None:
    """Globs of layers and of weights, lists of them, functions; exclude wins."""
    model = _network()
    assert tuple(prune_(model, include=include, exclude=exclude)) == expected
    assert finalize_(model) == expected


def test_weight_norm_under_a_mask() -> None:
    """Another parametrization comes first; the mask holds for what it makes, and both become final."""
    model = _network()
    parametrizations.weight_norm(model[5])
    masks = prune_(model)
    assert is_nm(model[5].weight)
    expected = model(IMAGES)
    finalize_(model)
    torch.testing.assert_close(model(IMAGES), expected)
    assert not parametrize.is_parametrized(model[5])
    assert not model.get_parameter("5.weight").detach()[~masks["5.weight"]].any()


def test_dtypes_are_kept() -> None:
    """Half precision weights stay what they are."""
    for dtype in (torch.bfloat16, torch.float16, torch.float64):
        layer = nn.Linear(8, 4).to(dtype)
        prune_(layer)
        assert layer.weight.dtype == dtype
        finalize_(layer)
        assert layer.weight.dtype == dtype
        assert is_nm(layer.weight)


def test_other_saliencies() -> None:
    """A function decides what is kept."""
    layer = nn.Linear(8, 4)
    masks = prune_(layer, saliency=lambda weight: np.broadcast_to(np.arange(8.0), weight.shape))
    assert torch.equal(masks["weight"], torch.tensor([False, False, True, True] * 2).expand(4, 8))


def _hooked() -> nn.Module:
    model = _network()
    prune.l1_unstructured(model[5], "weight", 0.5)
    return model


def _views() -> nn.Module:
    model: Any = nn.Sequential(nn.Linear(8, 8), nn.Linear(8, 8))
    model[1].weight = nn.Parameter(model[0].weight.data)
    return model  # type: ignore[no-any-return]


def _shared_and_normed() -> nn.Module:
    model: Any = nn.Sequential(nn.Linear(8, 8), nn.Linear(8, 8))
    model[1].weight = model[0].weight
    parametrizations.spectral_norm(model[0])
    return model  # type: ignore[no-any-return]


def _not_finite() -> nn.Module:
    model = _network()
    with torch.no_grad():
        model.get_parameter("5.weight")[2, 3] = torch.nan
    return model


@pytest.mark.parametrize(
    ("build", "error", "words"),
    [
        (_hooked, InvalidNetworkError, r"5\.weight is no parameter"),
        (_views, InvalidNetworkError, r"0\.weight and 1\.weight .* share memory"),
        (_shared_and_normed, InvalidNetworkError, r"shared by .* parametrized"),
        (lambda: nn.Sequential(nn.LazyLinear(3)), InvalidNetworkError, r"0\.weight has no shape yet"),
        (lambda: nn.Sequential(nn.Linear(8, 3, device="meta")), InvalidNetworkError, "meta device"),
        (lambda: nn.ReLU(), InvalidNetworkError, "ReLU has no layer"),
        (_not_finite, InvalidProblemError, r"5\.weight: .*nan"),
    ],
)
def test_what_cannot_be_pruned(build: Callable[[], nn.Module], error: type[Exception], words: str) -> None:
    """One clear error, and nothing is pruned."""
    model = build()
    with pytest.raises(error, match=words):
        prune_(model)
    assert not any(isinstance(module, NMMask) for module in model.modules())


def test_wrong_arguments() -> None:
    """A pattern that is none, a glob that matches nothing."""
    with pytest.raises(InvalidPatternError, match="4:2"):
        prune_(_network(), "4:2")
    with pytest.raises(InvalidOptionError, match=r"exclude='head' matches no .* 0, 3, 5, 7"):
        prune_(_network(), exclude="head")
    calls: list[Callable[[Any], object]] = [prune_, finalize_]
    for call in calls:
        with pytest.raises(InvalidNetworkError, match=r"must be a torch\.nn\.Module, got list"):
            call([1])


def test_is_nm_takes_arrays_too() -> None:
    """Numpy, torch, convolutions; the groups are runs of input channels."""
    assert is_nm(np.array([[1.0, 0.0, 0.0, 2.0]]))
    assert not is_nm(torch.tensor([[1.0, 3.0, 0.0, 2.0]]))
    assert is_nm(torch.tensor([[1.0, 3.0, 0.0, 2.0]]), "3:4")
    weight = torch.ones(2, 4, 3, 3)
    assert not is_nm(weight)
    weight[:, 1:3] = 0.0
    assert is_nm(weight)
