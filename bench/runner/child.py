"""The process in which measurements are made: tasks in as lines of JSON on stdin, rows out on stdout.

It is apart from the one that keeps the books, so that a solver that overruns, crashes or runs out of memory takes
nothing with it. It ends when its stdin does, so also when the one that started it is killed.
"""

import json
import os
import queue
import signal
import sys
import threading
from typing import Any

from bench.plans import KERNEL, Task
from bench.runner.kernels import kernel_row
from bench.runner.row import Row, error_row
from bench.runner.solving import OnPhase, solve_row


def measure(task: Task, verify_work: int, on_phase: OnPhase) -> Row:
    """The row of a task; whatever is raised becomes a row with its error."""
    try:
        return kernel_row(task) if task.kind == KERNEL else solve_row(task, verify_work, on_phase)
    except Exception as error:  # a solver may raise anything at all, and the run must go on
        return error_row(task, type(error).__name__, str(error))


def main() -> None:
    """Serve tasks until stdin ends."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # the one that started this process decides
    answers = os.fdopen(os.dup(1), "w", encoding="utf-8", buffering=1)
    # What solvers print must not get between the answers.
    os.dup2(os.open(os.devnull, os.O_WRONLY), 1)
    tasks: queue.SimpleQueue[dict[str, Any]] = queue.SimpleQueue()

    def read() -> None:
        for line in sys.stdin:
            tasks.put(json.loads(line))
        os._exit(0)

    threading.Thread(target=read, daemon=True).start()

    def send(message: dict[str, Any]) -> None:
        answers.write(json.dumps(message, allow_nan=False) + "\n")

    while True:
        request = tasks.get()
        task = Task.from_dict(request["task"])
        send({"row": measure(task, request["verify_work"], lambda phase: send({"phase": phase}))})


if __name__ == "__main__":
    main()
