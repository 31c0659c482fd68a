"""What the plans ask for."""

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from bench.instances import UnknownInstanceError, file_instances, find_instance, get_instance
from bench.instances.trained import CACHE_VARIABLE
from bench.plans import KERNEL, KERNELS, PLANS, SOLVE, Found, Settings, Share, Task, get_plan
from permsolve import available_solvers

NAMED = [name for name in PLANS if name != "own"]


@pytest.fixture(autouse=True)
def _no_cache(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv(CACHE_VARIABLE, raising=False)


@pytest.mark.parametrize("full", [False, True])
@pytest.mark.parametrize("name", NAMED)
def test_tasks(name: str, full: bool) -> None:
    """Every task names an instance and a registered solver, has a time, and survives the way to another process."""
    tasks = list(get_plan(name).tasks(Settings(full=full)))
    assert tasks
    for task in tasks:
        assert get_instance(task.instance).name == task.instance
        assert Task.from_dict(json.loads(json.dumps(task.to_dict()))) == task
        if task.kind == SOLVE:
            assert task.solver in available_solvers()
            assert isinstance(task.time_limit, Share) or task.time_limit > 0.0
    assert {task.key for task in get_plan(name).tasks(Settings())} <= {task.key for task in tasks} or full


def test_quick_runs_every_solver() -> None:
    """On every instance, and the kernels beside them."""
    tasks = list(get_plan("quick").tasks(Settings()))
    for instance in {task.instance for task in tasks if task.kind == SOLVE and "~" not in task.instance}:
        assert {task.solver for task in tasks if task.instance == instance and task.kind == SOLVE} == set(
            available_solvers()
        )
    assert {task.solver for task in tasks if task.kind == KERNEL} == set(KERNELS)
    assert len({task.instance for task in tasks if "~" in task.instance}) > 2


def test_budgets_of_the_timed_plans() -> None:
    """Nothing but the plan's own time limits keeps them within what their descriptions promise."""

    def minutes(name: str) -> float:
        tasks = {task.key: task for task in get_plan(name).tasks(Settings())}.values()
        return sum(task.time_limit for task in tasks if isinstance(task.time_limit, float)) / 60.0

    assert minutes("quick") < 3.0
    # Grows with the number of registered solvers.
    assert minutes("paper") < 3.5 * len(available_solvers())


def test_key() -> None:
    """What changes the measurement changes the key; what it is called, or where a file lies, does not."""
    task = Task("uniform-8x8@1", "greedy", 1.0)
    same = (replace(task, label="other"), replace(task, file="/elsewhere/w.npy"), replace(task, target="a:B"))
    assert {one.key for one in same} == {task.key}
    others = (
        replace(task, instance="uniform-8x8@2"),
        replace(task, solver="random"),
        replace(task, time_limit=2.0),
        replace(task, time_limit=Share("k", 0.5)),
        replace(task, options={"a": 1}),
        replace(task, seed=1),
        replace(task, workers=2),
        replace(task, stamp="1-2"),
        replace(task, initial="AAAA"),
        replace(task, initial=Found("k")),
    )
    assert len({task.key, *(one.key for one in others)}) == 1 + len(others)


def test_settings_replace_what_the_plan_says() -> None:
    """Instances, solvers, seeds, time and threads."""
    settings = Settings(
        [get_instance("uniform-8x16@3")], ["greedy"], ["mine"], seeds=2, time_limit=0.5, workers=3, pattern="1:2"
    )
    tasks = list(get_plan("quick").tasks(settings))
    assert {(task.instance, task.time_limit, task.workers) for task in tasks} == {("uniform-8x16@3", 0.5, 3)}
    assert [(task.solver, task.seed) for task in tasks] == [("greedy", 0), ("greedy", 1), ("mine", 0), ("mine", 1)]


def test_real_compares_at_the_published_searchs_time() -> None:
    """`auto` has a tenth of what stripe-groups took, and all of it; without a cache there is the embedded weight."""
    published, tenth, same = get_plan("real").tasks(Settings())
    assert (published.instance, published.solver, published.options) == ("digits", "stripe-groups", {"escapes": 1000})
    for task, factor in ((tenth, 0.1), (same, 1.0)):
        assert task.solver == "auto"
        assert isinstance(task.time_limit, Share)
        assert (task.time_limit.of, task.time_limit.factor) == (published.key, factor)
    assert tenth.name != same.name


def test_paper_runs_the_published_search_at_its_best_too() -> None:
    """With wider windows and escapes, under another name, unless other solvers are asked for."""
    tasks = [task for task in get_plan("paper").tasks(Settings()) if task.name != task.solver]
    assert {task.name for task in tasks} == {"stripe-groups, best"}
    windows = {task.instance: task.options["window"] for task in tasks}
    assert (windows["uniform-256x256@1"], windows["uniform-512x512@1"]) == (3, 2)
    others = get_plan("paper").tasks(Settings(solvers=["auto"]))
    assert {task.solver for task in others if task.kind == SOLVE} == {"auto"}


def test_own_needs_instances(tmp_path: Path) -> None:
    """It has none; the user's file is found again by what its task says."""
    with pytest.raises(UnknownInstanceError, match="--instance or --file"):
        list(get_plan("own").tasks(Settings()))
    np.save(tmp_path / "w.npy", np.eye(8, dtype=np.float32))
    tasks = list(get_plan("own").tasks(Settings(file_instances(tmp_path / "w.npy"), ["greedy"])))
    (task,) = tasks
    assert task.stamp
    np.testing.assert_array_equal(find_instance(task.instance, Path(task.file)).make(), np.eye(8))
    with pytest.raises(UnknownInstanceError, match="other"):
        find_instance("other", Path(task.file))
    np.save(tmp_path / "w.npy", np.eye(16, dtype=np.float32))
    (changed,) = get_plan("own").tasks(Settings(file_instances(tmp_path / "w.npy"), ["greedy"]))
    assert changed.key != task.key


def test_lossless_prunes() -> None:
    """Each step has its share of zeros, of the user's instances too."""
    tasks = list(get_plan("lossless").tasks(Settings([get_instance("uniform-8x16@1+1:2")], ["greedy"])))
    names = [task.instance for task in tasks]
    assert names[:2] == ["uniform-8x16@1~55+1:2", "uniform-8x16@1~60+1:2"]
    weight = find_instance(names[1]).make()
    assert (weight == 0.0).sum() == round(0.6 * 128)


def test_warm_starts_from_what_was_found() -> None:
    """Weight and changed weight in the same time, then a tenth of it from the first permutation; files too."""
    settings = Settings([get_instance("uniform-8x16@1+1:2")], time_limit=4.0, seeds=1)
    first, cold, warm = get_plan("warm").tasks(settings)
    assert (first.instance, cold.instance) == ("uniform-8x16@1+1:2", "uniform-8x16@1~noise1+1:2")
    assert first.time_limit == cold.time_limit == 4.0
    assert warm.time_limit == pytest.approx(0.4)
    assert (warm.instance, warm.seed, warm.solver) == (cold.instance, cold.seed, cold.solver)
    assert warm.initial == Found(first.key)
    assert warm.needs == (first.key,)
    assert first.needs == cold.needs == ()
    assert warm.name != cold.name


def test_keys_of_committed_rows_stay() -> None:
    """A run goes on where rows written by earlier versions end."""
    assert Task("uniform-8x8@1", "greedy", 1.0).key == "28c41f49811cb456"


def test_unknown_plan() -> None:
    """The error names the closest."""
    with pytest.raises(UnknownInstanceError, match="did you mean paper"):
        get_plan("papr")
