"""Running on a dask cluster, of which a worker is lost."""

import os
import signal
import threading
from pathlib import Path

import pytest

pytest.importorskip("distributed")

from distributed import Client, LocalCluster

from bench.plans import Task
from bench.runner import Journal, Row, open_executor, read_rows, run_tasks
from permsolve.errors import InvalidOptionError


@pytest.mark.filterwarnings("ignore")  # of dask's own, when a worker dies
def test_all_rows_arrive_although_a_worker_is_killed(tmp_path: Path) -> None:
    """Two workers, one killed with what it was doing: what it had not finished is done by the other."""
    tasks = [Task("uniform-64x32@1", "local-search", 0.4, seed=seed) for seed in range(16)]
    seen: list[Row] = []
    killed = threading.Event()
    with LocalCluster(n_workers=2, threads_per_worker=1, processes=True, dashboard_address=None) as cluster:
        address = cluster.scheduler_address.removeprefix("tcp://")
        with Client(cluster) as client:
            workers = list(client.run(os.getpid).values())
        assert len(workers) == 2

        def on_row(row: Row) -> None:
            seen.append(row)
            if len(seen) == 4 and not killed.is_set():
                os.kill(workers[0], signal.SIGKILL)
                killed.set()

        with Journal(tmp_path / "run.jsonl") as journal, open_executor(f"dask://{address}", 1) as (pool, threads):
            assert threads == 2
            run_tasks(tasks, journal, pool, threads, 10**7, on_row)
    assert killed.is_set()
    rows = read_rows(tmp_path / "run.jsonl")
    assert {row["key"] for row in rows} == {task.key for task in tasks}
    assert len(seen) == len(tasks)
    assert [row["error"] for row in rows] == [None] * len(tasks)


def test_no_scheduler(monkeypatch: pytest.MonkeyPatch) -> None:
    """One line that names the address."""
    monkeypatch.setattr("bench.runner.executors.DASK_TIMEOUT", 0.2)
    with pytest.raises(InvalidOptionError, match="no scheduler answers"), open_executor("dask://127.0.0.1:9", 1):
        pass
