"""The functions for networks work in whatever region of a host they are called, and leave all of it as it was."""

import json
import logging
import random
import threading
import warnings
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from copy import deepcopy
from functools import cache, partial
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from permsolve import networks
from permsolve.errors import InvalidNetworkError
from permsolve.io.documents import json_text
from permsolve.networks.compression.report import CompressionReport
from permsolve.networks.copying import copied
from permsolve.networks.differences import difference
from permsolve.networks.report import Report
from permsolve.networks.sparse import sparsify_
from permsolve.networks.surroundings import compilation_off, fast_path_off
from permsolve.stopping import MaxIterations
from tests.networks.sparse.emulation import Emulation

BRIEF: dict[str, Any] = {"solver": "local-search", "time_limit": None, "stop": MaxIterations(5), "workers": 1}
NAN, INF = float("nan"), float("inf")


class Model(nn.Module):
    """With all that a call could leave something in: statistics, hooks, frozen weights, parts in different modes."""

    def __init__(self) -> None:
        super().__init__()
        self.a, self.norm, self.drop = nn.Linear(16, 16), nn.BatchNorm1d(16), nn.Dropout(0.5)
        self.b = nn.Linear(16, 8)
        self.a.weight.requires_grad_(False)
        self.drop.eval()
        self.b.register_forward_hook(lambda module, args, output: None)

    def forward(self, x: Tensor) -> Tensor:
        return self.b(self.drop(torch.relu(self.norm(self.a(x)))))  # type: ignore[no-any-return]


def new() -> tuple[Model, Tensor]:
    generator = torch.Generator().manual_seed(0)
    with torch.random.fork_rng(), torch.device("cpu"):
        torch.manual_seed(0)
        model = Model()
        model.norm.running_mean = torch.rand(16, generator=generator)
        return model, torch.randn(6, 16, generator=generator)


def trace(model: nn.Module, x: Tensor) -> object:
    return networks.trace(model, (x,))


def permute(model: nn.Module, x: Tensor) -> Report:
    return networks.permute_(model, (x,), **BRIEF)


def calibrate(model: nn.Module, x: Tensor) -> object:
    return networks.calibrate(model, [x])


def prune(model: nn.Module, x: Tensor) -> object:
    masks = networks.prune_(model, batches=[x], update="obs")
    networks.finalize_(model)
    return masks


def compress(model: nn.Module, x: Tensor) -> CompressionReport:
    return networks.compress_(model, (x,), calibration=[x], recipe="fit", **BRIEF)


def sparsify(model: nn.Module, x: Tensor) -> object:
    networks.prune_(model)
    networks.finalize_(model)
    return sparsify_(model, (x,), hardware=Emulation())


FUNCTIONS = [trace, permute, calibrate, prune, compress, sparsify]
CHANGING = (prune, compress, sparsify)


def settings() -> dict[str, Any]:
    """What a process has set."""
    return {
        "torch": torch.random.get_rng_state().tolist(),
        "python": random.getstate(),
        "numpy": str(np.random.get_state()),  # noqa: NPY002
        "errors": np.geterr(),
        "gradients": torch.is_grad_enabled(),
        "inference": torch.is_inference_mode_enabled(),
        "default device": torch.get_default_device(),
        "default dtype": torch.get_default_dtype(),
        "autocast": (torch.is_autocast_enabled("cpu"), torch.is_autocast_cache_enabled()),
        "fast path": torch.backends.mha.get_fastpath_enabled(),
        "log level": logging.getLogger("torch").level,
        "warnings": list(warnings.filters),
        "threads": torch.get_num_threads(),
    }


def state(model: nn.Module) -> list[object]:
    """What the parts of a model are in, but for the entries of weights."""
    return [
        [(name, module.training, len(module._forward_hooks), len(module._forward_pre_hooks)) for name, module in parts]
        for parts in [list(model.named_modules())]
    ] + [[(name, one.requires_grad, one.dtype, one.grad) for name, one in model.named_parameters()]]


@pytest.mark.parametrize("function", FUNCTIONS)
def test_nothing_of_the_host_is_changed(function: Callable[[nn.Module, Tensor], object]) -> None:
    model, x = new()
    before, of_model, weights = settings(), state(model), deepcopy(model.state_dict())
    attributes = {name: set(vars(module)) for name, module in model.named_modules()}
    function(model, x)
    after = settings()
    assert {name for name in before if before[name] != after[name]} == set()
    if function is not sparsify:  # whose weights take no gradient
        assert state(model) == of_model
    assert {name: set(vars(module)) for name, module in model.named_modules()} == attributes
    for name, buffer in model.named_buffers():
        was = weights[name]
        assert torch.equal(buffer.reshape(-1).sort().values, was.reshape(-1).sort().values)  # perhaps in another order
    if function in (trace, calibrate):
        assert all(torch.equal(one, weights[name]) for name, one in model.state_dict().items())


