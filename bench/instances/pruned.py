"""Instances whose smallest entries are set to zero, as unstructured pruning leaves them."""

from dataclasses import replace
from functools import partial
from typing import Any

from numpy.typing import NDArray

from bench.instances.instance import Instance
from bench.instances.naming import join_pattern, join_zeros
from permsolve.lossless import prune_smallest


def pruned(instance: Instance, zeros: float) -> Instance:
    """The instance with a share of its smallest entries set to zero, called ``STEM~PERCENT+N:M``.

    Parameters
    ----------
    instance : Instance
        Any instance that has no zeros of this kind yet.
    zeros : float
        The share, ``0 <= zeros < 1``, to a tenth of a percent.
    """
    stem = instance.name.partition("+")[0]
    return replace(
        instance,
        name=join_pattern(join_zeros(stem, zeros), instance.pattern),
        make=partial(_prune, instance, zeros),
        make_optimum=None,
    )


def _prune(instance: Instance, zeros: float) -> NDArray[Any]:
    return prune_smallest(instance.make(), zeros)
