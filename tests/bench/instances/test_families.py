"""Generated weights: the same everywhere, and what their names promise."""

import pickle
import zlib

import numpy as np
import pytest

from bench.instances import get_instance
from bench.instances.families import FAMILIES
from bench.instances.planted import plant
from permsolve import Pattern, solve

# Of the weights rounded to 1/4096, so that the last bit of one machine's logarithm makes no difference.
CHECKSUMS = {
    "uniform": 0x95FDAF55,
    "student": 0x693C5D78,
    "lognormal": 0xF9944826,
    "lowrank": 0xD50CF3E1,
    "scaled": 0xD70BFE99,
    "sparse50": 0xD3B332ED,
    "sparse60": 0xBAEE68AD,
    "sparse70": 0xAF8B140A,
    "duplicates": 0x53162B71,
    "planted": 0xA6F6D550,
    "lm": 0x99B09B51,
}


def _checksum(name: str) -> int:
    weight = np.asarray(get_instance(name).make(), np.float64)
    return zlib.crc32(np.rint(weight * 4096.0).astype("<i8").tobytes())


@pytest.mark.parametrize("family", FAMILIES)
def test_checksum(family: str) -> None:
    """A small weight of each family is the one it has always been."""
    assert _checksum(f"{family}-32x16@5") == CHECKSUMS[family]


@pytest.mark.parametrize("family", FAMILIES)
def test_deterministic(family: str) -> None:
    """The same name gives the same weight, also in another process; another seed another one."""
    instance = get_instance(f"{family}-24x32@3")
    weight = instance.make()
    assert weight.shape == (instance.rows, instance.columns) == (24, 32)
    assert np.isfinite(weight).all()
    again = pickle.loads(pickle.dumps(instance))
    np.testing.assert_array_equal(weight, again.make())
    assert not np.array_equal(weight, get_instance(f"{family}-24x32@4").make())


def test_uniform_is_as_published() -> None:
    """The stream of the literature: ``np.random.seed(1); np.random.rand(128, 64)``."""
    problem = get_instance("128x64@1").load()
    np.testing.assert_array_equal(problem.saliency, np.random.RandomState(1).rand(128, 64))
    # Its optimum, proven by column generation, has this efficacy.
    assert problem.efficacy(2926.9524) == pytest.approx(39.2594, abs=1e-4)


@pytest.mark.parametrize("pattern", ["1:2", "1:4", "2:4", "4:8", "2:8", "3:5"])
def test_planted_permutation_reaches_the_optimum(pattern: str) -> None:
    """The hidden permutation keeps exactly the known optimum, which is the bound that none can pass."""
    parsed = Pattern.parse(pattern)
    instance = get_instance("planted-17x40@7", parsed)
    weight, permutation = plant(17, 40, 7, parsed)
    problem = instance.load()
    np.testing.assert_array_equal(problem.saliency, weight)
    assert problem.value(permutation) == instance.optimum == problem.row_bound
    assert problem.baseline < problem.row_bound


@pytest.mark.parametrize("pattern", ["1:2", "2:4", "1:4"])
def test_planted_optimum_is_what_exhaustive_search_finds(pattern: str) -> None:
    """On a small weight the optimum can be proven without knowing how it was made."""
    instance = get_instance("planted-6x12@2", pattern)
    result = solve(instance.load(), "exhaustive")
    assert result.status == "OPTIMAL"
    assert result.value == instance.optimum


@pytest.mark.parametrize("share", [50, 60, 70])
def test_sparse_has_its_share_of_zeros(share: int) -> None:
    """As many zeros as the name says."""
    weight = get_instance(f"sparse{share}-40x50@1").make()
    assert (weight == 0.0).sum() == round(share / 100 * 2000)


def test_duplicates_repeat_columns() -> None:
    """Every column is there M times when the columns are a multiple of M."""
    weight = get_instance("duplicates-8x24@1", "2:4").make()
    _, counts = np.unique(weight, axis=1, return_counts=True)
    assert (counts == 4).all()


def test_large_weights_are_float32() -> None:
    """Shapes of language models are made in float32, with a few outlying columns."""
    weight = get_instance("lm-64x400@1").make()
    assert weight.dtype == np.float32
    size = np.abs(weight).mean(axis=0)
    assert (size > 4.0 * np.median(size)).sum() == 2
