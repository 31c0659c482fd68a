"""Instances made of other instances, called ``STEM~VARIANT``: what pruning, and what some training, leaves of them."""

from collections.abc import Callable, Mapping
from dataclasses import replace
from functools import partial
from types import MappingProxyType
from typing import Any

import numpy as np
from numpy.typing import NDArray

from bench.instances.instance import Instance
from bench.instances.naming import NOISE, ZEROS, join_pattern, join_variant
from permsolve.lossless import prune_smallest

_NOISE_SEED = 0


def pruned(instance: Instance, zeros: float) -> Instance:
    """The instance with a share of its smallest entries set to zero, as unstructured pruning leaves it: ``STEM~65``.

    Parameters
    ----------
    instance : Instance
        Any instance that has no zeros of this kind yet.
    zeros : float
        The share, ``0 <= zeros < 1``, to a tenth of a percent.
    """
    return _variant(instance, ZEROS, zeros, _prune)


def noisy(instance: Instance, noise: float) -> Instance:
    """The instance with normal noise added to its weight, as some steps of training change it: ``STEM~noise1``.

    Parameters
    ----------
    instance : Instance
        Any instance.
    noise : float
        Standard deviation of the noise, as a share of that of the weight, ``0 <= noise < 1``, to a tenth of a percent.
    """
    return _variant(instance, NOISE, noise, _add_noise)


# By the word before the percentage.
VARIANTS: Mapping[str, Callable[[Instance, float], Instance]] = MappingProxyType({ZEROS: pruned, NOISE: noisy})


def _variant(
    instance: Instance, kind: str, share: float, change: Callable[[Instance, float], NDArray[Any]]
) -> Instance:
    stem = instance.name.removesuffix(f"+{instance.pattern}")
    return replace(
        instance,
        name=join_pattern(join_variant(stem, kind, share), instance.pattern),
        make=partial(change, instance, share),
        make_optimum=None,
    )


def _prune(instance: Instance, zeros: float) -> NDArray[Any]:
    return prune_smallest(instance.make(), zeros)


def _add_noise(instance: Instance, noise: float) -> NDArray[Any]:
    weight = instance.make()
    real = weight.astype(np.result_type(weight.dtype, np.float32), copy=False)
    added = np.random.default_rng(_NOISE_SEED).standard_normal(real.shape)
    noisy_weight: NDArray[Any] = real + (noise * real.std(dtype=np.float64) * added).astype(real.dtype)
    return noisy_weight
