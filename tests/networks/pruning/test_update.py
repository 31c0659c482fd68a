"""Pruning by what layers read, and fitting what is kept to the outputs of the dense layer."""

from copy import deepcopy
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn
from torch.nn.utils import parametrizations

from permsolve import networks
from permsolve.errors import InvalidNetworkError, InvalidOptionError
from permsolve.networks.calibration.paired import calibrate_pair
from permsolve.networks.pruning.update import fit


def network() -> nn.Sequential:
    torch.manual_seed(0)
    return nn.Sequential(
        nn.Conv2d(8, 16, 3, groups=2), nn.ReLU(), nn.Conv2d(16, 8, 1), nn.Flatten(), nn.Linear(8 * 16, 12)
    ).eval()


def data() -> list[Tensor]:
    generator = torch.Generator().manual_seed(1)
    mixed = torch.randn(8, 8, generator=generator)
    return [torch.einsum("bchw,dc->bdhw", torch.randn(32, 8, 6, 6, generator=generator), mixed) for _ in range(3)]


def output_of(layer: nn.Module, model: nn.Module, batches: list[Tensor]) -> Tensor:
    """What reaches a layer of a model, through the layer of another one perhaps."""
    found: list[Tensor] = []
    handle = model.get_submodule("4").register_forward_pre_hook(lambda _, args: found.append(args[0]))
    with torch.no_grad():
        for batch in batches:
            model(batch)
        handle.remove()
        outputs: Tensor = layer(torch.cat(found))
    return outputs


@pytest.mark.parametrize("saliency", ["magnitude", "wanda", "ria", "obd", "obs"])
def test_update_keeps_the_mask_and_tells_the_error(saliency: str) -> None:
    """The pattern holds, what is pruned is what is pruned without the update, and errors are those of the outputs."""
    model, batches = network(), data()
    calibration = networks.calibrate(model, batches)
    masked, fitted = deepcopy(model), deepcopy(model)
    plain = networks.prune_(masked, saliency=saliency, calibration=calibration)
    masks = networks.prune_(fitted, saliency=saliency, calibration=calibration, update="obs")
    for name, error_of in plain.errors.items():
        assert error_of.masked == error_of.updated == masks.errors[name].masked
    assert list(masks.errors) == ["0.weight", "2.weight", "4.weight"]
    for name, mask in masks.items():
        assert torch.equal(mask, plain[name])
    dense = output_of(model[4], model, batches)
    with torch.no_grad():  # the bias is not part of what the weights bring
        whole = (dense - model.get_parameter("4.bias")).square().mean()
    for changed, told in ((masked, masks.errors["4.weight"].masked), (fitted, masks.errors["4.weight"].updated)):
        error = (output_of(changed[4], model, batches) - dense).square().mean() / whole
        assert float(error) == pytest.approx(told, rel=1e-3)
    for of_layer in masks.errors.values():
        assert of_layer.updated <= of_layer.masked
    networks.finalize_(fitted)
    for name in masks:
        assert networks.is_nm(fitted.get_parameter(name))


def test_exchanges_improve_the_masks() -> None:
    """Legal masks with as many kept, closer to the outputs than the same saliency without exchanges."""
    model, batches = network(), data()
    calibration = networks.calibrate(model, batches)
    fitted, exchanged = deepcopy(model), deepcopy(model)
    plain = networks.prune_(fitted, saliency="obs", calibration=calibration, update="obs")
    masks = networks.prune_(exchanged, saliency="obs", calibration=calibration, update="exchange")
    networks.finalize_(exchanged)
    for name, mask in masks.items():
        assert networks.is_nm(exchanged.get_parameter(name))
        assert mask.sum() == plain[name].sum()
        assert masks.errors[name].masked == plain.errors[name].masked
        assert masks.errors[name].updated < 0.95 * plain.errors[name].updated


@pytest.mark.parametrize("update", ["obs", "exchange"])
def test_layers_in_order_make_up_for_earlier_ones(update: str) -> None:
    """With batches the outputs of the whole are closer, and the error told is that from the dense network's outputs."""
    model, batches = network(), data()
    once, ordered = deepcopy(model), deepcopy(model)
    networks.prune_(once, saliency="obs", calibration=networks.calibrate(model, batches), update=update)
    masks = networks.prune_(ordered, saliency="obs", batches=batches, update=update)
    assert list(masks.errors) == ["0.weight", "2.weight", "4.weight"]
    dense = output_of(model[4], model, batches)
    with torch.no_grad():
        whole = (dense - model.get_parameter("4.bias")).square().mean()
    error = (output_of(ordered[4], ordered, batches) - dense).square().mean()
    assert float(error / whole) == pytest.approx(masks.errors["4.weight"].updated, rel=1e-3)
    assert error < 0.9 * (output_of(once[4], once, batches) - dense).square().mean()
    networks.finalize_(ordered)
    for name in masks:
        assert networks.is_nm(ordered.get_parameter(name))


