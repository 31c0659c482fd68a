"""Plans by name."""

from collections.abc import Mapping
from types import MappingProxyType

from bench.instances.errors import unknown
from bench.plans import exact, large, lossless, own, paper, quick, real, warm
from bench.plans.plan import Plan

PLANS: Mapping[str, Plan] = MappingProxyType(
    {
        plan.name: plan
        for plan in (
            Plan("quick", "every solver on small instances of each kind, under 3 minutes on 2 cores", quick.tasks),
            Plan("paper", "the published grid and large squares, about 35 minutes on 2 cores", paper.tasks),
            Plan("real", "auto against the published search on trained networks", real.tasks),
            Plan("large", "shapes of language models, about an hour on 2 cores", large.tasks),
            Plan("exact", "proofs of optimality, about half an hour on 2 cores", exact.tasks, verify_work=2 * 10**9),
            Plan("lossless", "the least sparsity that N:M takes without loss, about ten minutes", lossless.tasks),
            Plan("warm", "starts from the permutation of a slightly other weight, about five minutes", warm.tasks),
            Plan("own", "the solvers on instances that you name", own.tasks),
        )
    }
)


def get_plan(name: str) -> Plan:
    """The plan called ``name``.

    Raises
    ------
    UnknownInstanceError
        When there is none; the message names those there are.
    """
    if name not in PLANS:
        raise unknown("plan", name, PLANS)
    return PLANS[name]
