"""Each command, used as a person would."""

import json
import os
import signal
from collections.abc import Callable
from pathlib import Path

import ml_dtypes
import numpy as np
import pytest
from safetensors.numpy import load_file, save_file

from permsolve import Pattern, Result
from permsolve.kernels.device.availability import obstacle
from permsolve.masks import nm_violations
from tests.cli.conftest import Answer

Run = Callable[..., Answer]
QUICK = ("--solver", "local-search", "--time-limit", "0.2")


def test_help_names_commands_and_exit_codes(run: Run) -> None:
    """The help lists every command and what the exit codes mean."""
    answer = run("--help")
    assert answer.code == 0
    for word in ("solve", "apply", "check", "inspect", "solvers", "Exit codes", "130"):
        assert word in answer.out
    assert run().out == answer.out
    assert run("--version").out.startswith("permsolve ")


def test_solve_apply_check(run: Run, weight_file: Path, tmp_path: Path) -> None:
    """The whole way: solve, apply with pruning, and the result is N:M and keeps what the table says."""
    permutation, document, pruned = tmp_path / "p.npy", tmp_path / "r.json", tmp_path / "wp.npy"
    answer = run("solve", weight_file, *QUICK, "--out", permutation, "--json", document)
    assert answer.code == 0
    assert answer.err == ""
    for word in ("kept before", "kept after", "row bound", "efficacy", "time", "solver"):
        assert word in answer.out
    result = Result.load(document)
    np.testing.assert_array_equal(np.load(permutation), result.permutation)
    assert run("apply", weight_file, permutation, "--out", pruned, "--prune").code == 0
    assert np.abs(np.load(pruned)).sum(dtype=np.float64) == pytest.approx(result.value)
    assert run("check", pruned).code == 0
    before = run("check", weight_file)
    assert before.code == 1
    assert "24 of 24 rows break it: 0, 1, 2, 3, 4, 5, 6, 7, 8, 9, ..." in before.out


def test_apply_takes_the_pattern_from_a_result(run: Run, weight_file: Path, tmp_path: Path) -> None:
    """A result file knows its pattern; an explicit one wins."""
    document, pruned = tmp_path / "r.npz", tmp_path / "wp.npy"
    result_json = tmp_path / "r.json"
    run("solve", weight_file, *QUICK, "--pattern", "1:3", "--json", result_json)
    Result.load(result_json).save(document)
    for source in (document, result_json):
        run("apply", weight_file, source, "--out", pruned, "--prune")
        assert nm_violations(np.load(pruned), Pattern(1, 3)).size == 0
    run("apply", weight_file, document, "--out", pruned, "--prune", "--pattern", "2:3")
    assert nm_violations(np.load(pruned), Pattern(1, 3)).size > 0


def test_json_to_stdout_is_alone_there(run: Run, weight_file: Path) -> None:
    """With --json - the table goes to stderr and stdout is one JSON document."""
    answer = run("solve", weight_file, *QUICK, "--json", "-")
    document = json.loads(answer.out)
    assert document["columns"] == 18
    assert "kept after" in answer.err
    assert run("solve", weight_file, *QUICK, "--json", "-", "--quiet").err == ""


def test_quiet_prints_nothing(run: Run, weight_file: Path) -> None:
    """--quiet is silent."""
    answer = run("solve", weight_file, *QUICK, "--quiet")
    assert (answer.code, answer.out, answer.err) == (0, "", "")


def test_all_tensors_of_a_model(run: Run, tmp_path: Path) -> None:
    """--all solves every eligible tensor into one file, which apply takes; other tensors are copied."""
    rng = np.random.default_rng(1)
    model, permutations, out = (
        tmp_path / "m.safetensors",
        tmp_path / "p.safetensors",
        tmp_path / "mp.safetensors",
    )
    tensors = {
        "fc.weight": rng.normal(size=(8, 16)).astype(np.float32),
        "fc.bias": rng.normal(size=8).astype(np.float32),
        "conv.weight": rng.normal(size=(4, 12, 3, 3)).astype(ml_dtypes.bfloat16),
    }
    save_file(tensors, model, metadata={"format": "pt"})
    answer = run("solve", model, "--all", *QUICK, "--out", permutations, "--json", tmp_path / "r.json")
    assert answer.code == 0
    assert "fc.weight" in answer.out
    assert set(load_file(permutations)) == {"fc.weight", "conv.weight"}
    for source in (permutations, tmp_path / "r.json"):
        assert run("apply", model, source, "--out", out, "--prune").code == 0
        written = load_file(out)
        np.testing.assert_array_equal(written["fc.bias"], tensors["fc.bias"])
        assert written["conv.weight"].dtype == tensors["conv.weight"].dtype
        for name in ("fc.weight", "conv.weight"):
            assert nm_violations(written[name], Pattern(2, 4)).size == 0
    assert run("solve", model, *QUICK).code == 2
    assert run("solve", model, "--tensor", "fc.weight", *QUICK, "--quiet").code == 0


