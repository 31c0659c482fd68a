"""Statistics and the whole report, on rows made up here."""

import json
import re
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from typer.testing import CliRunner

pytest.importorskip("pandas")
pytest.importorskip("matplotlib")

from bench.cli import app
from bench.plans import KERNEL, KERNELS, Task
from bench.report import figures, statistics
from bench.report.scores import measurements, ranking, time_to, value_at
from bench.report.statistics import loss_ratios, paired_difference, scaling, time_ratios, widely_run
from bench.runner.row import FORMAT, RUN, Row, base_row, error_row

SHAPES = ((32, 32), (64, 32), (64, 64), (128, 64), (128, 128), (256, 128))


def _row(instance: str, label: str, value: float, **fields: Any) -> Row:
    """A finished row: 0 is kept in the given order, 100 by rows, so that efficacy is the value."""
    task = Task(instance, label, fields.pop("time_limit", 1.0), seed=fields.pop("seed", 0))
    columns = int(instance.partition("@")[0].partition("~")[0].rpartition("x")[2])
    made = {
        "family": "uniform",
        "rows": int(re.findall(r"(\d+)x", instance)[0]),
        "columns": columns,
        "pattern": "2:4",
        "value": value,
        "efficacy": value,
        "total": 100.0,
        "baseline": 0.0,
        "row_bound": 100.0,
        "bound": 100.0,
        "gap": (100.0 - value) / max(value, 1e-9),
        "status": "FEASIBLE",
        "stop_reason": "time",
        "runtime": 1.0,
        "memory_peak": 1 << 20,
        "checked": [],
        "unchecked": [],
        "trace": [[0.0, 0.0, 100.0], [0.5, value, 100.0]],
        "versions": {"permsolve": "0"},
    }
    return base_row(task) | made | fields


@pytest.fixture
def rows() -> list[Row]:
    """Three solvers on six shapes of two samples: one always best, one behind, one that fails on half."""
    made = []
    for rows, columns in SHAPES:
        for seed in (0, 1):
            name = f"uniform-{rows}x{columns}@{seed}"
            seconds = 1e-7 * columns**2 * rows
            made.append(_row(name, "auto", 50.0 + seed, runtime=1.0))
            made.append(_row(name, "slow", 40.0 + 2 * seed, runtime=seconds, stop_reason="completed"))
            task = Task(name, "fails", 1.0)
            made.append(error_row(task, "Overrun", "too late") if seed else _row(name, "fails", 10.0))
    return made


def test_measurements(rows: list[Row]) -> None:
    """Distance to the best of the run, or to a better one known from elsewhere; groups without seeds."""
    frame = measurements(rows, {"uniform-32x32@0": 80.0, "other": 1.0}).set_index(["instance", "label"])
    assert frame.loc[("uniform-32x32@0", "auto"), "points"] == pytest.approx(30.0)
    assert frame.loc[("uniform-32x32@0", "auto"), "shortfall"] == pytest.approx(30.0 / 80.0)
    assert frame.loc[("uniform-32x32@1", "auto"), "shortfall"] == 0.0
    assert frame.loc[("uniform-32x32@1", "fails"), "failure"] == "Overrun"
    assert np.isnan(frame.loc[("uniform-32x32@1", "fails"), "points"])
    assert set(frame["group"]) == {f"uniform-{rows}x{columns}" for rows, columns in SHAPES}
    assert ranking(frame.reset_index()) == ["auto", "slow", "fails"]
    assert measurements([]).empty


def test_time_limits_are_not_mixed() -> None:
    """Where a solver ran with several, they are groups of their own."""
    made = [_row("uniform-8x8@0", "a", 50.0), _row("uniform-8x8@0", "a", 60.0, time_limit=5.0)]
    frame = measurements([*made, _row("uniform-8x16@0", "a", 50.0)])
    assert list(frame["group"]) == ["uniform-8x8, 1 s", "uniform-8x8, 5 s", "uniform-8x16"]
    # Each seed has the time that another run took: still one group.
    shares = [_row("uniform-8x8@0", "a", 50.0, seed=seed, time_limit=1.0 + seed / 100.0) for seed in range(3)]
    assert set(measurements(shares)["group"]) == {"uniform-8x8"}


