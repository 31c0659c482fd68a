"""permute_ and what belongs to it: specs, reports, undoing, errors."""

from concurrent.futures import Executor, Future, ThreadPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from copy import deepcopy
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import nn

from permsolve import networks
from permsolve.errors import (
    FileFormatError,
    InvalidNetworkError,
    InvalidOptionError,
    InvalidSpecError,
    UntraceableError,
)
from permsolve.status import Status
from permsolve.stopping import MaxIterations
from tests.networks.running import BRIEF, outputs, relative_error

FAST: dict[str, Any] = {**BRIEF, "solver": "random"}


def mlp() -> nn.Sequential:
    """Two permutable axes."""
    torch.manual_seed(0)
    return nn.Sequential(nn.Linear(12, 16), nn.ReLU(), nn.Linear(16, 24), nn.ReLU(), nn.Linear(24, 8)).double()


def inputs() -> tuple[torch.Tensor, ...]:
    """An input of it."""
    return (torch.randn(4, 12, dtype=torch.float64),)


def test_what_is_kept_grows_and_is_told() -> None:
    """The report's figures are those of the weights."""
    model = mlp()
    report = networks.permute_(model, inputs(), solver="local-search", time_limit=None, stop=MaxIterations(100))
    assert report.value_after > report.value_before
    assert report.permuted_inputs == ("2.weight", "4.weight")
    assert report.coverage == pytest.approx((16 * 24 + 24 * 8) / (12 * 16 + 16 * 24 + 24 * 8))
    assert set(report.skipped) == {"0.weight"}
    assert report.max_relative_error is not None
    assert report.max_relative_error < 1e-12
    assert "2.weight[1]" in report.table()


@pytest.mark.parametrize("executor", [None, ThreadPoolExecutor(2)])
def test_budgets_of_iterations_give_the_same_answer_again(executor: ThreadPoolExecutor | None) -> None:
    """However fast the machine is at the moment; on an executor, too."""
    options: dict[str, Any] = {"solver": "annealing", "time_limit": None, "stop": [MaxIterations(500)], "seed": 3}
    first, again = (
        networks.permute_(mlp(), inputs(), workers=1, executor=pool, **options) for pool in (None, executor)
    )
    assert [one.permutation.tolist() for one in first.groups] == [one.permutation.tolist() for one in again.groups]
    assert all(one.result is not None and one.result.time_limit == np.inf for one in again.groups)


@pytest.mark.parametrize("name", ["r.json", "r.npz"])
def test_a_saved_report_repeats_and_undoes(tmp_path: Path, name: str) -> None:
    """From a file, on another copy."""
    model = mlp()
    original = deepcopy(model)
    report = networks.permute_(model, inputs(), **FAST)
    report.save(tmp_path / name)
    again = networks.apply_(deepcopy(original), tmp_path / name)
    for one, other in zip(again.parameters(), model.parameters(), strict=True):
        assert torch.equal(one, other)
    networks.invert_(again, tmp_path / name)
    for one, other in zip(again.parameters(), original.parameters(), strict=True):
        assert torch.equal(one, other)


def test_moments_of_an_optimizer_follow() -> None:
    """Training goes on as if nothing had happened."""
    x = inputs()
    model = mlp()
    twin = deepcopy(model)
    runs = []
    for one in (model, twin):
        optimizer = torch.optim.Adam(one.parameters(), lr=0.01)
        for step in range(4):
            if step == 2 and one is twin:
                report = networks.permute_(deepcopy(one), x, **FAST)
                networks.apply_(one, report, optimizer=optimizer)
            optimizer.zero_grad()
            one(*x).square().mean().backward()
            optimizer.step()
        runs.append(outputs(one, x))
    assert relative_error(*runs) < 1e-9


def test_spec_survives_json_and_can_be_used_again(tmp_path: Path) -> None:
    """Also where positions follow no formula."""
    spec = networks.trace(mlp(), inputs())
    spec.save(tmp_path / "spec.json")
    loaded = networks.Spec.load(tmp_path / "spec.json")
    assert loaded.to_dict() == spec.to_dict()
    odd = networks.AxisUse("w", 0, np.array([[3, 0], [1, 5], [2, 4]]))
    strange = networks.Spec((networks.AxisGroup("g", 3, (odd,)),), {"w": (6,)})
    back = networks.Spec.from_dict(strange.to_dict())
    assert (back.groups[0].uses[0].positions == odd.positions).all()
    assert networks.permute_(mlp(), inputs(), spec=loaded, **FAST).coverage > 0.5
    spec.draw(tmp_path / "spec.svg")
    assert "0.weight" in (tmp_path / "spec.svg").read_text()