def test_check_along_another_axis(run: Run, tmp_path: Path) -> None:
    """A layer may store (in, out), which a file does not say: the verdict names the axis, and it can be given."""
    weight = np.zeros((8, 6), np.float32)
    weight[:2], weight[4:6] = 1.0, 2.0
    np.save(tmp_path / "w.npy", weight)
    answer = run("check", tmp_path / "w.npy")
    assert answer.code == 1
    assert "--axis 0" in answer.out
    assert run("check", tmp_path / "w.npy", "--axis", "0").code == 0
    assert run("check", tmp_path / "w.npy", "--axis", "2").code == 2


def test_check_all(run: Run, tmp_path: Path) -> None:
    """A line for every tensor that solve --all would handle; exit code 1 when any breaks the pattern."""
    model = tmp_path / "m.safetensors"
    sparse = np.tile(np.array([1.0, 0.0, 2.0, 0.0], np.float32), (3, 2))
    save_file({"a": sparse, "bias": sparse[0], "b": np.ones_like(sparse), "c": sparse}, model)
    answer = run("check", model, "--all")
    assert answer.code == 1
    assert answer.out.splitlines() == [
        "a: all 3 rows of 8 columns follow 2:4",
        "b: not 2:4: 3 of 3 rows break it: 0, 1, 2",
        "c: all 3 rows of 8 columns follow 2:4",
    ]
    save_file({"a": sparse, "bias": sparse[0], "c": sparse}, model)
    assert run("check", model, "--all").code == 0
    save_file({"bias": sparse[0], "other": sparse[0]}, model)
    assert "none of its 2 tensors can be permuted" in run("check", model, "--all").err


def test_inspect_and_solvers(run: Run, weight_file: Path) -> None:
    """inspect shows shape and shares, solvers lists all of them, also as JSON."""
    shown = run("inspect", weight_file).out
    assert "24 x 18" in shown
    assert "float32" in shown
    names = {row["name"] for row in json.loads(run("solvers", "--json", "-").out)}
    assert {"auto", "exhaustive", "greedy", "identity", "local-search", "random"} <= names
    assert "local-search" in run("solvers").out


def test_initial_and_options(run: Run, weight_file: Path, tmp_path: Path) -> None:
    """A saved permutation can be started from; solver options pass through."""
    first, second = tmp_path / "p.npy", tmp_path / "r.json"
    run("solve", weight_file, *QUICK, "--out", first)
    answer = run("solve", weight_file, "--solver", "identity", "--initial", first, "--json", second, "--quiet")
    assert answer.code == 0
    result = Result.load(second)
    assert result.value > result.baseline
    assert run("solve", weight_file, *QUICK, "--option", "kick=3", "--quiet").code == 0
    for name in ("kicks", "name", "solver", "seed"):
        assert f"no option '{name}'" in run("solve", weight_file, *QUICK, "--option", f"{name}=3").err


def test_an_option_may_be_an_object(run: Run, tmp_path: Path) -> None:
    """Written as JSON; what is none, or could not be written to a result, is refused in one line."""
    path, document = tmp_path / "w.npy", tmp_path / "r.json"
    np.save(path, np.random.default_rng(0).normal(size=(4, 8)))
    solve = ("solve", path, "--solver", "cp-sat", "--json", document, "--option")
    assert run(*solve, 'parameters={"num_workers": 1, "cp_model_presolve": true}').code == 0
    assert Result.load(document).options == {"parameters": {"num_workers": 1, "cp_model_presolve": True}}
    for wrong in ("{", '{"num_workers"}', '{"relative_gap_limit": NaN}'):
        answer = run(*solve, f"parameters={wrong}")
        assert (answer.code, answer.err.count("\n")) == (2, 1)
        assert "not a JSON object" in answer.err


