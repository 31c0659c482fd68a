"""How good a result is (status) and why the search ended (stop reason)."""

from enum import StrEnum


class Status(StrEnum):
    """What is known about the permutation of a result; the names are those of OR-Tools' CP-SAT.

    The problem always has a feasible answer (the given order), so solvers of permsolve report
    ``OPTIMAL`` or ``FEASIBLE``; the others exist for engines that report their own status. ``OPTIMAL`` means that no
    permutation keeps more by more than a share of 1e-9 (of float64 sums and of what branch and bound leaves open).
    """

    OPTIMAL = "OPTIMAL"
    FEASIBLE = "FEASIBLE"
    INFEASIBLE = "INFEASIBLE"
    MODEL_INVALID = "MODEL_INVALID"
    UNKNOWN = "UNKNOWN"


class StopReason(StrEnum):
    """Why the search ended."""

    PROVEN = "proven"
    COMPLETED = "completed"
    TIME = "time"
    ITERATIONS = "iterations"
    NO_IMPROVEMENT = "no improvement"
    TARGET = "target"
    GAP = "gap"
    CRITERION = "criterion"
    INTERRUPTED = "interrupted"
    MEMORY = "out of memory"
