"""Values against real arrays: random programs of their operations, under random elements of the group."""

from collections.abc import Callable
from operator import itemgetter
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from permsolve.networks.symmetry.combining import contract, fix, joined, merge, normalise, reduce
from permsolve.networks.symmetry.reindexing import expand, insert, permute, reshape, select, squeeze, take
from permsolve.networks.symmetry.structure import Structure
from permsolve.networks.symmetry.value import Value, closed, pin, uniform_value
from tests.networks.moving import Array, assert_still_and_uniform, free_value, freedom, moved, moved_all, random_element

SHAPES = ((6,), (4, 6), (1, 6), (2, 3, 4), (8,))


class Pool:
    """Tensors under construction: what the library says of each, and how to compute it from the parameters."""

    def __init__(self) -> None:
        self.structure = Structure()
        self.parameters = {str(number): free_value(self.structure, shape) for number, shape in enumerate(SHAPES)}
        self.values: list[Value] = list(self.parameters.values())
        self.compute: list[Callable[[dict[str, Array]], Array]] = [itemgetter(name) for name in self.parameters]

    def add(self, value: Value, compute: Callable[[dict[str, Array]], Array]) -> None:
        """One more tensor."""
        self.values.append(value)
        self.compute.append(compute)


def _one(pool: Pool, kind: str, which: int, a: int, b: int) -> None:
    """Apply one operation to one tensor of the pool; what does not fit it is left out."""
    s = pool.structure
    value, f = pool.values[which % len(pool.values)], pool.compute[which % len(pool.values)]
    rank = len(value.shape)
    dim = a % rank
    length = value.shape[dim]
    if kind == "permute":
        order = list(np.random.default_rng(b).permutation(rank))
        pool.add(permute(value, order), lambda arrays: f(arrays).transpose(order))
    elif kind == "flatten":
        pool.add(reshape(s, value, [int(np.prod(value.shape))]), lambda arrays: f(arrays).reshape(-1))
    elif kind == "split" and length % 2 == 0:
        shape = [*value.shape[:dim], *((2, length // 2) if b % 2 else (length // 2, 2)), *value.shape[dim + 1 :]]
        pool.add(reshape(s, value, shape), lambda arrays: f(arrays).reshape(shape))
    elif kind == "take":
        index = np.random.default_rng(b).integers(0, length, 1 + b % (length + 1))
        pool.add(take(s, value, dim, index), lambda arrays: f(arrays).take(index, dim))
    elif kind == "slice" and length > 1:
        index = np.arange(length)[b % length :: 1 + b % 2]
        pool.add(take(s, value, dim, index), lambda arrays: f(arrays).take(index, dim))
    elif kind == "select" and rank > 1:
        pool.add(select(s, value, dim, b % length), lambda arrays: np.asarray(f(arrays).take(b % length, dim)))
    elif kind == "insert" and rank < 4:
        pool.add(
            insert(value, dim, 1 + b % 2), lambda arrays: np.repeat(np.expand_dims(f(arrays), dim), 1 + b % 2, dim)
        )
    elif kind == "squeeze" and rank > 1:
        pool.add(squeeze(value, [dim]), lambda arrays: f(arrays).squeeze(dim) if length == 1 else f(arrays))
    elif kind == "expand" and length == 1:
        shape = [3 if other == dim else n for other, n in enumerate(value.shape)]
        pool.add(expand(value, shape), lambda arrays: np.broadcast_to(f(arrays), shape))
    elif kind == "fix":
        pool.add(fix(s, value, [dim]), lambda arrays: f(arrays).cumsum(dim))
    elif kind == "normalise":
        pool.add(normalise(s, value, [dim]), lambda arrays: _standardised(f(arrays), dim))
    elif kind == "reduce" and rank > 1:
        pool.add(
            reduce(s, value, [dim], keepdim=bool(b % 2)),
            lambda arrays: np.asarray(f(arrays).max(dim, keepdims=bool(b % 2))),
        )


def _two(pool: Pool, kind: str, which: int, other: int, a: int) -> None:
    """Apply an operation to two tensors, where their shapes allow."""
    s = pool.structure
    x, y = pool.values[which % len(pool.values)], pool.values[other % len(pool.values)]
    f, g = pool.compute[which % len(pool.values)], pool.compute[other % len(pool.values)]
    if kind == "merge":
        try:
            shape = np.broadcast_shapes(x.shape, y.shape)
        except ValueError:
            return
        pool.add(merge(s, [x, y], shape), lambda arrays: np.sin(f(arrays)) * g(arrays))
    elif kind == "joined" and len(x.shape) == len(y.shape):
        dim = a % len(x.shape)
        if all(n == m for d, (n, m) in enumerate(zip(x.shape, y.shape, strict=True)) if d != dim):
            pool.add(joined(s, [x, y], dim), lambda arrays: np.concatenate([f(arrays), g(arrays)], dim))
    elif kind == "constant":
        dim = a % len(x.shape)
        ones = (*x.shape[:dim], 2, *x.shape[dim + 1 :])
        both = joined(s, [x, uniform_value(ones)], dim)
        pool.add(both, lambda arrays: np.concatenate([f(arrays), np.full(ones, 0.5)], dim))
    elif kind == "contract" and x.shape[-1] == y.shape[-1]:
        left, right = "abcdefg"[: len(x.shape) - 1] + "k", "mnopqrs"[: len(y.shape) - 1] + "k"
        result = left[:-1] + right[:-1]
        if 0 < len(result) < 5:
            sizes = dict(zip(left + right, (*x.shape, *y.shape), strict=True))
            pool.add(
                contract(s, [x, y], [left, right], result, sizes),
                lambda arrays: np.einsum(f"{left},{right}->{result}", f(arrays), g(arrays)),
            )


def _standardised(array: Array, dim: int) -> Array:
    exponent = np.exp(array - array.max(dim, keepdims=True))
    result: Array = exponent / exponent.sum(dim, keepdims=True)
    return result


def check(pool: Pool, seed: int) -> None:
    """Permute the parameters by a random element, compute again, and compare with what the values foretell."""
    rng = np.random.default_rng(seed)
    arrays = {name: rng.normal(size=value.shape) for name, value in pool.parameters.items()}
    finals = [closed(pool.structure, value) for value in pool.values]
    image = random_element(pool.structure, rng)
    permuted = moved_all(arrays, pool.parameters, image)
    for number, (value, compute) in enumerate(zip(finals, pool.compute, strict=True)):
        before = compute(arrays)
        assert before.shape == value.shape
        assert_still_and_uniform(before, value)
        np.testing.assert_allclose(
            compute(permuted), moved(before, value, image), atol=1e-9, err_msg=f"tensor {number}"
        )


SINGLE = ("permute", "flatten", "split", "take", "slice", "select", "insert", "squeeze", "expand", "fix", "normalise",
          "reduce")  # fmt: skip
DOUBLE = ("merge", "joined", "constant", "contract")
steps = st.lists(
    st.tuples(st.sampled_from(SINGLE + DOUBLE * 3), st.integers(0, 40), st.integers(0, 40), st.integers(0, 40)),
    max_size=12,
)


@given(steps=steps, seed=st.integers(0, 1000))
@settings(max_examples=150, deadline=None, derandomize=True, database=None)
def test_random_programs(steps: list[tuple[str, int, int, int]], seed: int) -> None:
    """Whatever is computed, every tensor moves as its value says."""
    pool = Pool()
    for kind, which, a, b in steps:
        if pool.values[which % len(pool.values)].shape:
            (_one if kind in SINGLE else _two)(pool, kind, which, a, b)
    check(pool, seed)


@pytest.mark.slow
@given(steps=steps, seed=st.integers(0, 10**6))
@settings(max_examples=5000, deadline=None, database=None)
def test_many_random_programs(steps: list[tuple[str, int, int, int]], seed: int) -> None:
    """The same, for minutes."""
    pool = Pool()
    for kind, which, a, b in steps:
        if pool.values[which % len(pool.values)].shape:
            (_one if kind in SINGLE else _two)(pool, kind, which, a, b)
    check(pool, seed)


def _freedom(run: Callable[[Structure, Value], Any], *shape: int) -> list[int]:
    structure = Structure()
    value = free_value(structure, shape)
    result = run(structure, value)
    if isinstance(result, Value):
        closed(structure, result)
    return freedom(structure, value)


@pytest.mark.parametrize(
    ("run", "expected"),
    [
        (lambda s, v: v, [4, 6]),
        (lambda s, v: reshape(s, v, [24]), [6]),  # only the inner axis: N:M groups what lies side by side
        (lambda s, v: reshape(s, v, [4, 2, 3]), [4, 6]),
        (lambda s, v: fix(s, reshape(s, v, [4, 2, 3]), [1]), [4, 3]),
        (lambda s, v: fix(s, v, [1]), [4]),
        (lambda s, v: pin(s, v), []),
        (lambda s, v: normalise(s, v, [1]), [4, 6]),
        (lambda s, v: reduce(s, v, [0], keepdim=False), [4, 6]),
        (lambda s, v: take(s, v, 1, np.array([5, 4, 3, 2, 1, 0])), [4, 6]),
        (lambda s, v: take(s, v, 1, np.array([0, 1, 2])), [4, 3, 3]),
        (lambda s, v: joined(s, [take(s, v, 1, np.arange(3, 6)), take(s, v, 1, np.arange(3))], 1), [4, 6]),
        (lambda s, v: joined(s, [v, uniform_value((4, 2))], 1), [4, 6]),
        (lambda s, v: merge(s, [take(s, v, 1, np.arange(3)), take(s, v, 1, np.arange(3, 6))], (4, 3)), [4, 3]),
        (lambda s, v: merge(s, [v, Value((4, 6))], (4, 6)), []),
        (lambda s, v: merge(s, [v, uniform_value((4, 6))], (4, 6)), [4, 6]),
        (lambda s, v: merge(s, [v, Value((4, 1))], (4, 6)), [6]),
        (lambda s, v: contract(s, [v, v], ["ik", "jk"], "ij", {"i": 4, "j": 4, "k": 6}), [4, 6]),
    ],
)  # fmt: skip
def test_freedom(run: Callable[[Structure, Value], Any], expected: list[int]) -> None:
    """Not only is nothing wrong permuted: what a person would find is found, in a matrix of 4 by 6."""
    assert sorted(_freedom(run, 4, 6)) == sorted(expected)
