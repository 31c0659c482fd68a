"""Maximum-weight set partitioning over a list of groups: what several solvers share.

:func:`best_partition` is the front door; the parts (linear programme, pool, cuts, branching, improvement) are used by
the exact solvers.
"""

from permsolve_solvers.set_partition.partition import Partition, best_partition

__all__ = ["Partition", "best_partition"]
