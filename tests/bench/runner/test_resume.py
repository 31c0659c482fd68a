"""A run that is killed goes on where it was."""

import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest

from bench.runner import Row, read_rows, read_runs

# Solvers that end by themselves and give the same answer each time.
SOLVERS = ("channel-swap", "exhaustive", "greedy", "identity", "ria", "stripe-groups")
# What differs from run to run although the answer is the same.
TIMES = ("started", "runtime", "wall", "cpu", "warm_up", "check", "memory_before", "memory_peak", "trace")

TIMED = ("median time", "runtime", "last improvement")


def _start(out: Path, executor: str = "thread") -> "subprocess.Popen[bytes]":
    solvers = [argument for name in SOLVERS for argument in ("--solver", name)]
    only = ("--only", "uniform-32x16@[0-1]", "--workers", "1", "--jobs", "1", "--time-limit", "60")
    paths = os.pathsep.join(path for path in sys.path if path)
    return subprocess.Popen(
        [sys.executable, "-m", "bench", "run", "paper", *only, *solvers, "-o", str(out), "--executor", executor],
        stderr=subprocess.DEVNULL,
        env=os.environ | {"PYTHONPATH": paths},
    )


def _rows(out: Path) -> int:
    return out.read_bytes().count(b"\n") - 1 if out.exists() else -1


def _plain(rows: list[Row]) -> dict[str, Row]:
    return {row["key"]: {name: value for name, value in row.items() if name not in TIMES} for row in rows}


def _children(process: int) -> list[int]:
    path = Path(f"/proc/{process}/task/{process}/children")
    return [int(number) for number in path.read_text().split()] if path.is_file() else []


def _gone(process: int) -> bool:
    path = Path(f"/proc/{process}/stat")
    return not path.exists() or path.read_text().rpartition(")")[2].split()[0] == "Z"


def _wait(condition: Any, seconds: float = 600.0) -> None:
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.005)


@pytest.mark.parametrize("executor", ["thread", pytest.param("process", marks=pytest.mark.slow)])
def test_killed_in_the_middle(tmp_path: Path, executor: str) -> None:
    """Kill -9 after some rows: none is lost, none comes twice, and the whole is that of a run that was let be."""
    whole, cut = tmp_path / "whole.jsonl", tmp_path / "cut.jsonl"
    assert _start(whole).wait(timeout=600) == 0
    run = _start(cut, executor)
    _wait(lambda: _rows(cut) >= 5)
    workers = _children(run.pid)
    os.kill(run.pid, signal.SIGKILL)
    run.wait()
    # The processes that measure end with the one that was killed.
    _wait(lambda: all(map(_gone, workers)))
    before = read_rows(cut)
    assert 5 <= len(before) < len(SOLVERS) * 2
    finished = b"".join(cut.read_bytes().splitlines(keepends=True)[: len(before) + 1])
    with cut.open("ab") as stream:
        stream.write(b'{"format": 1, "kind": "solve", "k')  # killed while it wrote
    assert _start(cut, executor).wait(timeout=600) == 0
    after = read_rows(cut)
    assert cut.read_bytes().startswith(finished)
    assert cut.read_bytes().count(b"\n") == len(after) + len(read_runs(cut))
    assert len(read_runs(cut)) == 2
    assert _plain(after) == _plain(read_rows(whole))
    _same_report(cut, whole)


def _same_report(cut: Path, whole: Path) -> None:
    """Where it is deterministic: in all but times."""
    pytest.importorskip("pandas")
    pytest.importorskip("matplotlib")
    from bench.report.scores import measurements, ranking
    from bench.report.tables import finals, summary

    first, second = (measurements(read_rows(path)) for path in (cut, whole))
    assert ranking(first) == ranking(second)
    for table in (summary, finals):
        one, other = (table(frame, ranking(frame)) for frame in (first, second))
        kept = [place for place, heading in enumerate(one.headings) if heading not in TIMED]
        for left, right in zip(one.rows, other.rows, strict=True):
            assert [left[place] for place in kept] == [right[place] for place in kept]
