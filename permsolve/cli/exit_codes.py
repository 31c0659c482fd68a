"""What the command line returns."""

from enum import IntEnum


class ExitCode(IntEnum):
    """Exit codes, documented in ``permsolve --help``."""

    OK = 0
    CHECK_FAILED = 1
    WRONG_INPUT = 2
    SOLVER_REFUSES = 3
    INTERNAL_ERROR = 70
    HUNG_UP = 129
    INTERRUPTED = 130
    TERMINATED = 143


EPILOG = (
    "Exit codes: 0 done; 1 check found rows that break the pattern, or gpu-report no GPU that runs 2:4; "
    "2 wrong usage or input, or a tensor that cannot be looked at (nothing was written but what the line names); "
    "3 the solver or a package is not installed, or the solver refuses the problem; "
    "70 a fault of permsolve or of a package that it uses (PERMSOLVE_TRACEBACK=1 shows where); "
    "130, 143, 129 stopped by Ctrl-C, SIGTERM, SIGHUP (solve wrote the best found so far)."
)