class Swapped(nn.Module):
    """Layers that are called in another order than they were made in, one of them twice, and one that is not called."""

    def __init__(self) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.last, self.first, self.unused = nn.Linear(8, 4), nn.Linear(8, 8), nn.Linear(8, 8)

    def forward(self, x: Tensor) -> Tensor:
        hidden = self.first(x)
        torch.relu_(hidden)
        outputs: Tensor = self.last(torch.relu_(self.first(hidden)))
        return outputs


def test_layers_are_pruned_in_the_order_of_their_calls() -> None:
    """Also where inputs are changed in place afterwards; what is not called comes last, by magnitude."""
    model, batches = Swapped(), [torch.randn(64, 8)]
    with pytest.raises(InvalidOptionError, match=r"unused\.weight"):
        networks.prune_(model, batches=batches, update="obs", include="unused")
    assert not torch.nn.utils.parametrize.is_parametrized(model.unused)
    masks = networks.prune_(model, batches=batches, update="obs")
    assert list(masks) == ["first.weight", "last.weight", "unused.weight"]
    assert list(masks.notes) == ["unused.weight"]
    assert masks.errors["first.weight"].updated < masks.errors["first.weight"].masked


def test_paired_moments_are_those_of_the_samples() -> None:
    """Goal and error, by least squares on what both networks give the layer; none where calls differ."""
    model, batches = network(), data()
    changed = deepcopy(model)
    with torch.no_grad():
        changed.get_parameter("0.weight").mul_(0.7).clamp_(max=0.05)
    for name in ("2.weight", "4.weight"):
        paired = calibrate_pair(changed, model, name, batches)
        assert paired is not None
        weight = model.get_parameter(name).detach().double()
        weight = weight.reshape(1, len(weight), -1)
        x, y = (_inputs(one, name, batches) for one in (changed, model))
        outputs = y @ weight[0].numpy().T
        assert paired.energy == pytest.approx(np.square(outputs).mean(axis=0).sum(), rel=1e-5)
        tried = weight.numpy() * 0.9
        expected = np.square(x @ tried[0].T - outputs).mean(axis=0).sum()
        assert paired.error(tried) == pytest.approx(expected, rel=1e-4)
        goal = paired.goal(weight.numpy())
        damping = 0.01 * np.square(x).mean()
        ridge = np.concatenate([x / len(x) ** 0.5, damping**0.5 * np.eye(x.shape[1])])
        wanted = np.concatenate([outputs / len(x) ** 0.5, damping**0.5 * weight[0].numpy().T])
        np.testing.assert_allclose(goal[0], np.linalg.lstsq(ridge, wanted, rcond=None)[0].T, rtol=1e-3, atol=1e-4)
    assert calibrate_pair(Swapped(), _Once(), "first.weight", [torch.randn(4, 8)]) is None


class _Once(Swapped):
    def forward(self, x: Tensor) -> Tensor:
        outputs: Tensor = self.last(self.first(x))
        return outputs


def _inputs(model: nn.Module, name: str, batches: list[Tensor]) -> np.ndarray:
    found: list[Tensor] = []
    handle = model.get_submodule(name.removesuffix(".weight")).register_forward_pre_hook(
        lambda _, args: found.append(args[0].clone())
    )
    with torch.no_grad():
        for batch in batches:
            model(batch)
    handle.remove()
    x = torch.cat(found)
    return (x if x.ndim == 2 else x.permute(0, 2, 3, 1).reshape(-1, x.shape[1])).double().numpy()


def test_an_interrupted_pruning_in_order_is_taken_back(monkeypatch: pytest.MonkeyPatch) -> None:
    """Weights and earlier masks are what they were, also under another parametrization."""
    model, batches = network(), data()
    first = {name: mask.clone() for name, mask in networks.prune_(model, "2:4", include=["0", "2"]).items()}
    before = {name: value.clone() for name, value in model.state_dict().items()}

    def run(update: str | None) -> None:
        calls = []

        def interrupted(*args: Any, **kwargs: Any) -> Any:
            calls.append(args)
            if len(calls) == 3:
                raise KeyboardInterrupt
            return fit(*args, **kwargs)

        with monkeypatch.context() as patch:
            patch.setattr("permsolve.networks.pruning.prune.fit", interrupted)
            with pytest.raises(KeyboardInterrupt):
                networks.prune_(model, "1:4", batches=batches, update=update)
        assert len(calls) == 3
        assert list(model.state_dict()) == list(before)
        for name, value in model.state_dict().items():
            torch.testing.assert_close(value, before[name], rtol=0.0, atol=0.0)

    for update in (None, "obs"):
        run(update)
    assert networks.prune_(model, "2:4", include=["0", "2"]).keys() == first.keys()


