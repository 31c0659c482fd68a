"""The first and the last of a program: streams that fail, signals that end it, and the exit code it ends with."""

import os
import signal
import sys
from collections.abc import Sequence

from permsolve.cli.streams import fill_standard_handles, steady_streams
from permsolve.signals import Interrupter, interrupting

_INTERRUPTED = 128 + signal.SIGINT
# How libraries of linear algebra are told how many threads to start when they are loaded, and how many of them are.
_THREADS_OF_LIBRARIES = ("OPENBLAS_NUM_THREADS", "OMP_NUM_THREADS", "MKL_NUM_THREADS")
_LIBRARIES = 2


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command line.

    Parameters
    ----------
    arguments : sequence of str, optional
        What follows the program's name; ``sys.argv[1:]`` when not given. Then nothing but the end of the process is
        expected to follow, and Ctrl-C does nothing from then on.

    Returns
    -------
    int
        The exit code (:class:`permsolve.cli.exit_codes.ExitCode`).
    """
    alone = arguments is None
    if alone:
        fill_standard_handles()
    with steady_streams(), interrupting(last=alone) as interrupter:
        code = _ended(sys.argv[1:] if arguments is None else arguments, interrupter)
    if code == _INTERRUPTED:
        code = interrupter.exit_code or code
    if alone and interrupter.heard:
        os._exit(code)  # Python would wait for threads that are busy with kernels which nobody needs any more
    return code


def _ended(arguments: Sequence[str], interrupter: Interrupter) -> int:
    """The exit code of the commands, whatever ends them."""
    try:
        _spare_threads()
        # Not before, since loading it takes its time: a Ctrl-C then has no other place to end.
        from permsolve.cli.main import run

        code = run(arguments)
        interrupter.over = True
    except KeyboardInterrupt:
        interrupter.over = True
        sys.stderr.write("permsolve: error: interrupted: nothing was written\n")
        return _INTERRUPTED
    return code


def _spare_threads() -> None:
    """Have libraries start no threads where the system grants too few (`ulimit -u`, a container).

    OpenBLAS, which numpy and scipy each load, would print what it lacks, and end the program by a SIGINT of its own.
    """
    if "numpy" in sys.modules:
        return
    from permsolve.cores import available_cores, granted_threads  # takes its time, too

    wanted = _LIBRARIES * available_cores()
    if granted_threads(wanted) < wanted:
        for name in _THREADS_OF_LIBRARIES:
            os.environ[name] = "1"
