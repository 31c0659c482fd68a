"""Tensors that cannot be changed where they stand are refused by name, and nothing is changed."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import nn

from permsolve import networks
from permsolve.errors import InvalidNetworkError
from tests.networks.running import BRIEF

X = torch.randn(8, 16, generator=torch.Generator().manual_seed(0))


def mlp() -> Any:
    """Two hidden axes."""
    torch.manual_seed(0)
    return nn.Sequential(nn.Linear(16, 32), nn.ReLU(), nn.Linear(32, 32), nn.ReLU(), nn.Linear(32, 8)).eval()


@pytest.fixture(scope="module")
def report() -> networks.Report:
    """A permutation of them."""
    return networks.permute_(mlp(), (X,), solver="random", **BRIEF)


def changed(make: Callable[[torch.Tensor, Path], torch.Tensor], folder: Path) -> Any:
    """A model whose last weight is of another kind."""
    model = mlp()
    model[4].weight = nn.Parameter(make(model[4].weight.detach(), folder))
    return model


def mapped(weight: torch.Tensor, folder: Path) -> torch.Tensor:
    np.save(folder / "weight.npy", weight.numpy())
    return torch.from_numpy(np.load(folder / "weight.npy", mmap_mode="r"))


def freed(weight: torch.Tensor, folder: Path) -> torch.Tensor:
    weight.untyped_storage().resize_(0)
    return weight


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize(
    ("make", "words"),
    [
        (lambda weight, _: weight[:1].expand(8, 32), "expanded"),
        (lambda weight, _: weight.to("meta"), "meta device"),
        (lambda weight, _: weight.to_sparse(), "no dense tensor"),
        (mapped, "read-only"),
        (freed, "set free"),
    ],
)
def test_refused(make: Any, words: str, report: networks.Report, tmp_path: Path) -> None:
    """The layers before it are as they were."""
    model = changed(make, tmp_path)
    keys, before = list(model.state_dict()), [model[index].weight.clone() for index in (0, 2)]
    for change in (lambda: networks.apply_(model, report), lambda: networks.prune_(model)):
        with pytest.raises(InvalidNetworkError, match=rf"4\.weight.*{words}"):
            change()
        assert list(model.state_dict()) == keys
        assert all(torch.equal(model[index].weight, old) for index, old in zip((0, 2), before, strict=True))


def test_inference_tensors_are_written_to(report: networks.Report) -> None:
    """In their own mode."""
    with torch.inference_mode():
        model = mlp()
    with torch.no_grad():
        expected = model(X)
        networks.apply_(model, report)
        torch.testing.assert_close(model(X), expected)
        networks.permute_(model, (X,), solver="random", **BRIEF)
        torch.testing.assert_close(model(X), expected)
        networks.prune_(model)
        assert networks.finalize_(model) == ("0.weight", "2.weight", "4.weight")
    assert networks.is_nm(model[2].weight)


def test_float8_weights_are_pruned() -> None:
    """Though torch does not multiply them."""
    layer = nn.Linear(16, 8)
    layer.weight = nn.Parameter(layer.weight.detach().to(torch.float8_e4m3fn), requires_grad=False)
    model = nn.Sequential(nn.Linear(16, 16), layer)
    networks.prune_(model, include="*")
    networks.finalize_(model)
    assert networks.is_nm(layer.weight)
