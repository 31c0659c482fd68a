"""Which optimizers follow a permutation, and which are refused before anything is changed."""

from collections.abc import Callable
from copy import deepcopy
from typing import Any

import pytest
import torch
from torch import nn

from permsolve import networks
from permsolve.errors import PermsolveError
from tests.networks.running import BRIEF

X = torch.randn(8, 16, generator=torch.Generator().manual_seed(0))
Built = Callable[[nn.Module], Any]


def mlp() -> nn.Sequential:
    """With a square layer."""
    torch.manual_seed(0)
    return nn.Sequential(nn.Linear(16, 32), nn.ReLU(), nn.Linear(32, 32), nn.ReLU(), nn.Linear(32, 8))


@pytest.fixture(scope="module")
def report() -> networks.Report:
    """A permutation of both hidden axes."""
    return networks.permute_(mlp(), (X,), solver="random", **BRIEF)


def stepped(build: Built) -> tuple[nn.Module, Any]:
    """A model and its optimizer after a step."""
    model = mlp()
    optimizer = build(model)

    def loss() -> torch.Tensor:
        optimizer.zero_grad()
        value: torch.Tensor = model(X).square().mean()
        value.backward()
        return value

    optimizer.step(loss)
    return model, optimizer


class Wrapping(torch.optim.Optimizer):
    """Has an optimizer inside, and state of its own."""

    def __init__(self, model: nn.Module) -> None:
        super().__init__(model.parameters(), {})
        self.base_optimizer = torch.optim.AdamW(self.param_groups)
        self.param_groups = self.base_optimizer.param_groups

    def step(self, closure: Any = None) -> None:  # type: ignore[override]
        """Of the inner one, with a copy of what was before."""
        closure()
        for group in self.param_groups:
            for parameter in group["params"]:
                self.state[parameter]["old_p"] = parameter.detach().clone()
        self.base_optimizer.step()


@pytest.mark.parametrize(
    "build",
    [
        lambda model: torch.optim.AdamW(model.parameters(), amsgrad=True),
        lambda model: torch.optim.SGD(model.parameters(), momentum=0.9),
        lambda model: torch.optim.Adafactor(model.parameters()),
        lambda model: torch.optim.Rprop(model.parameters()),
        Wrapping,
        lambda model: torch.optim.AdamW([*model.parameters(), *mlp().parameters()]),
    ],
)
def test_training_goes_on(build: Built, report: networks.Report) -> None:
    """A step after the permutation is the permuted step; and it is undone bit for bit."""
    model, optimizer = stepped(build)
    other, follower = stepped(build)
    networks.apply_(other, report, follower)
    for one, by in ((model, optimizer), (other, follower)):
        by.zero_grad()

        def loss(one: nn.Module = one) -> torch.Tensor:
            value: torch.Tensor = one(X).square().mean()
            value.backward()
            return value

        by.step(loss)
    networks.invert_(other, report, follower)
    for a, b in zip(model.parameters(), other.parameters(), strict=True):
        torch.testing.assert_close(a, b, rtol=1e-4, atol=1e-5)


def with_state(**state: Any) -> Built:
    """AdamW, with more state of the square layer."""

    def build(model: Any) -> Any:
        optimizer = torch.optim.AdamW(model.parameters())
        optimizer.state[model[2].weight].update(state)
        return optimizer

    return build


def with_group(model: nn.Module) -> Any:
    optimizer = torch.optim.AdamW(model.parameters())
    optimizer.param_groups[0]["scales"] = torch.ones(32)
    return optimizer


def with_copies(model: nn.Module) -> Any:
    optimizer: Any = torch.optim.AdamW(model.parameters())
    optimizer.averages = [parameter.detach().clone() for parameter in model.parameters()]
    return optimizer


def partly(model: Any) -> Any:
    return torch.optim.AdamW([model[0].weight, *list(mlp().parameters())[1:]])


def scheduler(model: nn.Module) -> Any:
    return torch.optim.lr_scheduler.StepLR(torch.optim.AdamW(model.parameters()), 1)


@pytest.mark.parametrize(
    ("build", "words"),
    [
        (with_state(Q=[torch.ones(32, 32)]), "'Q' of '2.weight', list"),
        (with_state(GG={"left": torch.ones(32, 32)}), "'GG' of '2.weight', dict"),
        (with_state(projector=object()), "'projector' of '2.weight', object"),
        (with_state(precond_0=torch.eye(32)), "'precond_0' of '2.weight' is square .* elementwise="),
        (with_state(absmax=torch.ones(4)), "'absmax' of '2.weight', of shape"),
        (with_group, "'scales' of parameter group 0"),
        (with_copies, "'averages', beside its state"),
        (partly, "parameters of another model, and not"),
        (lambda model: torch.optim.AdamW(mlp().parameters()), "not one parameter of the optimizer is of this model"),
        (
            lambda model: torch.optim.lr_scheduler.StepLR(torch.optim.AdamW(model.parameters()), 1),
            "attribute optimizer",
        ),
        (lambda model: [torch.optim.AdamW(model.parameters())], "must be a torch.optim.Optimizer"),
    ],
)
def test_refused(build: Built, words: str, report: networks.Report) -> None:
    """By name, in one sentence, with the model as it was."""
    model = mlp()
    optimizer = build(model)
    before = deepcopy(model.state_dict())
    for change in (networks.apply_, networks.invert_):
        with pytest.raises(PermsolveError, match=words):
            change(model, report, optimizer)
    assert all(torch.equal(value, before[name]) for name, value in model.state_dict().items())


def test_lbfgs_is_refused(report: networks.Report) -> None:
    """Its history is flat."""
    model, optimizer = stepped(lambda model: torch.optim.LBFGS(model.parameters()))
    with pytest.raises(PermsolveError, match=r"of '0\.weight', of shape .*cannot follow"):
        networks.apply_(model, report, optimizer)


def test_named_state_follows(report: networks.Report) -> None:
    """What the caller says has a number for each entry."""
    model = mlp()
    velocity = torch.arange(1024.0).view(32, 32)
    optimizer = with_state(velocity=velocity.clone())(model)
    networks.apply_(model, report, optimizer, elementwise=["velocity"])
    rows, columns = (
        next(g.permutation for g in report.groups if ("2.weight", axis) in g.parameters) for axis in (0, 1)
    )
    square: Any = model[2].weight
    assert torch.equal(optimizer.state[square]["velocity"], velocity[rows][:, columns])
