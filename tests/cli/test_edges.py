"""What goes wrong in daily use: files that are half good, odd names, interrupts, closed streams."""

import io
import json
import os
import re
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from safetensors.numpy import save_file

import permsolve.cli.solve
from permsolve import Problem
from permsolve.cli.progress import progress_line
from permsolve.observers import Incumbent
from tests.cli.conftest import Answer, Terminal

Run = Callable[..., Answer]
GREEDY = ("--solver", "greedy")
ROOT = Path(__file__).parents[2]


def _matrix(seed: int = 0, shape: tuple[int, int] = (8, 16)) -> np.ndarray[Any, Any]:
    return np.random.default_rng(seed).normal(size=shape).astype(np.float32)


def _spawn(*arguments: object, redirect: str = "", **environment: str) -> subprocess.CompletedProcess[str]:
    command = 'exec "$0" -m permsolve "$@" ' + redirect
    paths = os.pathsep.join([str(ROOT), str(ROOT / "solvers")])
    return subprocess.run(
        ["sh", "-c", command, sys.executable, *map(str, arguments)],
        env={**os.environ, "PYTHONPATH": paths, **environment},
        capture_output=True,
        text=True,
        check=False,
        timeout=600,
    )


@pytest.mark.parametrize("scale", [1e-12, 1.0, 1e15])
def test_values_are_shown_at_any_magnitude(run: Run, tmp_path: Path, scale: float) -> None:
    """With significant digits, not with a fixed number of decimals."""
    weight = np.arange(1.0, 17.0).reshape(2, 8) * scale
    np.save(tmp_path / "w.npy", weight)
    shown = run("solve", tmp_path / "w.npy", *GREEDY).out
    assert f"kept before {Problem.from_weight(weight).baseline:.8g}" in " ".join(shown.split())


def test_an_unusable_weight_is_named(run: Run, tmp_path: Path) -> None:
    """A NaN is reported with its file, and with its tensor where there are several."""
    bad = _matrix()
    bad[2, 3] = np.nan
    np.save(tmp_path / "nan.npy", bad)
    np.savez(tmp_path / "m.npz", good=_matrix(), bad=bad)
    for command in ("solve", "bound"):
        assert "nan.npy: saliency must be finite" in run(command, tmp_path / "nan.npy", "--time-limit", "1").err
    assert "nan.npy: a weight must be finite: entry (2, 3) is nan" in run("lossless", tmp_path / "nan.npy").err
    assert "m.npz: 'bad': saliency must be finite" in run("bound", tmp_path / "m.npz", "--tensor", "bad").err
    assert "m.npz: 'bad': saliency must be finite" in run("solve", tmp_path / "m.npz", "--all", *GREEDY).err


