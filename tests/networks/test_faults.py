"""Whatever ends a change of a model early, at any call of torch: all is as before, bit for bit."""

from collections.abc import Iterator
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from permsolve import networks
from tests.networks.faults import Action, InjectedError, calls, differences
from tests.networks.running import BRIEF
from tests.networks.sparse.emulation import Emulation

FAST: dict[str, Any] = {**BRIEF, "solver": "random"}
KINDS = ("mlp", "conv", "block")
ACTIONS = ("apply_", "invert_", "permute_", "gather", "prune_", "in order", "finalize_", "compress_", "sparsify_")


class Tokens(nn.Module):
    """A transformer block with a head."""

    def __init__(self) -> None:
        super().__init__()
        self.block = nn.TransformerEncoderLayer(16, 4, 32, dropout=0.0, batch_first=True)
        self.head = nn.Linear(16, 8)

    def forward(self, x: Tensor) -> Tensor:
        """Numbers of each token."""
        return self.head(self.block(x))  # type: ignore[no-any-return]


def built(kind: str) -> tuple[nn.Module, Tensor]:
    """A model, with its example."""
    torch.manual_seed(0)
    if kind == "mlp":
        return nn.Sequential(
            nn.Linear(16, 32), nn.BatchNorm1d(32), nn.ReLU(), nn.Linear(32, 32), nn.ReLU(), nn.Linear(32, 8)
        ), torch.randn(8, 16)  # fmt: skip
    if kind == "conv":
        return nn.Sequential(
            nn.Conv2d(3, 16, 3, bias=False), nn.BatchNorm2d(16), nn.ReLU(), nn.Conv2d(16, 16, 1), nn.ReLU(),
            nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(16, 8),
        ), torch.randn(4, 3, 6, 6)  # fmt: skip
    return Tokens(), torch.randn(2, 5, 16)


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
    actions: dict[str, Action] = {
        "permute_": lambda model, _: networks.permute_(model, (x,), **FAST),
        "gather": lambda model, _: networks.permute_(model, (x,), gather="allowed", verify=False, **FAST),
        "prune_": lambda model, _: networks.prune_(model, saliency="obs", update="obs", calibration=calibration),
        "in order": lambda model, _: networks.prune_(model, saliency="obs", update="exchange", batches=[(x,)]),
        "finalize_": lambda model, _: networks.finalize_(model),
        "compress_": lambda model, _: networks.compress_(model, (x,), calibration=calibration, **FAST),
        "sparsify_": lambda model, _: networks.sparsify_(model, (x,), hardware=Emulation()),
    }
    return model, optimizer, x, actions[name]


def places(kind: str, name: str, share: int) -> Iterator[tuple[int, type[BaseException], bool, bool]]:
    """Where errors come: everywhere, or at some places."""
    model, optimizer, _, action = situation(kind, name)
    for operators in (False, True):
        number = calls(model, optimizer, action, operators=operators)
        step = max(1, number // share) if share else 1
        for at in range(1, number + 1, step):
            yield at, (InjectedError, KeyboardInterrupt)[at // step % 2], bool(at // step // 2 % 2), operators


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("name", ACTIONS)
def test_some_faults(name: str) -> None:
    """On one of the models."""
    kind = KINDS[ACTIONS.index(name) % len(KINDS)]
    model, optimizer, x, action = situation(kind, name)
    assert not differences(model, optimizer, x, action, places(kind, name, 5))


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("name", ACTIONS)
def test_all_faults(kind: str, name: str) -> None:
    """At every call, of one kind each."""
    model, optimizer, x, action = situation(kind, name)
    assert not differences(model, optimizer, x, action, places(kind, name, 0))
