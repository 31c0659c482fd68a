"""Real values as integers, which is what CP-SAT works with."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray


@dataclass(frozen=True, slots=True)
class Integers:
    """``floor(value * 2**shift)``: each too small by less than ``2**-shift``, so a sum of k by less than k of them.

    A power of two: scaling is exact, only the floor rounds.
    """

    shift: int

    @classmethod
    def for_total(cls, total: float, terms: int, bits: int = 52) -> "Integers":
        """The finest view in which ``terms`` values that add up to at most ``total`` stay below ``2**bits``."""
        largest = max(total, 1e-300)
        return cls(bits - 1 - int(np.frexp(largest)[1]) - int(terms).bit_length() // 8)

    def of(self, values: NDArray[np.float64]) -> NDArray[np.int64]:
        """The integers."""
        return np.floor(np.ldexp(values, self.shift)).astype(np.int64)

    def error(self, terms: int) -> float:
        """Less than this is lost in a sum of ``terms`` values."""
        return float(np.ldexp(float(terms), -self.shift))

    def real(self, number: float) -> float:
        """The value that an integer stands for."""
        return float(np.ldexp(number, -self.shift))