def test_all_checks_every_tensor_before_the_first_search(
    run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A bad last tensor shows before time goes into the first one."""
    bad = _matrix()
    bad[0, 0] = np.inf
    np.savez(tmp_path / "m.npz", a=_matrix(), z=bad)
    monkeypatch.setattr("permsolve.api.solve", lambda *_, **__: pytest.fail("searched already"))
    answer = run("solve", tmp_path / "m.npz", "--all", *GREEDY, "--out", tmp_path / "p.npz")
    assert answer.code == 2
    assert not (tmp_path / "p.npz").exists()


def test_ctrl_c_between_tensors_keeps_those_done(run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """An interrupt while the second tensor is prepared writes the first one's permutation."""
    np.savez(tmp_path / "m.npz", a=_matrix(0), b=_matrix(1))
    real, seen = permsolve.cli.progress.progress_line, []

    def second_is_interrupted(problem: Problem, name: str, start: float, *, show: bool) -> Any:
        seen.append(name)
        if len(seen) == 2:
            raise KeyboardInterrupt
        return real(problem, name, start, show=show)

    monkeypatch.setattr("permsolve.cli.progress.progress_line", second_is_interrupted)
    out = tmp_path / "p.npz"
    answer = run("solve", tmp_path / "m.npz", "--all", *GREEDY, "--out", out, "--quiet")
    assert answer.code == 130
    assert answer.err == f"permsolve: interrupted: the best found so far (1 of 2 tensors) was written to {out}\n"
    assert set(np.load(out)) == {"a"}


def test_early_ctrl_c_says_so(run: Run, weight_file: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """An interrupt before any search gives one line and writes nothing."""

    def interrupted(*_: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr("permsolve.io.weight_file.open_weights", interrupted)
    answer = run("solve", weight_file, *GREEDY, "--out", weight_file.with_name("p.npy"))
    assert (answer.code, answer.err) == (130, "permsolve: error: interrupted: nothing was written\n")
    assert list(weight_file.parent.iterdir()) == [weight_file]


@pytest.mark.skipif(os.name == "nt", reason="sends a POSIX signal")
def test_interrupt_without_an_output_admits_it(
    run: Run, tmp_path: Path, send_when_found: Callable[[int], None]
) -> None:
    """Without --out or --json nothing is claimed to be written."""
    path = tmp_path / "w.npy"
    np.save(path, _matrix(0, (32, 64)))
    send_when_found(signal.SIGINT)
    answer = run("solve", path, "--solver", "random", "--time-limit", "300")
    assert answer.code == 130
    assert answer.err == "permsolve: interrupted: the best found so far was not written: no --out given\n"


def test_no_input_is_overwritten(run: Run, weight_file: Path, tmp_path: Path) -> None:
    """Whatever a command reads is safe from its outputs, also by another name."""
    permutation, moments, document = tmp_path / "p.npy", tmp_path / "h.npy", tmp_path / "r.json"
    np.save(permutation, np.arange(18)[::-1].copy())
    np.save(moments, np.ones(18))
    run("solve", weight_file, *GREEDY, "--json", document)
    link = tmp_path / "link.npy"
    link.symlink_to(moments)
    inputs = ("--saliency", "wanda", "--inputs", moments)
    calls: list[tuple[object, ...]] = [
        ("apply", weight_file, permutation, "--out", permutation),
        ("apply", weight_file, permutation, "--prune", *inputs, "--out", moments),
        ("solve", weight_file, *GREEDY, *inputs, "--out", moments),
        ("solve", weight_file, *GREEDY, *inputs, "--out", link),
        ("solve", weight_file, *GREEDY, "--initial", permutation, "--out", permutation),
        ("solve", weight_file, *GREEDY, "--initial", document, "--json", document),
    ]
    before = {path: path.read_bytes() for path in tmp_path.iterdir()}
    for call in calls:
        answer = run(*call)
        assert answer.code == 2, call
        assert "that is the input" in answer.err
        assert {path: path.read_bytes() for path in tmp_path.iterdir()} == before


def test_apply_refuses_one_array_for_several_before_reading(run: Run, tmp_path: Path) -> None:
    """A whole model does not fit into a .npy, and the line says what to do."""
    np.savez(tmp_path / "m.npz", a=_matrix(0), b=_matrix(1))
    np.savez(tmp_path / "p.npz", a=np.arange(16))
    answer = run("apply", tmp_path / "m.npz", tmp_path / "p.npz", "--out", tmp_path / "o.npy")
    assert answer.code == 2
    assert "holds 2 tensors: name it .npz or .safetensors, or choose one by --tensor" in answer.err


def test_apply_copies_what_numpy_cannot_read(run: Run, tmp_path: Path) -> None:
    """A checkpoint with an 8-bit float tensor is re-ordered; that tensor is copied."""
    model, permutations, out = (tmp_path / f"{name}.safetensors" for name in ("m", "p", "o"))
    weight, eight_bit = _matrix(), bytes(range(8))
    header = json.dumps(
        {
            "q": {"dtype": "F8_E4M3", "shape": [2, 4], "data_offsets": [0, 8]},
            "w": {"dtype": "F32", "shape": [8, 16], "data_offsets": [8, 8 + weight.nbytes]},
        }
    ).encode()
    model.write_bytes(len(header).to_bytes(8, "little") + header + eight_bit + weight.tobytes())
    order = np.arange(16)[::-1].copy()
    save_file({"w": order}, permutations)
    assert run("apply", model, permutations, "--out", out).code == 0
    assert out.read_bytes() == model.read_bytes()[: -weight.nbytes] + weight[:, order].tobytes()
    answer = run("apply", model, permutations, "--out", out.with_suffix(".npz"))
    assert answer.code == 2
    assert "o.npz: 'q' has type float8_e4m3fn, which neither .npy nor .npz can hold" in answer.err
    assert "write a .safetensors file" in answer.err
    assert not out.with_suffix(".npz").exists()


NOT_RESULTS: list[Any] = [[], None, 3, {}, {"tensors": 3}, {"tensors": {}}, {"tensors": {"w": 1}}, {"format": "x"}]


@pytest.mark.parametrize("document", NOT_RESULTS)
def test_json_that_is_no_result(run: Run, weight_file: Path, tmp_path: Path, document: Any) -> None:
    """Any other JSON is refused with the file's name, and nothing is written."""
    path, out = tmp_path / "r.json", tmp_path / "o.npy"
    path.write_text(json.dumps(document))
    answer = run("apply", weight_file, path, "--out", out)
    assert answer.code == 2
    assert "r.json" in answer.err
    assert answer.err.count("\n") == 1
    assert not out.exists()


def test_names_cannot_break_the_line(run: Run, tmp_path: Path) -> None:
    """Control characters of a tensor's name are shown, not obeyed."""
    path, name = tmp_path / "m.safetensors", "a\x1b[31mb\nc[bold]"
    save_file({name: _matrix()}, path)
    for call in (("check", path), ("inspect", path), ("solve", path, *GREEDY), ("solve", path, "--tensor", "x")):
        answer = run(*call)
        assert "\x1b" not in answer.out + answer.err
        assert "\\x1b[31mb" in answer.out + answer.err
    assert run("check", path).out.count("\n") == 1


def test_inspect_shows_shapes_whatever_happens(run: Run, weight_file: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A tensor that does not fit into memory is still listed."""

    def too_large(*_: object, **__: object) -> None:
        raise MemoryError

    monkeypatch.setattr(Problem, "from_weight", too_large)
    answer = run("inspect", weight_file)
    assert answer.code == 2
    assert "24 x 18" in answer.out
    assert answer.err.endswith("w.npy: 1 tensor was not looked at: w (float32)\n")


def test_help_keeps_its_defaults(run: Run) -> None:
    """What happens without an option is not lost as markup."""
    shown = " ".join(run("solve", "--help").out.replace("│", " ").split())
    assert "1 to 120" in shown
    assert "all cores" in shown
    assert "else 2:4" in " ".join(run("apply", "--help").out.replace("│", " ").split())


@pytest.mark.parametrize("columns", [80, 30])
def test_tables_fit_eighty_columns(run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, columns: int) -> None:
    """On a terminal long names are folded beside what is shown whole, and none vanishes from a narrow one."""
    monkeypatch.setenv("TERM", "xterm")
    monkeypatch.setenv("NO_COLOR", "1")
    monkeypatch.setenv("COLUMNS", str(columns))
    name = "model.layers.0.mlp.down_proj.weight"
    save_file({name: _matrix(0) * 1e6, "b": _matrix(1)}, tmp_path / "m.safetensors")
    solved = run("solve", tmp_path / "m.safetensors", "--all", *GREEDY, "--quiet", stream=Terminal)
    assert solved.out == ""
    for call, word in (("solve", "FEASIBLE"), ("inspect", "yes")):
        options = ("--all", *GREEDY) if call == "solve" else ()
        plain = re.sub(r"\x1b\[[0-9;]*m", "", run(call, tmp_path / "m.safetensors", *options, stream=Terminal).out)
        assert plain.count(word) == 2
        assert max(map(len, plain.splitlines())) <= 80
        folded = "".join(line.split(" ")[1] for line in plain.splitlines() if line.startswith(" "))
        assert name in folded


def test_a_pipe_gets_whole_lines(run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Where stdout is no terminal no name is folded or cut off, whatever the width of the terminal behind it."""
    monkeypatch.setenv("COLUMNS", "40")
    name = "model.layers.0.self_attn.q_proj.weight" * 4
    save_file({name: _matrix(0), "b": _matrix(1)}, tmp_path / "m.safetensors")
    for call in (("inspect",), ("solve", "--all", *GREEDY), ("solve", "--tensor", name, *GREEDY)):
        lines = run(call[0], tmp_path / "m.safetensors", *call[1:]).out.splitlines()
        assert any(name in line for line in lines)
    listed = run("solvers").out
    for row in json.loads(run("solvers", "--json", "-").out):
        assert ", ".join(row["options"]) in listed
        assert row["summary"] in listed


@pytest.mark.parametrize("name", ["x[/b]", "a[red]b", "[bold]:smile:"])
def test_names_are_no_markup(run: Run, tmp_path: Path, name: str) -> None:
    """Brackets and colons of names are shown as they are, by every command and on the progress line."""
    path = tmp_path / "m.safetensors"
    save_file({name: _matrix()}, path)
    commands: list[tuple[object, ...]] = [("lossless", path), ("solve", path), ("solve", path, "--all")]
    for call in commands:
        assert name in run(*call, *GREEDY).out
    assert name in run("inspect", path).out
    assert name in run("solve", path, *GREEDY, stream=Terminal).err


def test_progress_line_shows_start_and_improvements(monkeypatch: pytest.MonkeyPatch) -> None:
    """On a terminal the line starts from what is kept already and follows the observer; elsewhere it is silent."""

    monkeypatch.setenv("TERM", "xterm")
    problem = Problem([[3.0, 2.0, 0.0, 1.0]], "1:2")
    terminal = Terminal()
    monkeypatch.setattr(sys, "stderr", terminal)
    with progress_line(problem, "w[0]", problem.baseline, show=True) as observer:
        assert observer is not None
        observer(Incumbent(0.1, 1, 5.0, 5.0, np.array([0, 2, 1, 3])))
    assert "w[0] (1 x 4, 1:2)" in terminal.getvalue()
    assert "efficacy 100.00 %" in terminal.getvalue()
    monkeypatch.setattr(sys, "stderr", io.StringIO())
    with progress_line(problem, "w", problem.baseline, show=True) as observer:
        assert observer is None


@pytest.mark.skipif(os.name == "nt", reason="uses a POSIX shell")
@pytest.mark.parametrize("redirect", ["| true", ">&-", ">&- 2>&-"])
def test_streams_that_are_gone(weight_file: Path, redirect: str) -> None:
    """Neither a reader that left nor a closed stream gives a traceback."""
    done = _spawn("inspect", weight_file, redirect=redirect)
    assert (done.returncode, done.stderr) == (0, "")


@pytest.mark.skipif(os.name == "nt", reason="uses a POSIX shell")
def test_broken_pipe_is_no_violation(weight_file: Path) -> None:
    """A reader that left does not look like exit code 1 of check, and check keeps its answer."""
    script = '("$0" -m permsolve --help; echo "help $?" >&2; "$0" -m permsolve check "$1"; echo "check $?" >&2) | true'
    paths = os.pathsep.join([str(ROOT), str(ROOT / "solvers")])
    done = subprocess.run(
        ["sh", "-c", script, sys.executable, str(weight_file)],
        env={**os.environ, "PYTHONPATH": paths},
        capture_output=True,
        text=True,
        check=False,
        timeout=600,
    )
    assert done.stderr == "help 0\ncheck 1\n"


@pytest.mark.skipif(os.name == "nt", reason="file names are no bytes there")
def test_names_that_the_terminal_cannot_show(tmp_path: Path) -> None:
    """A name outside the terminal's encoding is escaped."""
    path = tmp_path / "wäght.npy"
    np.save(path, _matrix())
    done = _spawn("inspect", path, PYTHONIOENCODING="ascii")
    assert (done.returncode, done.stderr) == (0, "")
    assert "w\\xe4ght" in done.stdout