def test_a_wrong_spec_is_caught_and_nothing_changes() -> None:
    """Verification is the last line of defence."""
    model = mlp()
    spec = networks.trace(model, inputs())
    wrong = networks.Spec(
        tuple(
            networks.AxisGroup(g.name, g.size, tuple(u for u in g.uses if "bias" not in u.name)) for g in spec.groups
        ),
        spec.shapes,
    )
    before = deepcopy(model.state_dict())
    with pytest.raises(networks.VerificationError, match="something else"):
        networks.permute_(model, inputs(), spec=wrong, **FAST)
    assert all(torch.equal(before[name], tensor) for name, tensor in model.state_dict().items())


def test_free_outputs_are_permuted_and_told() -> None:
    """The caller gets the order."""
    model = nn.Sequential(nn.Linear(8, 16), nn.ReLU(), nn.Linear(16, 16)).double()
    head = nn.Linear(16, 4).double()
    whole = nn.Sequential(model, head)

    class Both(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.whole = whole

        def forward(self, x: torch.Tensor) -> dict[str, torch.Tensor]:
            hidden = self.whole[0](x)
            return {"hidden": hidden, "logits": self.whole[1](hidden)}

    both = Both()
    x = (torch.randn(3, 8, dtype=torch.float64),)
    before = both(*x)
    report = networks.permute_(both, x, free_outputs=["hidden"], **FAST)
    after = both(*x)
    (order,) = report.outputs["output:0"].values()
    assert order != list(range(16))
    assert torch.allclose(after["hidden"], before["hidden"][:, order])
    assert torch.allclose(after["logits"], before["logits"])
    with pytest.raises(InvalidOptionError, match="hiden"):
        networks.trace(both, x, free_outputs=["hiden"])


class Losing(Executor):
    """Loses the first jobs."""

    def __init__(self, losses: int) -> None:
        self.losses, self.calls = losses, 0

    def submit(self, fn: Any, /, *args: Any, **kwargs: Any) -> "Future[Any]":
        """Fail at first."""
        self.calls += 1
        future: Future[Any] = Future()
        if self.calls <= self.losses:
            future.set_exception(BrokenProcessPool("gone"))
        else:
            future.set_result(fn(*args, **kwargs))
        return future


@pytest.mark.parametrize("losses", [0, 1, 50])
def test_a_lost_worker_is_replaced(losses: int) -> None:
    """By another one, and in the end by this process."""
    executor = Losing(losses)
    report = networks.permute_(mlp(), inputs(), executor=executor, **FAST)
    assert len(report.groups) == 2
    assert executor.calls == {0: 2, 1: 3, 50: 6}[losses]


def test_any_executor_will_do() -> None:
    """Threads, here."""
    with ThreadPoolExecutor(2) as pool:
        assert networks.permute_(mlp(), inputs(), executor=pool, **FAST).coverage > 0.5


def test_layers_left_out_follow_but_do_not_weigh() -> None:
    """The problem has the rows of the others only."""
    report = networks.permute_(mlp(), inputs(), exclude=["4"], **FAST)
    assert report.permuted_inputs == ("2.weight",)
    assert "include" in report.skipped["4.weight"]


def test_empty_layers_are_no_obstacle() -> None:
    """A layer without inputs has nothing to permute."""

    class Empty(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.body, self.none = mlp(), nn.Linear(1, 8).double()
            self.none.weight = nn.Parameter(torch.empty(8, 0, dtype=torch.float64))

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            body: torch.Tensor = self.body(x) + self.none(x[:, :0])
            return body

    assert networks.permute_(Empty(), inputs(), **FAST).permuted_inputs == ("body.2.weight", "body.4.weight")


def test_what_holds_an_axis_is_named() -> None:
    """The operator and its layer, or the model's inputs."""

    class Held(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.a, self.b = nn.Linear(12, 16).double(), nn.Linear(16, 8).double()

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            result: torch.Tensor = self.b(self.a(x).cumsum(-1))
            return result

    report = networks.permute_(Held(), inputs(), **FAST)
    assert report.skipped["a.weight"] == "held by aten.linear in a, which reads the model's inputs"
    assert report.skipped["b.weight"] == "held by aten.linear in b, which reads aten.cumsum"


@pytest.mark.parametrize("seed", [2**63, 2**70, np.int64(3)])
def test_any_whole_number_is_a_seed(seed: int) -> None:
    """As of solve."""
    assert networks.permute_(mlp(), inputs(), seed=seed, **FAST).groups[0].result.seed == seed  # type: ignore[union-attr]


@pytest.mark.parametrize(
    ("argument", "value", "words"),
    [
        ("seed", "a", "seed must be a whole number >= 0, got 'a'"),
        ("seed", -1, "seed must be a whole number >= 0, got -1"),
        ("workers", 0, "workers must be a whole number >= 1, got 0"),
        ("time_limit", "1", "time_limit must be a number of seconds > 0, got '1'"),
    ],
)
def test_arguments_are_refused_as_solve_does(argument: str, value: Any, words: str) -> None:
    """Before anything is traced or calibrated."""
    wrong = {**FAST, argument: value}
    with pytest.raises(InvalidOptionError, match=words):
        networks.permute_(mlp(), None, **wrong)  # type: ignore[arg-type]
    with pytest.raises(InvalidOptionError, match=words):
        networks.compress_(mlp(), None, calibration=None, **wrong)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("argument", "words"),
    [
        ("spec", "spec must be a Spec"),
        ("include", "include must be a name"),
        ("executor", "executor must be an Executor"),
        ("progress", "progress must be a function"),
        ("calibration", r"calibration must be what networks\.calibrate"),
        ("gather", "gather must be 'never' or 'allowed'"),
        ("free_outputs", "free_outputs must be numbers or names"),
    ],
)
def test_arguments_of_other_kinds_are_refused(argument: str, words: str) -> None:
    """By name and value, whether or not they would be looked at."""
    wrong: dict[str, Any] = {**FAST, argument: 3.5}
    with pytest.raises(InvalidOptionError, match=f"{words}.*, got 3.5$"):
        networks.permute_(mlp(), inputs(), **wrong)


def test_reports_and_models_of_other_kinds_are_refused() -> None:
    """By all that take one."""
    report: Any = networks.permute_(mlp(), inputs(), **FAST)
    calls: list[Any] = [networks.apply_, networks.invert_]
    for call in calls:
        with pytest.raises(InvalidOptionError, match=r"report must be .*, got 3$"):
            call(mlp(), 3)
        with pytest.raises(InvalidOptionError, match=r"optimizer must be a torch\.optim\.Optimizer, got 3$"):
            call(mlp(), report, optimizer=3)
        with pytest.raises(InvalidNetworkError, match=r"must be a torch\.nn\.Module, got int$"):
            call(3, report)
    calibration = networks.calibrate(mlp(), [inputs()])
    with pytest.raises(InvalidOptionError, match=r"report must be what permute_ returned, got 3$"):
        calibration.permuted(3)  # type: ignore[arg-type]


def test_time_by_size_and_without_end() -> None:
    """None is what solve takes for all axes; infinity is for solvers that end by themselves."""
    report = networks.permute_(mlp(), inputs(), solver="identity", time_limit=None, workers=1)
    limits = [group.result.time_limit for group in report.groups if group.result is not None]
    assert sum(limits) == pytest.approx(2.0)
    assert limits[0] > limits[1]
    model = nn.Sequential(nn.Linear(4, 8), nn.Linear(8, 4))
    report = networks.permute_(model, (torch.randn(2, 4),), solver="exhaustive", time_limit=np.inf)
    assert report.groups[0].result is not None
    assert report.groups[0].result.status is Status.OPTIMAL


def test_errors_name_the_remedy(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    """One clear sentence each."""

    class Branching(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.fc = nn.Linear(12, 8).double()

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            return self.fc(x) if x.sum() > 0 else x

    with pytest.raises(UntraceableError, match="spec="):
        networks.permute_(Branching(), inputs(), **FAST)
    assert capfd.readouterr() == ("", "")  # torch has a lot to say about this, and a graph to print
    with pytest.raises(InvalidOptionError, match="gather"):
        networks.permute_(mlp(), inputs(), gather="sometimes", **FAST)
    with pytest.raises(InvalidOptionError, match="example_inputs"):
        networks.trace(mlp(), 3)  # type: ignore[arg-type]
    (tmp_path / "x.json").write_text("{}")
    with pytest.raises(FileFormatError, match=r"x\.json"):
        networks.apply_(mlp(), tmp_path / "x.json")
    report = networks.permute_(mlp(), inputs(), **FAST)
    with pytest.raises(InvalidSpecError, match="no parameter"):
        networks.apply_(nn.Linear(3, 3), report)