def test_an_interrupted_pruning_under_weight_norm_is_taken_back(monkeypatch: pytest.MonkeyPatch) -> None:
    """The mask goes, the other parametrization stays."""
    model = nn.Sequential(parametrizations.weight_norm(nn.Linear(8, 8)), nn.Linear(8, 8))
    before = list(model.state_dict())

    def interrupted(*args: Any, **kwargs: Any) -> Any:
        if args[0].name == "1.weight":
            raise KeyboardInterrupt
        return fit(*args, **kwargs)

    monkeypatch.setattr("permsolve.networks.pruning.prune.fit", interrupted)
    with pytest.raises(KeyboardInterrupt):
        networks.prune_(model, batches=[torch.randn(16, 8)])
    assert list(model.state_dict()) == before
    assert torch.nn.utils.parametrize.is_parametrized(model[0])


@pytest.mark.parametrize("update", ["obs", "exchange"])
def test_update_under_an_earlier_mask(update: str) -> None:
    """What was lost stays lost, and the rest is fitted."""
    model, batches = network(), data()
    first = {name: mask.clone() for name, mask in networks.prune_(model, "2:4").items()}
    masks = networks.prune_(model, "1:4", calibration=networks.calibrate(model, batches), update=update)
    for name, mask in masks.items():
        assert not (mask & ~first[name]).any()
        assert masks.errors[name].updated < masks.errors[name].masked


def test_errors_are_told_where_the_inputs_are_known() -> None:
    """Not without a calibration, nor with one that has mean squares only."""
    model, batches = network(), data()
    assert networks.prune_(deepcopy(model)).errors == {}
    diagonal = networks.calibrate(model, batches, moments="diagonal")
    assert networks.prune_(model, saliency="wanda", calibration=diagonal).errors == {}


def test_names_are_taken_as_they_are() -> None:
    """A layer whose name would be a glob pattern."""
    model = nn.Sequential()
    model.add_module("a[0]", nn.Linear(8, 8))
    masks = networks.prune_(model, saliency="obs", batches=[torch.randn(64, 8)], update="obs")
    assert list(masks.errors) == ["a[0].weight"]


@pytest.mark.parametrize("update", ["obs", "exchange"])
def test_dead_inputs_are_no_trouble(update: str) -> None:
    """An input that is always zero gets no saliency and no new value that is not finite."""
    model = nn.Linear(8, 4)
    inputs = torch.randn(64, 8)
    inputs[:, 3] = 0.0
    masks = networks.prune_(model, saliency="obs", calibration=networks.calibrate(model, [inputs]), update=update)
    assert not masks["weight"][:, 3].any()
    assert torch.isfinite(model.weight).all()


def test_low_precision_weights() -> None:
    """Values are rounded to the type of the weight, and the error tells so."""
    model = nn.Linear(16, 4).bfloat16()
    inputs = [torch.randn(64, 16, dtype=torch.bfloat16)]
    masks = networks.prune_(model, calibration=networks.calibrate(model, inputs), update="obs")
    assert model.weight.dtype == torch.bfloat16
    assert np.isfinite(masks.errors["weight"].updated)


def test_refusals_leave_the_model_as_it_was() -> None:
    """Each names the remedy."""
    model, batches = network(), data()
    before = {name: value.clone() for name, value in model.state_dict().items()}
    calibration = networks.calibrate(model, batches, include="0")
    diagonal = networks.calibrate(model, batches, moments="diagonal")
    for keywords, message in (
        ({"update": "sgd"}, "update must be"),
        ({"update": "obs"}, r"networks\.calibrate"),
        ({"update": "obs", "calibration": calibration}, "2.weight"),
        ({"update": "obs", "calibration": diagonal}, "moments='full'"),
        ({"saliency": "wanda"}, r"networks\.calibrate"),
        ({"calibration": calibration, "batches": batches}, "not both"),
        ({"batches": iter(batches)}, "a list"),
        ({"batches": 3}, "an iterable of batches, got int"),
        ({"calibration": 3, "update": "obs"}, r"calibration must be what networks\.calibrate.*, got 3"),
        ({"include": [3]}, "include must be a name, .*, got 3"),
    ):
        with pytest.raises(InvalidOptionError, match=message):
            networks.prune_(model, **keywords)
    parametrizations.weight_norm(model[4])
    with pytest.raises(InvalidNetworkError, match="parametrized"):
        networks.prune_(model, calibration=networks.calibrate(model, batches), update="obs")
    torch.nn.utils.parametrize.remove_parametrizations(model[4], "weight")
    for name, value in model.state_dict().items():
        torch.testing.assert_close(value, before[name])


@pytest.mark.parametrize("size", [1e-30, 1e22])
def test_values_whose_squares_float32_does_not_hold(size: float) -> None:
    """Errors are what they are of other inputs, in the order of the layers, too."""
    torch.manual_seed(0)
    x, errors = torch.randn(64, 8), []
    for scale in (1.0, size):
        torch.manual_seed(1)
        masks = networks.prune_(nn.Linear(8, 8), saliency="obs", update="obs", batches=[scale * x])
        errors.append(masks.errors["weight"])
    assert errors[0].updated == pytest.approx(errors[1].updated, rel=1e-2)
    assert errors[0].updated > 0.0