WRONG = [
    (("solve", "missing.npy"), 2, "No such file"),
    (("solve", "W", "--pattern", "4:2"), 2, "impossible"),
    (("solve", "W", "--pattern", "x"), 2, "write it as N:M"),
    (("solve", "W", "--solver", "magic"), 2, "choose one of"),
    (("solve", "W", "--saliency", "magic"), 2, "choose one of"),
    (("solve", "W", "--time-limit", "-1"), 2, "time_limit"),
    (("solve", "W", "--time-limit", "nan"), 2, "time_limit"),
    (("solve", "W", "--seed", "x"), 2, "'x'"),
    (("solve", "W", "--seed", "1.5"), 2, "'1.5'"),
    (("solve", "W", "--seed", "-3"), 2, "-3"),
    (("solve", "W", "--time-limit", "abc"), 2, "'abc'"),
    (("solve", "W", "--out", "p.txt"), 2, "name it .npy"),
    (("solve", "W", "--out", "no/such/p.npy"), 2, "does not exist"),
    (("solve", "W", "--out", "W"), 2, "that is the input"),
    (("solve", "W", "--option", "kick"), 2, "name=value"),
    (("solve", "W", "--nonsense"), 2, "No such option"),
    (("solve", "W", "--all", "--tensor", "w"), 2, "exclude each other"),
    (("check", "W", "--all", "--tensor", "w"), 2, "exclude each other"),
    (("solve", "W", "--solver", "exhaustive", "--pattern", "2:4", "--tensor", "no"), 2, "no tensor"),
    (("apply", "W", "W", "--out", "x.npy"), 2, "permutation"),
    (("frobnicate",), 2, "No such command 'frobnicate': choose one of solve, apply, check"),
    (("--frobnicate",), 2, "No such option"),
]


def test_device(run: Run, weight_file: Path) -> None:
    """Passed on to the solver: the CPU always serves, others say what they lack; given once."""
    assert run("solve", weight_file, *QUICK, "--device", "cpu", "--quiet").code == 0
    answer = run("solve", weight_file, *QUICK, "--device", "gpu")
    assert (answer.code, answer.err.count("\n")) == (2, 1)
    assert "device must be cpu or cuda, got 'gpu'" in answer.err
    assert "exclude each other" in run("solve", weight_file, "--device", "cpu", "--option", "device=cpu").err
    assert "no option 'device'" in run("solve", weight_file, "--solver", "greedy", "--device", "cuda").err


@pytest.mark.skipif(obstacle() is None, reason="this machine has a GPU")
def test_device_without_a_gpu(run: Run, weight_file: Path) -> None:
    """One line with the remedy."""
    answer = run("solve", weight_file, "--device", "cuda")
    assert answer.code != 0
    assert answer.err.count("\n") == 1
    assert "permsolve[cuda]" in answer.err


@pytest.mark.parametrize(("arguments", "code", "words"), WRONG)
def test_wrong_use_gives_one_line(
    run: Run,
    weight_file: Path,
    monkeypatch: pytest.MonkeyPatch,
    arguments: tuple[str, ...],
    code: int,
    words: str,
) -> None:
    """A wrong call ends with one line on stderr and the documented code, and writes nothing."""
    monkeypatch.chdir(weight_file.parent)
    before = sorted(path.name for path in weight_file.parent.iterdir())
    answer = run(*("w.npy" if argument == "W" else argument for argument in arguments))
    assert answer.code == code
    assert words in answer.err
    assert answer.err.count("\n") == (1 if code else 0)
    assert sorted(path.name for path in weight_file.parent.iterdir()) == before


def test_refusing_solver_has_its_own_code(run: Run, tmp_path: Path) -> None:
    """exhaustive refuses what it cannot finish, saying how large it would be."""
    path = tmp_path / "w.npy"
    np.save(path, np.ones((4, 64)))
    answer = run("solve", path, "--solver", "exhaustive")
    assert answer.code == 3
    assert "about 10^53.7 partitions" in answer.err


@pytest.mark.skipif(os.name == "nt", reason="sends a POSIX signal")
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
def test_signals_write_the_best_found(
    run: Run, tmp_path: Path, send_when_found: Callable[[int], None], number: signal.Signals
) -> None:
    """Ctrl-C during a search writes the permutation found so far, says so, and exits with 130; SIGTERM and SIGHUP, too.

    They have codes of their own.
    """
    weight, out, document = tmp_path / "w.npy", tmp_path / "p.npy", tmp_path / "r.json"
    np.save(weight, np.random.default_rng(0).random((64, 128), dtype=np.float32))
    previous = signal.getsignal(signal.SIGTERM), signal.getsignal(signal.SIGHUP)
    signal.signal(signal.SIGTERM, signal.SIG_DFL)
    signal.signal(signal.SIGHUP, signal.SIG_DFL)
    send_when_found(number)
    try:
        answer = run("solve", weight, "--solver", "random", "--out", out, "--json", document, "--time-limit", "300")
    finally:
        signal.signal(signal.SIGTERM, previous[0])
        signal.signal(signal.SIGHUP, previous[1])
    assert answer.code == 128 + number
    assert answer.err == f"permsolve: interrupted: the best found so far was written to {out} and {document}\n"
    result = Result.load(document)
    np.testing.assert_array_equal(np.load(out), result.permutation)
    assert result.stop_reason == "interrupted"
    assert result.value > result.baseline
