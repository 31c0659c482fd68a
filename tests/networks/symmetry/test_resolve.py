"""Structures resolved, against all renamings of the vertices tried one by one."""

from collections import Counter
from itertools import permutations
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from permsolve.networks.symmetry.explaining import TIED, reasons
from permsolve.networks.symmetry.resolve import resolve
from permsolve.networks.symmetry.structure import Indices, Structure


def facts(structure: Structure, image: Indices) -> tuple[Counter[Any], Counter[Any]]:
    """Links and marks after a renaming."""
    first, second, labels = structure.links()
    marked, marks = structure.marks()
    links = Counter(zip(image[first].tolist(), image[second].tolist(), labels.tolist(), strict=True))
    return links, Counter(zip(image[marked].tolist(), marks.tolist(), strict=True))


def is_automorphism(structure: Structure, image: Indices) -> bool:
    """Whether a renaming respects all links and marks: tried naively."""
    return facts(structure, image) == facts(structure, np.arange(structure.size))


@given(
    size=st.integers(1, 6),
    links=st.lists(st.tuples(st.integers(0, 5), st.integers(0, 5), st.integers(0, 1)), max_size=5),
    marks=st.lists(st.tuples(st.integers(0, 5), st.integers(0, 1)), max_size=5),
)
@settings(max_examples=200, deadline=None, derandomize=True, database=None)
def test_against_all_renamings(size: int, links: list[tuple[int, int, int]], marks: list[tuple[int, int]]) -> None:
    """Every permutation of rows is an automorphism, and components that an automorphism exchanges are found."""
    structure = Structure()
    structure.fresh(size)
    # From each vertex at most one edge of a call may carry a label, on either side.
    kept = {(a % size, key): b % size for a, b, key in links}
    kept = {pair: b for (b, _), pair in {(b, pair[1]): pair for pair, b in kept.items()}.items()}
    if kept:
        pairs = np.array([(a, b, key) for (a, key), b in kept.items()])
        structure.link(pairs[:, 0], pairs[:, 1], pairs[:, 2], pairs[:, 2])
    if marks:
        structure.mark(np.array([a % size for a, _ in marks]), np.array([key for _, key in marks]))
    found = resolve(structure)
    for rows in found:
        assert np.unique(rows).size == rows.size
        for i in range(1, rows.shape[0]):
            image = np.arange(size)
            image[rows[0]], image[rows[i]] = rows[i], rows[0]
            assert is_automorphism(structure, image)
    exchanged = {frozenset((int(a), int(b))) for rows in found for a in rows[:, 0] for b in rows.ravel() if a != b}
    for renaming in permutations(range(size)):
        image = np.array(renaming)
        moving = np.flatnonzero(image != np.arange(size))
        if not (image[image] == np.arange(size)).all() or not is_automorphism(structure, image):
            continue
        first, second, _ = structure.links()
        touching = {(int(a), int(b)) for a, b in zip(first, second, strict=True)}
        # Two whole components are exchanged when no link leads from a vertex to its own image's side.
        if moving.size == 2 and not any({a, b} & set(moving.tolist()) for a, b in touching):
            assert frozenset(moving.tolist()) in exchanged


@given(copies=st.integers(2, 5), size=st.integers(1, 5), seed=st.integers(0, 10**6))
@settings(max_examples=100, deadline=None, derandomize=True, database=None)
def test_copies_of_one_component_are_found(copies: int, size: int, seed: int) -> None:
    """A random connected component, several times over under shuffled names, beside one that has a mark more."""
    rng = np.random.default_rng(seed)
    structure = Structure()
    vertices = rng.permutation(structure.fresh(copies * size + size)).reshape(copies + 1, size)
    structure.mark(vertices[0], np.arange(size))  # this one is another
    for a in range(1, size):
        b = int(rng.integers(0, a))
        structure.link(vertices[:, a], vertices[:, b], np.zeros(copies + 1, int), np.zeros(copies + 1, int))
    for _ in range(int(rng.integers(0, 3))):
        a, b = rng.integers(0, size, 2)
        structure.link(vertices[:, a], vertices[:, b], np.zeros(copies + 1, int), np.ones(copies + 1, int))
    (rows,) = resolve(structure)
    assert {frozenset(row.tolist()) for row in rows} == {frozenset(row.tolist()) for row in vertices[1:]}
    image = np.arange(structure.size)
    image[rows] = rows[rng.permutation(copies)]
    assert is_automorphism(structure, image)


def test_soft_marks_can_be_left_out() -> None:
    """They stand for a choice."""
    structure = Structure()
    vertices = structure.fresh(4)
    structure.mark(vertices[:2], np.zeros(2, int), soft=True)
    assert sorted(rows.shape[0] for rows in resolve(structure)) == [2, 2]
    assert [rows.shape[0] for rows in resolve(structure, soft=False)] == [4]
    assert resolve(Structure()) == []


def test_pinned_vertices_do_not_move() -> None:
    """Nor do those tied to them."""
    structure = Structure()
    a, b = structure.fresh(4), structure.fresh(4)
    structure.link(a, b, np.zeros(4, int), np.zeros(4, int))
    structure.pin(b[:2])
    (rows,) = resolve(structure)
    assert sorted(rows.ravel().tolist()) == sorted([*a[2:], *b[2:]])


@pytest.mark.parametrize("tied", [False, True])
def test_reasons_name_the_origin(tied: bool) -> None:
    """Who set the mark that tells two positions apart; or that they are tied to one another."""
    structure = Structure()
    vertices = structure.fresh(3)
    structure.origin = "the first"
    structure.mark(vertices, np.zeros(3, int))
    structure.origin = "the second"
    if tied:
        structure.link(vertices[:2], vertices[1:], np.zeros(2, int), np.zeros(2, int))
    else:
        structure.pin(vertices)
    assert reasons(structure, {"w": vertices}) == {"w": TIED if tied else "the second"}
