"""What the command line returns."""

from enum import IntEnum


class ExitCode(IntEnum):
    """Exit codes, documented in ``permsolve --help``."""

    OK = 0
    CHECK_FAILED = 1
    WRONG_INPUT = 2
    SOLVER_REFUSES = 3
    INTERRUPTED = 130


EPILOG = (
    "Exit codes: 0 done; 1 check found rows that break the pattern, or gpu-report no GPU that runs 2:4; "
    "2 wrong usage or input, or a tensor that cannot be looked at (nothing was written but what the line names); "
    "3 the solver or a package is not installed, or the solver refuses the problem; "
    "130 stopped by Ctrl-C (solve wrote the best found so far)."
)