@contextmanager
def default_device(name: str) -> Iterator[None]:
    before = torch.get_default_device()
    torch.set_default_device(name)
    try:
        yield
    finally:
        torch.set_default_device(before if before.type != "cpu" else None)


@contextmanager
def default_dtype(dtype: torch.dtype) -> Iterator[None]:
    before = torch.get_default_dtype()
    torch.set_default_dtype(dtype)
    try:
        yield
    finally:
        torch.set_default_dtype(before)


REGIONS: dict[str, Callable[[], AbstractContextManager[Any]]] = {
    "meta as the default device": partial(default_device, "meta"),
    "inference mode": torch.inference_mode,
    "no gradients": torch.no_grad,
    "bfloat16 by default": partial(default_dtype, torch.bfloat16),
    "float64 by default": partial(default_dtype, torch.float64),
    "errors of numpy raised": partial(np.errstate, all="raise"),
}


@pytest.fixture(scope="module")
def expected() -> Callable[[Any], dict[str, Tensor]]:
    return cache(outcome)


def outcome(function: Callable[[nn.Module, Tensor], object], region: str | None = None) -> dict[str, Tensor]:
    model, x = new()
    with nullcontext() if region is None else REGIONS[region]():
        function(model, x)
    return {name: tensor.detach().clone() for name, tensor in model.state_dict().items()}


@pytest.mark.parametrize("region", list(REGIONS))
@pytest.mark.parametrize(
    "function", [compress, *(pytest.param(one, marks=pytest.mark.slow) for one in FUNCTIONS if one is not compress)]
)
def test_every_region_gives_the_same(
    function: Callable[[nn.Module, Tensor], object],
    region: str,
    expected: Callable[[Any], dict[str, Tensor]],
) -> None:
    found = outcome(function, region)
    for name, tensor in expected(function).items():
        assert (found[name].dtype, found[name].device) == (tensor.dtype, tensor.device)
        assert not found[name].is_inference()
        torch.testing.assert_close(found[name], tensor)


@pytest.mark.parametrize("function", [permute, compress])
def test_autocast_neither_disturbs_nor_keeps_casts(function: Callable[[nn.Module, Tensor], object]) -> None:
    model, x = new()
    model.eval()
    with torch.autocast("cpu", torch.bfloat16), torch.no_grad():
        model(x)  # leaves casts of the weights as they are now
        before = settings()
        report = function(model, x)
        assert settings() == before
        inside = model(x)
    outside = model(x)
    assert difference([outside], [inside.float()]) < 0.05
    if isinstance(report, CompressionReport):
        assert report.output_error is not None
        assert report.output_error > 1e-4


def test_threads_change_models_of_their_own_at_the_same_time() -> None:
    models = [new() for _ in range(2)]

    def work(number: int) -> None:
        model, x = models[number]
        wanted = model.eval()(x)
        permute(model, x)
        calibrate(model, x)
        errors[number] = difference([wanted], [model(x)])

    errors: dict[int, float] = {}
    before = settings()
    threads = [threading.Thread(target=work, args=(number,)) for number in range(len(models))]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert settings() == before
    assert len(errors) == len(models)
    assert max(errors.values()) < 1e-5


def test_a_setting_of_the_process_is_put_back_by_the_last_thread_that_wants_it() -> None:
    def off() -> bool:
        return not torch.backends.mha.get_fastpath_enabled()

    first, second = fast_path_off(), fast_path_off()
    with compilation_off(), compilation_off():
        assert not off()
        first.__enter__()
        second.__enter__()
        first.__exit__(None, None, None)
        assert off()
        second.__exit__(None, None, None)
        assert not off()


class Keeping(nn.Module):
    """Keeps what it computed, with a graph of gradients, in several places."""

    def __init__(self) -> None:
        super().__init__()
        self.body = nn.Sequential(nn.Linear(16, 16), nn.ReLU(), nn.Linear(16, 8))
        self.last: Any = None
        self.seen: list[Any] = []

    def forward(self, x: Tensor) -> Tensor:
        self.last = {"hidden": self.body[0](x)}
        self.seen = [self.last["hidden"], x]
        return self.body(x)  # type: ignore[no-any-return]


def test_kept_activations_do_not_stand_in_the_way() -> None:
    model, x = Keeping(), torch.randn(3, 16)
    wanted = model(x)
    kept, seen = model.last["hidden"], model.seen
    report = permute(model, x)
    assert report.max_relative_error is not None
    assert model.last["hidden"] is kept
    assert model.seen is seen
    assert kept.grad_fn is not None
    assert difference([wanted], [model(x)]) < 1e-5


