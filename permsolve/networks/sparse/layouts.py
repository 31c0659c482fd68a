"""Which shapes and dtypes torch's 2:4 backends take, read from torch itself."""

from dataclasses import dataclass

import torch
from torch import sparse

# Those for which torch computes a linear layer with a 2:4 weight. The float32 of CUTLASS is 1:2, not 2:4; int8 and
# float8 have tables, too, but take scaled products that no nn.Linear computes.
LINEAR_DTYPES = (torch.float16, torch.bfloat16)

_CLASSES = {
    "cusparselt": sparse.SparseSemiStructuredTensorCUSPARSELT,
    "cutlass": sparse.SparseSemiStructuredTensorCUTLASS,
}
BACKENDS = tuple(_CLASSES)


@dataclass(frozen=True, slots=True)
class Layout:
    """What a backend asks of the weights of one dtype.

    Attributes
    ----------
    backend : str
        ``cusparselt`` or ``cutlass``.
    rows, columns : int
        Both extents of a weight must be multiples of these.
    """

    backend: str
    rows: int
    columns: int

    def padded(self, shape: tuple[int, int]) -> tuple[int, int]:
        """The smallest shape that fits and holds this one."""
        rows, columns = shape
        return -(-rows // self.rows) * self.rows, -(-columns // self.columns) * self.columns


def layouts(dtype: torch.dtype) -> tuple[Layout, ...]:
    """Layouts of all backends that compute linear layers of a dtype, torch's default first; empty when none does."""
    if dtype not in LINEAR_DTYPES:
        return ()
    tables = {name: kind._DTYPE_SHAPE_CONSTRAINTS for name, kind in _CLASSES.items()}
    return tuple(
        Layout(name, table[dtype].sparse_min_rows, table[dtype].sparse_min_cols)
        for name, table in tables.items()
        if dtype in table
    )


def tensor_class(backend: str) -> type[torch.Tensor]:
    """The tensor subclass of a backend."""
    return _CLASSES[backend]
