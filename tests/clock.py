"""A clock of which a second passes faster, as it does for a search on a machine that is busy.

No test may depend on how fast the machine is. ``PERMSOLVE_TEST_CLOCK=20 make test`` shows one that does: every time limit
then ends a search after a twentieth of the work.
"""

import os
import time

VARIABLE = "PERMSOLVE_TEST_CLOCK"


def speed_up() -> None:
    """Replace the clock that searches go by; to be called before they are imported."""
    factor = float(os.environ.get(VARIABLE, "1"))
    if factor == 1.0:
        return
    clock = time.perf_counter
    begun = clock()
    time.perf_counter = lambda: begun + factor * (clock() - begun)
