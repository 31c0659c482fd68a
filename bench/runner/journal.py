"""The file of a run: JSON lines, appended one by one, so that whatever kills the run loses no finished row."""

import fcntl
import json
import os
from collections.abc import Iterator, Mapping
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from bench.runner.row import FORMAT, RUN, Row
from permsolve.errors import FileFormatError, PermsolveError


class JournalInUseError(PermsolveError):
    """Another run is writing to the file."""


class Journal:
    """A file of rows that is open for appending; for one run at a time.

    A line that was being written when a run was killed is removed when the file is opened again.

    Parameters
    ----------
    path : Path
        The file, made when missing; its folder, too.

    Attributes
    ----------
    rows : dict of str to Row
        Finished rows by key.

    Raises
    ------
    JournalInUseError
        When another run holds it.
    FileFormatError
        When a line of it is no row.
    """

    def __init__(self, path: Path) -> None:
        path.parent.mkdir(parents=True, exist_ok=True)
        self.path = path
        self._file = os.open(path, os.O_RDWR | os.O_CREAT | os.O_APPEND, 0o666)
        try:
            fcntl.flock(self._file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            os.close(self._file)
            raise JournalInUseError(f"{path}: another run is writing to it") from None
        try:
            data = path.read_bytes()
            os.ftruncate(self._file, data.rfind(b"\n") + 1)
            self.rows = {row["key"]: row for row in read_rows(path)}
        except BaseException:
            os.close(self._file)
            raise

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        os.close(self._file)

    def append(self, row: Mapping[str, Any]) -> None:
        """Write a row, in one piece and to the disk, and remember it."""
        line = json.dumps(row, allow_nan=False) + "\n"
        os.write(self._file, line.encode())
        os.fsync(self._file)
        if row["kind"] != RUN:
            self.rows[row["key"]] = dict(row)


def read_rows(path: Path) -> list[Row]:
    """The finished rows of a file, each key once; where a task was run again, what came last holds.

    Raises
    ------
    FileFormatError
        When a line, other than a last one that was cut short, is no row.
    OSError
        When the file cannot be read.
    """
    rows = {record["key"]: record for record in _records(path) if record["kind"] != RUN}
    return list(rows.values())


def read_runs(path: Path) -> list[Row]:
    """What the file says of the runs that wrote it: plan, command, revision, start."""
    return [record for record in _records(path) if record["kind"] == RUN]


def _records(path: Path) -> Iterator[Row]:
    data = path.read_bytes()
    for number, line in enumerate(data[: data.rfind(b"\n") + 1].splitlines(), 1):
        try:
            record = json.loads(line)
            if record["format"] != FORMAT or (record["kind"] != RUN and not isinstance(record["key"], str)):
                raise ValueError(f"not a row of format {FORMAT}")
        except (ValueError, KeyError, TypeError) as error:  # json's own error is a ValueError
            raise FileFormatError(f"{path}, line {number}: not a row of a benchmark run ({error})") from error
        yield record
