"""Packed weights: exact, refused when they are not 2:4, and the same bits as torch's CUTLASS conversion."""

import itertools

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor
from torch.sparse import _semi_structured_conversions as torchs

from permsolve.errors import InvalidNetworkError
from permsolve.networks.sparse import PackedWeight, pack, unpack

DTYPES = (torch.float16, torch.bfloat16, torch.int8, torch.float32, torch.float64)


def random_weight(rows: int, columns: int, dtype: torch.dtype, seed: int = 0) -> Tensor:
    """A weight with 0, 1 or 2 nonzeros in every quadruple."""
    generator = torch.Generator().manual_seed(seed)
    order = torch.rand(rows, columns // 4, 4, generator=generator).argsort(-1)
    nonzero = order < torch.randint(0, 3, (rows, columns // 4, 1), generator=generator)
    values = torch.randint(1, 100, nonzero.shape, generator=generator)
    values *= torch.randint(0, 2, nonzero.shape, generator=generator) * 2 - 1
    return (values * nonzero).to(dtype).reshape(rows, columns)


@settings(max_examples=30, deadline=None)
@given(rows=st.integers(1, 9), quads=st.integers(1, 9), dtype=st.sampled_from(DTYPES), seed=st.integers(0, 999))
def test_round_trips_are_exact(rows: int, quads: int, dtype: torch.dtype, seed: int) -> None:
    """Any shape whose columns are a multiple of 4, any dtype, odd numbers of quadruples too."""
    weight = random_weight(rows, 4 * quads, dtype, seed)
    packed = pack(weight)
    assert packed.values.shape == (rows, 2 * quads)
    assert packed.values.dtype == dtype
    assert packed.places.shape == (rows, (quads + 1) // 2)
    assert torch.equal(unpack(packed), weight)


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.int8])
def test_values_and_bits_are_those_of_cutlass(dtype: torch.dtype) -> None:
    """Torch's conversion gives the same, but for the order in which its kernels read the bits."""
    weight = random_weight(64, 256, dtype)
    values, meta = torchs.sparse_semi_structured_from_dense_cutlass(weight)
    packed = pack(weight)
    assert torch.equal(packed.values, values)
    offsets = torchs._calculate_meta_reordering_scatter_offsets(64, meta.shape[1], meta.dtype, "cpu")
    in_order = meta.flatten().gather(0, offsets).reshape(meta.shape)
    assert torch.equal(packed.places, in_order.contiguous().view(torch.uint8))
    # And torch unpacks what we packed.
    reordered = torch.empty_like(meta).flatten()
    reordered.scatter_(0, offsets, packed.places.contiguous().view(meta.dtype).flatten())
    dense = torchs.sparse_semi_structured_to_dense_cutlass(packed.values, reordered.reshape(meta.shape))
    assert torch.equal(dense, weight)


def test_every_quadruple_of_zeros_and_nonzeros() -> None:
    """All sixteen: those with up to two nonzeros come back, the others are refused."""
    for zeros in itertools.product([0.0, 1.0], repeat=4):
        quad = torch.tensor([zeros])
        if sum(zeros) > 2:
            with pytest.raises(InvalidNetworkError, match="1 of 1 rows break it, the first is row 0"):
                pack(quad)
        else:
            assert torch.equal(unpack(pack(quad)), quad)


def test_nan_is_a_value() -> None:
    """Not a zero."""
    weight = torch.tensor([[float("nan"), 0.0, 0.0, float("inf")]])
    assert torch.equal(unpack(pack(weight)).nan_to_num(5.0), weight.nan_to_num(5.0))


@pytest.mark.parametrize("shape", [(4, 6), (4,), (2, 4, 4), (0, 4)])
def test_other_shapes_are_refused(shape: tuple[int, ...]) -> None:
    """With what can be packed."""
    with pytest.raises(InvalidNetworkError, match="columns are a multiple of 4"):
        pack(torch.zeros(shape))


def test_damaged_places_are_refused() -> None:
    """Two values in one place, and shapes that do not go together."""
    packed = pack(random_weight(2, 8, torch.float32))
    with pytest.raises(InvalidNetworkError, match="damaged"):
        unpack(PackedWeight(packed.values, torch.zeros_like(packed.places)))
    with pytest.raises(InvalidNetworkError, match="no packed 2:4 weight"):
        PackedWeight(packed.values[:1], packed.places)
