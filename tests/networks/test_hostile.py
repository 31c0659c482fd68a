"""What cannot be permuted is refused in one clear sentence, and stays as it was."""

import threading
from collections.abc import Callable
from copy import deepcopy
from functools import partial
from typing import Any

import pytest
import torch
from torch import nn
from torch.nn import functional as F

from permsolve import networks
from permsolve.errors import (
    InvalidNetworkError,
    InvalidProblemError,
    InvalidSpecError,
    PermsolveError,
    UntraceableError,
)
from permsolve.networks.trace.export import check_example
from tests.networks.running import BRIEF, outputs, relative_error

FAST: dict[str, Any] = {**BRIEF, "solver": "local-search"}


def mlp() -> Any:
    """Two permutable axes, in float32."""
    torch.manual_seed(0)
    return nn.Sequential(nn.Linear(12, 16), nn.ReLU(), nn.Linear(16, 16), nn.ReLU(), nn.Linear(16, 10)).eval()


def example() -> tuple[torch.Tensor, ...]:
    """An input of it."""
    return (torch.randn(3, 12),)


class Own(torch.Tensor):
    """A tensor class of the user's."""


def on_meta() -> Any:
    with torch.device("meta"):
        return mlp()


def with_lock() -> Any:
    model = mlp()
    model.lock = threading.Lock()
    return model


def quantised() -> Any:
    return torch.ao.quantization.quantize_dynamic(mlp(), {nn.Linear})


def lazy() -> Any:
    return nn.Sequential(nn.LazyLinear(16), nn.ReLU(), nn.Linear(16, 10))