def test_what_was_not_run_is_not_lost() -> None:
    """Ranks and profiles are of instances on which every solver ran; a failure is a run, and infinitely bad."""
    made = [
        *(_row("uniform-8x8@0", label, value) for label, value in (("a", 50.0), ("b", 60.0))),
        _row("uniform-8x16@0", "a", 50.0),
        error_row(Task("uniform-8x24@0", "b", 1.0), "Overrun", "too late"),
        _row("uniform-8x24@0", "a", 55.0),
    ]
    frame = measurements(made)
    for table in (loss_ratios(frame), time_ratios(frame)):
        assert set(table.index.get_level_values("instance")) == {"uniform-8x8@0", "uniform-8x24@0"}
        assert table.loc[("uniform-8x24@0", 0)].to_dict() == {"a": 1.0, "b": np.inf}
    assert ranking(frame) == ["a", "b"]
    assert ranking(measurements(made[:3])) == ["b", "a"]
    assert loss_ratios(measurements(made[1:3])).empty
    assert widely_run(frame) == {"a", "b"}
    assert widely_run(measurements([*made, _row("uniform-8x8@0", "c", 1.0)])) == {"a", "b"}


def test_pictures_of_many_instances(tmp_path: Path) -> None:
    """The picture of the gaps is turned rather than stretched."""
    import matplotlib.pyplot as plt

    for count, turned in ((3, False), (30, True)):
        frame = measurements([_row(f"uniform-8x{8 * place}@0", "a", 50.0) for place in range(1, count + 1)])
        assert figures.gaps(frame, ["a"], tmp_path / "gaps.png")
        height, width, _ = plt.imread(tmp_path / "gaps.png").shape
        assert (height > width) == turned


def test_traces() -> None:
    """What was known when, and when what was known."""
    trace = [[0.1, 1.0, 9.0], [0.5, 2.0, 9.0], [0.9, 3.0, 9.0]]
    np.testing.assert_array_equal(value_at(trace, np.array([0.0, 0.1, 0.4, 0.5, 2.0])), [np.nan, 1.0, 1.0, 2.0, 3.0])
    assert [time_to(trace, value) for value in (0.5, 2.0, 2.5, 4.0)] == [0.1, 0.5, 0.9, np.inf]


def test_paired_difference(rows: list[Row]) -> None:
    """The mean of the differences by instance, within its interval; none where there is nothing to compare."""
    frame = measurements(rows)
    difference = paired_difference(frame, "slow", "auto")
    naive = np.mean([40.0 - 50.0, 42.0 - 51.0])
    assert difference.mean == pytest.approx(naive)
    assert difference.low < naive < difference.high
    assert difference.count == 12
    assert paired_difference(frame, "slow", "none").count == 0
    assert np.isnan(paired_difference(frame[frame["rows"] == 32], "slow", "auto").low)


def test_loss_ratios(rows: list[Row]) -> None:
    """What is lost over the least that is lost; a failure is infinitely bad."""
    table = loss_ratios(measurements(rows))
    assert (table["auto"] == 1.0).all()
    assert table.loc[("uniform-64x64@0", 0), "slow"] == pytest.approx(60.0 / 50.0)
    assert table.loc[("uniform-64x64@1", 0), "fails"] == np.inf
    reached = measurements([_row("uniform-8x8@0", "a", 100.0), _row("uniform-8x8@0", "b", 99.0)])
    assert loss_ratios(reached).iloc[0].to_dict() == {"a": 1.0, "b": np.inf}


def test_time_ratios() -> None:
    """Time to come near the best, over the fastest; never is infinite."""
    trace = [[0.0, 0.0, 100.0], [0.2, 99.5, 100.0], [0.8, 100.0, 100.0]]
    made = [
        _row("uniform-8x8@0", "fast", 100.0, trace=trace),
        _row("uniform-8x8@0", "late", 100.0, trace=[[0.0, 0.0, 100.0], [0.6, 100.0, 100.0]]),
        _row("uniform-8x8@0", "never", 90.0),
    ]
    assert time_ratios(measurements(made)).iloc[0].to_dict() == pytest.approx(
        {"fast": 1.0, "late": 3.0, "never": np.inf}
    )


