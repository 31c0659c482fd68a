"""The file of a run: nothing finished is lost, nothing broken is read."""

from pathlib import Path
from typing import Any

import pytest

from bench.plans import Task
from bench.runner import Journal, JournalInUseError, read_rows, read_runs
from bench.runner.row import FORMAT, RUN, error_row
from permsolve.errors import FileFormatError


def _row(seed: int, message: str = "") -> dict[str, Any]:
    return error_row(Task("uniform-8x8@1", "greedy", 1.0, seed=seed), "Error", message)


def test_append_and_open_again(tmp_path: Path) -> None:
    """Rows, and what says which run wrote them; the folder is made."""
    path = tmp_path / "new" / "run.jsonl"
    with Journal(path) as journal:
        journal.append({"format": FORMAT, "kind": RUN, "plan": "quick"})
        journal.append(_row(0))
        journal.append(_row(1))
    with Journal(path) as journal:
        assert list(journal.rows) == [_row(0)["key"], _row(1)["key"]]
        journal.append(_row(1, "again"))
    assert [row["error"]["message"] for row in read_rows(path)] == ["", "again"]
    assert [run["plan"] for run in read_runs(path)] == ["quick"]


@pytest.mark.parametrize("torn", [b'{"format": 1, "ki', b"\x00\xff", b"{"])
def test_torn_last_line(tmp_path: Path, torn: bytes) -> None:
    """What was being written when the run was killed is dropped, and the next row stands on a line of its own."""
    path = tmp_path / "run.jsonl"
    with Journal(path) as journal:
        journal.append(_row(0))
    whole = path.read_bytes()
    path.write_bytes(whole + torn)
    assert len(read_rows(path)) == 1
    with Journal(path) as journal:
        assert path.read_bytes() == whole
        journal.append(_row(1))
    assert len(read_rows(path)) == 2


@pytest.mark.parametrize("line", ["", "nonsense", "[]", "{}", '{"format": 2, "kind": "solve", "key": "a"}'])
def test_broken_line(tmp_path: Path, line: str) -> None:
    """A line that is no row is an error that names it."""
    path = tmp_path / "run.jsonl"
    with Journal(path) as journal:
        journal.append(_row(0))
    path.write_text(path.read_text() + line + "\n")
    with pytest.raises(FileFormatError, match=r"run\.jsonl, line 2"):
        read_rows(path)
    with pytest.raises(FileFormatError):
        Journal(path)


def test_one_run_at_a_time(tmp_path: Path) -> None:
    """The second is told so; when the first has ended, it may."""
    path = tmp_path / "run.jsonl"
    with Journal(path), pytest.raises(JournalInUseError, match="another run"):
        Journal(path)
    with Journal(path) as journal:
        assert journal.rows == {}
