"""Having a task measured in a process of its own, which is ended when it takes too long."""

import json
import os
import queue
import subprocess
import sys
import tempfile
import threading
import time
import weakref
from typing import IO, Any

from bench.plans import Task
from bench.runner.row import Row, error_row

# Seconds for making the instance and compiling, and for re-scoring and checking the certificate.
PREPARE, CHECK = 1200.0, 1200.0
# A solver may take this many times its limit, and some seconds more, before it is killed.
GRACE, GRACE_SECONDS = 1.5, 10.0
_TAIL = 1000


def measure_apart(document: dict[str, Any], verify_work: int) -> Row:
    """The row of a task (:meth:`Task.to_dict`), measured in a process that this thread keeps for the next one.

    It never raises on account of the solver: a process that overruns is killed and one that dies is replaced; both
    are rows with an error. What an executor runs is this function.
    """
    task = Task.from_dict(document)
    child = getattr(_kept, "child", None)
    if child is None or not child.alive:
        child = _kept.child = _Child()
    return child.measure(task, verify_work)


_kept = threading.local()


class _Child:
    """A running :mod:`bench.runner.child`."""

    def __init__(self) -> None:
        self._errors: IO[bytes] = tempfile.TemporaryFile()  # noqa: SIM115  (closed by _end)
        # The whole path: an interpreter started with -m knows only its own folder.
        paths = os.pathsep.join(path for path in sys.path if path)
        self._process = subprocess.Popen(
            [sys.executable, "-m", "bench.runner.child"],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=self._errors,
            text=True,
            env=os.environ | {"PYTHONPATH": paths},
        )
        self._answers: queue.SimpleQueue[str | None] = queue.SimpleQueue()
        reader = threading.Thread(target=_read, args=(self._process.stdout, self._answers), daemon=True)
        reader.start()
        # When the thread that keeps it ends, and at the end of the interpreter.
        weakref.finalize(self, _end, self._process, reader, self._errors)

    @property
    def alive(self) -> bool:
        """Whether it can take a task."""
        return self._process.poll() is None

    def measure(self, task: Task, verify_work: int) -> Row:
        """The row of a task."""
        assert self._process.stdin is not None
        try:
            self._process.stdin.write(json.dumps({"task": task.to_dict(), "verify_work": verify_work}) + "\n")
            self._process.stdin.flush()
        except BrokenPipeError:
            return self._died(task, "prepare")
        phase, deadline = "prepare", time.monotonic() + PREPARE
        while True:
            try:
                line = self._answers.get(timeout=max(0.0, deadline - time.monotonic()))
            except queue.Empty:
                self._process.kill()
                self._process.wait()
                return error_row(task, "Overrun", f"killed in phase {phase}: {_allowed(task, phase):g} s were over")
            if line is None:
                return self._died(task, phase)
            message = json.loads(line)
            if "row" in message:
                row: Row = message["row"]
                return row
            phase = message["phase"]
            deadline = time.monotonic() + _allowed(task, phase)

    def _died(self, task: Task, phase: str) -> Row:
        code = self._process.wait()
        self._errors.seek(0, os.SEEK_END)
        self._errors.seek(max(0, self._errors.tell() - _TAIL))
        tail = self._errors.read().decode(errors="replace").strip()
        how = f"signal {-code}" if code < 0 else f"exit code {code}"
        return error_row(task, "Died", f"the process died in phase {phase} ({how}) {tail}".strip())


def _allowed(task: Task, phase: str) -> float:
    """Seconds that a phase may take."""
    if phase == "solve":
        assert isinstance(task.time_limit, float | int)
        return GRACE * task.time_limit + GRACE_SECONDS
    return PREPARE if phase == "prepare" else CHECK


def _read(stream: IO[str], answers: "queue.SimpleQueue[str | None]") -> None:
    for line in stream:
        answers.put(line)
    answers.put(None)


def _end(process: "subprocess.Popen[str]", reader: threading.Thread, errors: IO[bytes]) -> None:
    """Nothing that it is still doing is of use to anyone."""
    process.kill()
    process.wait()
    reader.join()
    for stream in (process.stdin, process.stdout, errors):
        assert stream is not None
        stream.close()