def state_written_in_place() -> Any:
    class Counter(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.body, self.seen = mlp(), torch.zeros(10)

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            return self.body(x) + self.seen.add_(1.0)  # type: ignore[no-any-return]

    return Counter()


def with_gradients() -> Any:
    """It computes gradients in its forward."""

    class Slope(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.body = mlp()

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            with torch.enable_grad():
                point = x.detach().requires_grad_()
                return torch.autograd.grad(self.body(point).sum(), point)[0]

    return Slope()


def not_finite() -> Any:
    """One weight is NaN."""
    model = mlp()
    with torch.no_grad():
        model[2].weight[2, 3] = torch.nan
    return model


def with_a_script() -> Any:
    """A part has no Python code any more."""
    model = mlp()
    model[1] = torch.jit.script(model[1])
    return model


def outside_hook() -> Any:
    """The copy's hook goes on reading the original."""
    model = mlp()
    model[0].register_forward_hook(lambda layer, args, out: out * model[2].weight.sum(0))
    return model


@pytest.mark.parametrize(
    ("build", "error", "words"),
    [
        (on_meta, InvalidNetworkError, "0.weight is on the meta device .* load the weights first"),
        (with_lock, InvalidNetworkError, "cannot be copied, .*verify=False.*its attribute lock .*set lock to None"),
        (quantised, UntraceableError, "cannot trace Sequential .* spec="),
        (with_a_script, UntraceableError, "^1 is compiled by torch.jit"),
        (lazy, InvalidNetworkError, "0.weight has no shape yet: run the model once"),
        (state_written_in_place, UntraceableError, "mutated in the forward method"),
        (with_gradients, UntraceableError, "computes gradients itself .*torch.autograd.* spec="),
        (not_finite, InvalidProblemError, r"^2\.weight: .*nan"),
        (outside_hook, networks.VerificationError, "refers to the model from outside"),
        (lambda: F.relu, InvalidNetworkError, "must be a torch.nn.Module, got"),
    ],
)
@pytest.mark.filterwarnings("ignore")
def test_refused(build: Callable[[], Any], error: type[PermsolveError], words: str) -> None:
    """Each with its remedy."""
    model = build()
    parameters = list(model.parameters()) if isinstance(model, nn.Module) and build is not lazy else []
    before = [] if build is on_meta else [one.clone() for one in parameters]
    with pytest.raises(error, match=words):
        networks.permute_(model, example(), **FAST)
    same = partial(torch.allclose, rtol=0.0, atol=0.0, equal_nan=True)
    assert all(same(one, other) for one, other in zip(before, parameters, strict=build is not on_meta))


@pytest.mark.parametrize(
    ("inputs", "words"),
    [
        ((torch.randn(3, 13),), "RuntimeError: mat1 and mat2 shapes cannot be multiplied"),
        ((torch.randn(3, 12), torch.ones(3)), "TypeError: Sequential.forward.. takes 2 positional arguments"),
        ({"y": torch.randn(3, 12)}, "TypeError: Sequential.forward.. got an unexpected keyword argument 'y'"),
    ],
)
def test_inputs_that_do_not_fit(inputs: Any, words: str, capfd: pytest.CaptureFixture[str]) -> None:
    """The model's own complaint is handed on, alone, and a trace made beforehand does not hide it."""
    spec, calibration = networks.trace(mlp(), example()), networks.calibrate(mlp(), [example()])
    capfd.readouterr()
    for call in (
        lambda: networks.trace(mlp(), inputs),
        lambda: networks.permute_(mlp(), inputs, **FAST),
        lambda: networks.permute_(mlp(), inputs, spec=spec, **FAST),
        lambda: networks.compress_(mlp(), inputs, calibration=calibration, **FAST),
    ):
        with pytest.raises(InvalidNetworkError, match=f"cannot be called with the example inputs .{words}") as caught:
            call()
        assert "\n" not in str(caught.value)
    assert capfd.readouterr() == ("", "")


def test_the_check_of_an_example_changes_nothing() -> None:
    """Neither the model, whose state may advance in a call, nor random numbers."""

    class Noisy(nn.Module):
        seen: torch.Tensor

        def __init__(self) -> None:
            super().__init__()
            self.body, self.calls = mlp(), 0
            self.register_buffer("seen", torch.zeros(()))

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            self.calls += 1
            self.seen += 1
            return self.body(x) if (x + torch.rand(())).sum() > 0 else x

    model, inputs = Noisy(), example()
    state = torch.get_rng_state()
    check_example(model, inputs)
    assert not model.calls
    assert not model.seen
    assert torch.equal(torch.get_rng_state(), state)


def test_tensors_of_other_classes_stay() -> None:
    """Nobody knows what a class of its own does when its entries move."""
    model = mlp()
    model[2].weight = nn.Parameter(model[2].weight.detach().as_subclass(Own))
    report = networks.permute_(model, example(), verify=False, **FAST)
    assert report.permuted_inputs == ()
    assert "Own is a tensor class of its own" in report.skipped["2.weight"]


def test_complex_and_expanded_weights_stay_and_the_others_move() -> None:
    """A complex layer, and a bias of which one number in memory stands for all."""

    class Model(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.body, self.turn = mlp(), nn.Linear(10, 8, dtype=torch.complex64)
            self.body[0].bias = nn.Parameter(torch.randn(1).expand(16))

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            return torch.view_as_real(self.turn(self.body(x).to(torch.complex64)))

    model = Model().eval()
    before = outputs(model, example_of := example())
    report = networks.permute_(model, example_of, **FAST)
    assert relative_error(outputs(model, example_of), before) < 1e-5
    assert report.permuted_inputs == ("body.4.weight",)
    assert report.skipped["turn.weight"] == "held by its kind: it is no dense real tensor"


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
def test_short_types_are_verified_in_float64(dtype: torch.dtype) -> None:
    """Where the model allows."""
    model = mlp().to(dtype)
    report = networks.permute_(model, (torch.randn(3, 12, dtype=dtype),), **FAST)
    assert report.coverage > 0.5
    assert report.max_relative_error is not None
    assert report.max_relative_error < 1e-12
    assert not report.notes


def test_models_that_mix_types_are_verified_in_their_own() -> None:
    """And the report says so; a wrong permutation is caught all the same."""

    class Mixed(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.body, self.constant = mlp(), torch.randn(12, 12)

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            return self.body(F.linear(self.body[2].weight.new_ones(1) * x, self.constant))  # type: ignore[no-any-return]

    model = Mixed().eval()
    spec = networks.trace(model, example())
    fresh = deepcopy(model)
    report = networks.permute_(model, example(), **FAST)
    assert report.notes["verification"] == "the model does not run in float64: compared in its own type"
    assert report.max_relative_error is not None
    assert 0.0 < report.max_relative_error < 1e-5
    wrong = networks.Spec(
        tuple(
            networks.AxisGroup(g.name, g.size, tuple(u for u in g.uses if "bias" not in u.name)) for g in spec.groups
        ),
        spec.shapes,
    )
    with pytest.raises(networks.VerificationError):
        networks.permute_(fresh, example(), spec=wrong, **FAST)


def test_models_that_write_to_their_parameters_are_verified() -> None:
    """A table whose rows are rescaled when they are read: copies then have parameters of their own."""
    table = nn.Embedding(20, 12, max_norm=0.5)
    model = nn.Sequential(table, mlp()).eval()
    before = table.weight.clone()
    report = networks.permute_(model, (torch.arange(12).reshape(3, 4),), **FAST)
    assert report.permuted_inputs == ("1.2.weight", "1.4.weight")
    assert report.max_relative_error is not None
    assert report.max_relative_error < 1e-12
    assert torch.equal(table.weight, before)


def test_random_numbers_and_gradients_are_left_alone() -> None:
    """The caller's stream of random numbers does not advance; gradients follow their parameters."""
    model = mlp()
    (x,) = example()
    model(x).square().sum().backward()
    state = torch.get_rng_state()
    networks.permute_(model, (x,), **FAST)
    assert torch.equal(torch.get_rng_state(), state)
    followed = [one.grad.clone() for one in model.parameters()]
    model.zero_grad()
    model(x).square().sum().backward()
    for one, grad in zip(model.parameters(), followed, strict=True):
        torch.testing.assert_close(one.grad, grad)


@pytest.mark.parametrize("kind", [torch.optim.Adafactor, torch.optim.SGD, torch.optim.AdamW])
def test_state_of_optimizers_follows(kind: Any) -> None:
    """Factored moments, too: training goes on as it would have."""
    model = mlp()
    twin = mlp()
    (x,) = example()
    options = {"momentum": 0.9, "lr": 0.01} if kind is torch.optim.SGD else {"lr": 0.01}
    results = []
    for one in (model, twin):
        optimizer = kind(one.parameters(), **options)
        for step in range(4):
            if step == 2 and one is twin:
                report = networks.permute_(mlp(), (x,), **FAST)
                networks.apply_(one, report, optimizer=optimizer)
            optimizer.zero_grad()
            one(x).square().mean().backward()
            optimizer.step()
        results.append(outputs(one, (x,)))
    assert relative_error(*results) < 1e-5


def test_state_that_cannot_follow_is_refused_before_anything_moves() -> None:
    """A flat history of all parameters, say."""
    model = mlp()
    report = networks.permute_(mlp(), example(), **FAST)
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
    optimizer.state[model[4].weight]["history"] = torch.zeros(99)
    before = [one.clone() for one in model.parameters()]
    with pytest.raises(InvalidSpecError, match=r"'history' of '4\.weight'.*cannot follow"):
        networks.apply_(model, report, optimizer=optimizer)
    assert all(torch.equal(one, other) for one, other in zip(before, model.parameters(), strict=True))


def test_a_hand_written_spec_without_readers_says_so() -> None:
    """No gather can be put where nobody knows who reads the weight."""
    traced = networks.trace(mlp(), example())
    spec = networks.Spec(traced.groups, traced.shapes)
    report = networks.permute_(mlp(), example(), spec=spec, gather="allowed", **FAST)
    assert report.skipped["0.weight"] == (
        "no axis group names its input axis; no gather: "
        "the axis groups do not say which layers read its weight (readers)"
    )


class _Picked(nn.Module):
    """Reads as many rows as a mask has, as so many for each sample."""

    def __init__(self) -> None:
        super().__init__()
        self.up, self.down = nn.Linear(8, 16), nn.Linear(16, 8)

    def forward(self, x: torch.Tensor, mask: torch.Tensor) -> Any:
        return self.down(self.up(x)[mask].view(x.shape[0], -1, 16)[:, -1])


def test_a_view_whose_lengths_depend_on_data_pins_what_it_reads() -> None:
    mask = torch.zeros(2, 5, dtype=torch.bool)
    mask[:, 3:] = True
    spec = networks.trace(_Picked(), (torch.randn(2, 5, 8), mask))
    assert spec.groups == ()
    assert "aten.view" in spec.notes
