"""What each operator of a traced graph demands of the symmetry structure, family by family.

An operator without a rule pins everything that it touches.
"""

from permsolve.networks.rules import (  # noqa: F401  (importing them registers their rules)
    contractions,
    lookups,
    maps,
    norms,
    pointwise,
    recurrent,
    reductions,
    views,
)
from permsolve.networks.rules.call import RULES, Call, Outcome
from permsolve.networks.rules.pointwise import pointwise as pointwise_rule

__all__ = ["RULES", "Call", "Outcome", "pointwise_rule"]
