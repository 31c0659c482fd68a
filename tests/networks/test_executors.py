"""Axes solved side by side by real workers, of which some are killed."""

import os
import signal
from concurrent.futures import Executor, Future, ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from multiprocessing import get_context
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import nn

from permsolve import networks, solve
from tests.networks.running import BRIEF, outputs, relative_error

FAST: dict[str, Any] = {**BRIEF, "solver": "random"}


def killed_once(marker: str, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
    """Kill the process that runs this, unless one was killed before."""
    try:
        Path(marker).touch(exist_ok=False)
    except FileExistsError:
        return solve(*args, **kwargs)
    os.kill(os.getpid(), signal.SIGKILL)
    return None


class Deadly(Executor):
    """Hands jobs on to another executor; the first one kills its worker."""

    def __init__(self, executor: Any, marker: Path) -> None:
        self.executor, self.marker, self.jobs = executor, str(marker), 0

    def submit(self, fn: Any, /, *args: Any, **kwargs: Any) -> "Future[Any]":
        """Run the job, or lose the worker."""
        self.jobs += 1
        future: Future[Any] = self.executor.submit(killed_once, self.marker, args, kwargs)
        return future


class Restarting(Deadly):
    """A pool of one process, made anew when it broke."""

    def __init__(self, marker: Path) -> None:
        super().__init__(self._pool(), marker)
        self.pools = [self.executor]

    @staticmethod
    def _pool() -> ProcessPoolExecutor:
        return ProcessPoolExecutor(1, mp_context=get_context("spawn"))

    def submit(self, fn: Any, /, *args: Any, **kwargs: Any) -> "Future[Any]":
        """Run the job, or lose the worker."""
        try:
            return super().submit(fn, *args, **kwargs)
        except BrokenProcessPool:
            self.executor = self._pool()
            self.pools.append(self.executor)
            return super().submit(fn, *args, **kwargs)


def _check(executor: Executor) -> None:
    torch.manual_seed(0)
    widths = ((12, 16), (16, 24), (24, 16), (16, 8))
    model = nn.Sequential(*(part for pair in widths for part in (nn.Linear(*pair), nn.Tanh()))).double().eval()
    x = (torch.randn(4, 12, dtype=torch.float64),)
    before = outputs(model, x)
    report = networks.permute_(model, x, executor=executor, **FAST)
    assert len(report.groups) == 3
    assert relative_error(outputs(model, x), before) < 1e-12


@pytest.mark.slow
def test_a_broken_pool_is_made_good_here(tmp_path: Path) -> None:
    """A process pool does not get over the death of a worker: what it still owed is solved in this process."""
    with ProcessPoolExecutor(2, mp_context=get_context("spawn")) as pool:
        _check(Deadly(pool, tmp_path / "killed"))
        assert pool._broken
    assert (tmp_path / "killed").exists()


@pytest.mark.slow
def test_a_killed_process_is_replaced(tmp_path: Path) -> None:
    """By a new pool."""
    executor = Restarting(tmp_path / "killed")
    _check(executor)
    for pool in executor.pools:
        pool.shutdown()
    assert (tmp_path / "killed").exists()
    assert len(executor.pools) == 2


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore")  # of dask's own, when a worker dies
def test_a_cluster_loses_a_worker(tmp_path: Path) -> None:
    """Dask gives the job to another worker."""
    distributed = pytest.importorskip("distributed")
    with (
        distributed.LocalCluster(n_workers=2, threads_per_worker=1, processes=True, dashboard_address=None) as cluster,
        distributed.Client(cluster) as client,
    ):
        executor = Deadly(client.get_executor(pure=False), tmp_path / "killed")
        _check(executor)
    assert (tmp_path / "killed").exists()


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore")
def test_a_cluster_that_gives_up_is_asked_again(tmp_path: Path) -> None:
    """A scheduler that allows no losses reports the worker as lost; the job is submitted anew."""
    distributed = pytest.importorskip("distributed")
    with (
        distributed.LocalCluster(n_workers=2, threads_per_worker=1, processes=True, dashboard_address=None) as cluster,
        distributed.Client(cluster) as client,
    ):
        cluster.scheduler.allowed_failures = 0
        executor = Deadly(client.get_executor(pure=False), tmp_path / "killed")
        _check(executor)
    assert executor.jobs > 3
