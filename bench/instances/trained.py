"""Weights of trained networks: digits, kept beside the code, and those that :mod:`bench.train` puts into a cache."""

import os
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from bench.instances.errors import UnknownInstanceError, unknown
from bench.instances.instance import Instance
from bench.instances.naming import join_pattern, split_pattern
from bench.train.cache import find, require
from bench.train.catalogue import NETWORKS
from permsolve import Pattern
from permsolve.io.safetensors import SafetensorsFile
from permsolve.weights import matrix_shape

CACHE_VARIABLE = "PERMSOLVE_BENCH_CACHE"
DIGITS = "digits"
DIGITS_SHAPE = (128, 256)
_DIGITS_FILE = Path(__file__).parents[1] / "data" / "digits_mlp.npy"


def trained_names() -> list[str]:
    """Names of all weights of trained networks."""
    return [DIGITS, *(f"{network}/{layer}" for network, layers in NETWORKS.items() for layer in layers)]


def trained_instance(stem: str, pattern: Pattern, cache: Path | None) -> Instance:
    """``digits`` or ``NETWORK/LAYER``.

    Raises
    ------
    UnknownInstanceError
        When there is no such network or layer.
    """
    name = join_pattern(stem, pattern)
    if stem == DIGITS:
        return Instance(name, "trained", *DIGITS_SHAPE, pattern, _read_digits)
    if stem not in trained_names():
        raise unknown("instance", stem, trained_names())
    network, _, layer = stem.partition("/")
    rows, columns = matrix_shape(NETWORKS[network][layer])
    return Instance(name, "trained", rows, columns, pattern, partial(_read_layer, network, layer, cache))


def is_at_hand(name: str, cache: Path | None) -> bool:
    """Whether a trained weight can be read without training: always for ``digits``, else when the cache holds it.

    Raises
    ------
    DamagedCacheError
        When the cache holds the network, but damaged.
    """
    folder = cache or os.environ.get(CACHE_VARIABLE)
    stem, _ = split_pattern(name, None)
    return stem == DIGITS or (bool(folder) and find(Path(str(folder)), stem.partition("/")[0]) is not None)


def _read_digits() -> NDArray[Any]:
    array: NDArray[Any] = np.load(_DIGITS_FILE, allow_pickle=False)
    return array


def _read_layer(network: str, layer: str, cache: Path | None) -> NDArray[Any]:
    folder = cache or os.environ.get(CACHE_VARIABLE)
    if not folder:
        raise UnknownInstanceError(
            f"{network}/{layer} comes from a trained network: name the folder given to python -m bench train --cache, "
            f"with --cache or in {CACHE_VARIABLE}"
        )
    return SafetensorsFile(require(Path(folder), network)).read(f"{layer}.weight")
