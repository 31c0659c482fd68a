"""Whatever ends a change of a model early, at any call of torch: all is as before, bit for bit.

Errors within a trace come in ``permute_``; ``gather`` and ``compress_`` begin with one, too, and are given its result.
"""

from typing import Any
from unittest.mock import patch

import pytest
import torch
from torch import Tensor, nn

from permsolve import networks
from tests.networks.faults import Action, errors
from tests.networks.running import BRIEF
from tests.networks.sparse.emulation import Emulation

FAST: dict[str, Any] = {**BRIEF, "solver": "random"}
KINDS = ("mlp", "conv", "block")
# Of so many calls one has an error where not all have.
STEPS = {"permute_": 1501, "gather": 701, "compress_": 701, "in order": 307, "sparsify_": 401, "finalize_": 17}
ACTIONS = ("apply_", "invert_", "permute_", "gather", "prune_", "in order", "finalize_", "compress_", "sparsify_")


class Tokens(nn.Module):
    """A transformer block with a head."""

    def __init__(self) -> None:
        super().__init__()
        self.block = nn.TransformerEncoderLayer(8, 2, 16, dropout=0.0, batch_first=True)
        self.head = nn.Linear(8, 4)

    def forward(self, x: Tensor) -> Tensor:
        """Numbers of each token."""
        return self.head(self.block(x))  # type: ignore[no-any-return]


def built(kind: str) -> tuple[nn.Module, Tensor]:
    """A model, with its example."""
    torch.manual_seed(0)
    if kind == "mlp":
        return nn.Sequential(nn.Linear(8, 16), nn.BatchNorm1d(16), nn.ReLU(), nn.Linear(16, 4)), torch.randn(8, 8)
    if kind == "conv":
        return nn.Sequential(
            nn.Conv2d(4, 8, 3, bias=False), nn.ReLU(), nn.Conv2d(8, 8, 1), nn.AdaptiveAvgPool2d(1), nn.Flatten()
        ), torch.randn(4, 4, 6, 6)  # fmt: skip
    return Tokens(), torch.randn(2, 5, 8)


def trained(kind: str) -> tuple[nn.Module, torch.optim.Optimizer, Tensor]:
    """A model in training, with gradients, an optimizer with state, and its example."""
    model, x = built(kind)
    optimizer = torch.optim.AdamW(model.parameters(), amsgrad=True)
    model(x).square().mean().backward()
    optimizer.step()
    return model.eval(), optimizer, x


def situation(kind: str, name: str) -> tuple[nn.Module, torch.optim.Optimizer, Tensor, Action]:
    """A model, and what is done to it."""
    model, optimizer, x = trained(kind)
    calibration = networks.calibrate(model, [(x,)])
    if name in ("apply_", "invert_"):
        report = networks.permute_(built(kind)[0].eval(), (x,), gather="allowed", **FAST)
        change = networks.apply_ if name == "apply_" else networks.invert_
        if name == "invert_":
            networks.apply_(model, report, optimizer)
        return model, optimizer, x, lambda model, follower: change(model, report, follower)
    if name in ("finalize_", "sparsify_"):
        networks.prune_(model)
        if name == "sparsify_":
            networks.finalize_(model)
            model, x = model.bfloat16(), x.bfloat16()
    spec = networks.trace(model, (x,)) if name in ("gather", "compress_") else None

    def compressed(model: nn.Module, _: torch.optim.Optimizer | None) -> None:
        with patch("permsolve.networks.permute.trace", return_value=spec):
            networks.compress_(model, (x,), calibration=calibration, **FAST)

    actions: dict[str, Action] = {
        "permute_": lambda model, _: networks.permute_(model, (x,), **FAST),
        "gather": lambda model, _: networks.permute_(model, (x,), gather="allowed", spec=spec, **FAST),
        "prune_": lambda model, _: networks.prune_(model, saliency="obs", update="obs", calibration=calibration),
        "in order": lambda model, _: networks.prune_(model, saliency="obs", update="exchange", batches=[(x,)]),
        "finalize_": lambda model, _: networks.finalize_(model),
        "compress_": compressed,
        "sparsify_": lambda model, _: networks.sparsify_(model, (x,), hardware=Emulation()),
    }
    return model, optimizer, x, actions[name]


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("name", ACTIONS)
def test_some_faults(name: str) -> None:
    """On one of the models."""
    model, optimizer, x, action = situation(KINDS[ACTIONS.index(name) % len(KINDS)], name)
    found = errors(model, optimizer, x, action, step=STEPS.get(name, 97))
    assert found.errors >= 3
    assert not found.wrong
    assert not [what for what in found.survived if "KeyboardInterrupt" in what]


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("operators", [False, True])
@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("name", ACTIONS)
def test_all_faults(kind: str, name: str, operators: bool) -> None:
    """At every call."""
    model, optimizer, x, action = situation(kind, name)
    found = errors(model, optimizer, x, action, functions=not operators, operators=operators)
    print(
        f"{name}, {kind}, {'operators' if operators else 'functions'}: {found.errors} errors,"
        f" {len(found.survived)} without effect, {len(found.wrong)} differences"
    )
    assert found.errors == found.calls > 0
    assert not found.wrong
    assert not [what for what in found.survived if "KeyboardInterrupt" in what]