@pytest.mark.parametrize("place", ["stream", "inner.stream"])
def test_what_cannot_be_copied_is_named(place: str) -> None:
    model = nn.Sequential(nn.Linear(16, 16), nn.ReLU(), nn.Linear(16, 8))
    model.inner = nn.Identity()
    weights = deepcopy(model.state_dict())
    owner, _, attribute = place.rpartition(".")
    setattr(model.get_submodule(owner), attribute, (one for one in range(3)))
    with pytest.raises(InvalidNetworkError, match=rf"attribute {place} can not be .*generator.*set {place} to None"):
        copied(model, "be verified")
    assert all(torch.equal(one, weights[name]) for name, one in model.state_dict().items())
    setattr(model.get_submodule(owner), attribute, None)
    copied(model, "be verified")


class Returning(nn.Module):
    """Returns something else of its outputs."""

    def __init__(self, make: Callable[[Tensor], Any]) -> None:
        super().__init__()
        self.body, self.make = nn.Sequential(nn.Linear(16, 16), nn.ReLU(), nn.Linear(16, 8)), make

    def forward(self, x: Tensor) -> Any:
        return self.make(self.body(x))


@pytest.fixture(scope="module")
def returning() -> tuple[Returning, Tensor, networks.Spec]:
    model, x = Returning(lambda y: y), torch.randn(3, 16)
    return model, x, networks.trace(model, (x,))


class Box:
    def __init__(self, **parts: Any) -> None:
        vars(self).update(parts)


@pytest.mark.parametrize(
    ("make", "compared"),
    [
        (lambda y: None, False),
        (lambda y: "label", False),
        (lambda y: 3, False),
        (lambda y: y * NAN, False),
        (lambda y: y[:0], False),
        (lambda y: Box(label="x"), False),
        (lambda y: (None, y), True),
        (lambda y: float(y.double().sum()), True),
        (lambda y: y.numpy(), True),
        (lambda y: Box(inner=Box(hidden=[y])), True),
        (lambda y: torch.cat([y, y * NAN, y / 0.0]), True),
    ],
)
def test_what_cannot_be_compared_is_no_error_of_zero(
    make: Callable[[Tensor], Any], compared: bool, returning: tuple[Returning, Tensor, networks.Spec]
) -> None:
    model, x, spec = returning
    model.make = make
    report = networks.permute_(model, (x,), spec=spec, **BRIEF)
    assert (report.max_relative_error is not None) == compared
    assert ("no finite numbers that could be compared" in report.notes.get("verification", "")) == (not compared)
    assert ("not verified" in report.table()) == (not compared)
    assert Report.from_dict(read(json_text(report.to_dict()))).to_dict() == report.to_dict()


@pytest.mark.parametrize(
    ("before", "after", "apart"),
    [
        ([1.0, NAN], [1.0, NAN], 0.0),
        ([1.0, NAN], [1.0, INF], INF),
        ([1.0, INF], [1.0, -INF], INF),
        ([1.0, INF, NAN, -INF], [1.5, INF, NAN, -INF], 0.5),
        ([1.0, NAN], [NAN, 1.0], INF),
        ([1.0 + 1.0j], [1.0 + 1.5j], 0.5),
        ([1.0], [1.0, 1.0], INF),
    ],
)
def test_differences(before: list[complex], after: list[complex], apart: float) -> None:
    assert difference([torch.tensor(before)], [torch.tensor(after)]) == apart


def test_what_is_there_only_once_differs() -> None:
    one = torch.ones(2)
    assert difference([None, one], [one, None]) == difference([one], [one, one]) == INF
    assert difference([None, one], [None, one]) == 0.0


def read(text: str) -> Any:
    """Read JSON as others do, who know neither NaN nor infinities."""

    def refuse(constant: str) -> Any:
        raise ValueError(f"{constant} is not JSON")

    return json.loads(text, parse_constant=refuse)


def test_reports_are_json_whatever_numbers_they_hold(tmp_path: Path) -> None:
    model, x = new()
    permuted = permute(model, x)
    for number in (NAN, INF, -INF, 0.25):
        document = permuted.to_dict() | {"max_relative_error": number, "value_after": number}
        report = Report.from_dict(read(json_text(document)))
        for name in ("report.json", "report.npz"):
            report.save(tmp_path / name)
            back = Report.load(tmp_path / name)
            assert repr(back.to_dict()) == repr(report.to_dict())
        assert read((tmp_path / "report.json").read_text())["format"] == document["format"]
    compressed = compress(*new())
    object.__setattr__(compressed, "output_error", INF)
    compressed.save(tmp_path / "compressed.json")
    assert float(read((tmp_path / "compressed.json").read_text())["output_error"]) == INF
    sparse: Any = sparsify(*new())
    object.__setattr__(sparse, "output_error", NAN)
    sparse.save(tmp_path / "sparse.json")
    assert read((tmp_path / "sparse.json").read_text())["output_error"] == "NaN"