def test_scaling(rows: list[Row]) -> None:
    """The exponents that the times were made with; none where times say nothing."""
    fit = scaling(measurements(rows), "slow")
    assert fit is not None
    assert (fit.columns_exponent, fit.rows_exponent, fit.factor) == pytest.approx((2.0, 1.0, 1e-7), rel=1e-6)
    assert fit.r_squared == pytest.approx(1.0)
    assert fit.shapes == len(SHAPES)
    assert scaling(measurements(rows), "none") is None
    squares = [row for row in rows if row.get("rows") == row.get("columns")]
    assert scaling(measurements(squares), "slow") is None
    # One run that was stopped: all are timed to most of the gain.
    stopped = [row | {"stop_reason": "time"} if row["instance"].endswith("128x64@0") else row for row in rows]
    other = scaling(measurements(stopped), "slow")
    assert other is not None
    assert other.what == f"to {100 * statistics.NEAR:.0f} % of its gain"
    assert other.factor == pytest.approx(0.5)
    timed = scaling(measurements(rows), "auto")
    assert timed is not None
    assert timed.what == f"to {100 * statistics.NEAR:.0f} % of its gain"


def test_report(rows: list[Row], tmp_path: Path) -> None:
    """Every solver stands in the tables; the page holds its pictures; the exact command is there."""
    header = {
        "format": FORMAT,
        "kind": RUN,
        "plan": "paper",
        "command": "python -m bench run paper",
        "executor": "thread",
        "jobs": 1,
        "tasks": len(rows),
        "started": "2026-01-01T00:00:00+00:00",
    }
    kernels = [
        base_row(Task("uniform-64x64@1", name, 0.0, kind=KERNEL))
        | {"rows": 64, "columns": 64, "pattern": "2:4", "speed": speed, "limit": 2e10}
        for name, speed in zip(KERNELS, (1e10, 1.8e10), strict=True)
    ]
    warm = [
        _row("uniform-32x32@0~noise1", "auto", 60.0),
        _row("uniform-32x32@0~noise1", "auto", 62.0, initial=58.5, time_limit=0.1, runtime=0.1)
        | {"label": "auto, warm", "key": "other", "trace": [[0.0, 58.5, 100.0], [0.02, 62.0, 100.0]]},
    ]
    pruned = [
        _row(f"uniform-32x32@1~{percent}", label, 100.0 if percent >= enough else 99.0)
        for label, enough in (("auto", 60), ("slow", 70))
        for percent in (50, 60, 70)
    ]
    rows[0] |= {"status": "OPTIMAL", "bound": rows[0]["value"], "unchecked": ["much"]}
    refused = error_row(Task("uniform-32x32@0", "exhaustive", 1.0), "UnsupportedProblemError", "too wide | really")
    run = tmp_path / "run.jsonl"
    run.write_text("".join(json.dumps(row) + "\n" for row in [header, *kernels, *rows, *warm, *pruned, refused]))
    answer = CliRunner().invoke(app, ["report", str(run), "-o", str(tmp_path / "report")])
    assert answer.exit_code == 0, answer.output
    text = (tmp_path / "report" / "report.md").read_text()
    for label in ("auto", "slow", "fails", "exhaustive"):
        assert f"| `{label}` |" in text
    for piece in (
        "`python -m bench run paper`",
        "| uniform-32x32@0 | 50.000000 | 50.0000 | `auto` 1 s (*) |",
        "| `slow` | to its end | 2.00 | 1.00 | 1.00 | 6 |",
        "| 64 x 64 | 2:4 | float32 | 10.0 | 20.0 | 50 % |",
        "| 64 x 64 | 2:4 | bytes | 18.0 | 20.0 | 90 % |",
        "| `auto, warm` | 58.500 | 62.000 | 60.000 | 0.1 s | 1 s | 0.02 s | 0.5 s | 1 of 1 |",
        "too wide \\| really",
    ):
        assert piece in text, piece
    assert re.search(r"\| `auto` \| 60 % \|\n\| `slow` \| 70 % \|", text)
    pictures = re.findall(r"\]\((\w+\.png)\)", text)
    assert set(pictures) == {"anytime.png", "gaps.png", "kernels.png", "lossless.png", "profiles.png", "scaling.png"}
    assert all((tmp_path / "report" / name).stat().st_size > 5000 for name in pictures)
    page = (tmp_path / "report" / "report.html").read_text()
    assert page.count("data:image/png;base64,") == len(pictures)
    assert not re.search(r"(src|href)=\"(?!data:)", page)


def test_nothing_to_report(tmp_path: Path) -> None:
    """One line, not a picture of nothing."""
    (tmp_path / "run.jsonl").write_text("")
    answer = CliRunner().invoke(app, ["report", str(tmp_path / "run.jsonl"), "-o", str(tmp_path / "report")])
    assert answer.exit_code == 2
    assert "no rows" in answer.output
