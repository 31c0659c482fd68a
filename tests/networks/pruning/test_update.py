"""Pruning by what layers read, and fitting what is kept to the outputs of the dense layer."""

from copy import deepcopy

import numpy as np
import pytest
import torch
from torch import Tensor, nn
from torch.nn.utils import parametrizations

from permsolve import networks
from permsolve.errors import InvalidNetworkError, InvalidOptionError


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


def test_layers_in_order_read_what_the_pruned_network_gives() -> None:
    """With batches the last layer is fitted to what it reads in the end, and is closer to its outputs there."""
    model, batches = network(), data()
    once, ordered = deepcopy(model), deepcopy(model)
    networks.prune_(once, saliency="obs", calibration=networks.calibrate(model, batches), update="obs")
    masks = networks.prune_(ordered, saliency="obs", batches=batches, update="obs")
    dense = output_of(model[4], ordered, batches)
    error = (output_of(ordered[4], ordered, batches) - dense).square().mean()
    with torch.no_grad():
        whole = (dense - model.get_parameter("4.bias")).square().mean()
    assert float(error / whole) == pytest.approx(masks.errors["4.weight"].updated, rel=1e-3)
    assert error < (output_of(once[4], ordered, batches) - dense).square().mean()


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
    ):
        with pytest.raises(InvalidOptionError, match=message):
            networks.prune_(model, **keywords)
    parametrizations.weight_norm(model[4])
    with pytest.raises(InvalidNetworkError, match="parametrized"):
        networks.prune_(model, calibration=networks.calibrate(model, batches), update="obs")
    torch.nn.utils.parametrize.remove_parametrizations(model[4], "weight")
    for name, value in model.state_dict().items():
        torch.testing.assert_close(value, before[name])
