"""A clock of which a second passes faster, as it does for a search on a machine that is busy.

No test may depend on how fast the machine is. ``PERMSOLVE_TEST_CLOCK=20 make test`` shows one that does: every search
that a limit of time ends has then done a twentieth of the work.
"""

import os
import time

_FACTOR = float(os.environ.get("PERMSOLVE_TEST_CLOCK", "1"))
_clock = time.perf_counter
_BEGUN = _clock()


def perf_counter() -> float:
    """Seconds since some moment, faster than they are."""
    return _BEGUN + _FACTOR * (_clock() - _BEGUN)


def speed_up() -> None:
    """Replace the clock that searches go by; to be called before they are imported."""
    if _FACTOR != 1.0:
        time.perf_counter = perf_counter
