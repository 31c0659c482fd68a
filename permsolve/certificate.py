"""Why a bound holds: what :func:`permsolve.verify` re-checks."""

import hashlib
import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from permsolve.errors import InvalidCertificateError


@dataclass(frozen=True, eq=False, slots=True)
class Node:
    """One step of a proof: prices that bound what a set of partitions can keep.

    With prices ``u`` of the columns, of either sign, and prices ``w >= 0`` of odd sets T of columns, let the reduced
    cost of a group be ``f(S) - sum_{j in S} u_j - sum_T w_T floor(|S and T| / 2)``. A partition into G groups then
    keeps at most ``sum(u) + sum_T w_T (|T| - 1) / 2 + G max(0, largest reduced cost)``, and one that uses a group of
    reduced cost r < 0 at most that much plus r.

    Attributes
    ----------
    duals : ndarray of float64, shape (columns with padding,)
        ``u``; empty in a node that was left open and proves nothing.
    odd_sets : tuple of tuples of int
        The odd sets T.
    weights : ndarray of float64, shape (odd sets,)
        ``w``.
    children : int
        0: the proof of this part ends here. 1: the next node goes on with the groups that this one leaves. 2: it splits
        into the partitions that keep ``pair`` together (the next node) and those that keep it apart.
    pair : tuple of int, optional
        The two columns on which it splits (Ryan & Foster 1981).
    excess : float
        What it says of the groups: none that is left here has a larger reduced cost; >= 0.
    bound : float
        What it says of the partitions into groups that are left here: none keeps more. It follows from the prices and
        the excess, and is stated so that neither can be changed alone.
    """

    duals: NDArray[np.float64]
    odd_sets: tuple[tuple[int, ...], ...] = ()
    weights: NDArray[np.float64] = field(default_factory=lambda: np.empty(0))
    children: int = 0
    pair: tuple[int, int] | None = None
    excess: float = 0.0
    bound: float = 0.0

    def stating(self, excess: float, groups: int) -> "Node":
        """The same, with what it says: the largest reduced cost and the bound of partitions into so many groups."""
        return replace(self, excess=excess, bound=self.base + groups * excess)

    @property
    def base(self) -> float:
        """Sum of the prices, those of odd sets times their right-hand sides."""
        sets = (weight * (len(odd_set) // 2) for odd_set, weight in zip(self.odd_sets, self.weights, strict=True))
        return math.fsum(self.duals) + math.fsum(sets)

    def scaled(self, exponent: int) -> "Node":
        """The same for values times ``2**exponent``: exact."""
        return replace(
            self,
            duals=np.ldexp(self.duals, exponent),
            weights=np.ldexp(self.weights, exponent),
            excess=float(np.ldexp(self.excess, exponent)),
            bound=float(np.ldexp(self.bound, exponent)),
        )

    def to_dict(self) -> dict[str, Any]:
        """Plain JSON values."""
        return {
            "duals": self.duals.tolist(),
            "odd_sets": [list(odd_set) for odd_set in self.odd_sets],
            "weights": self.weights.tolist(),
            "children": self.children,
            "pair": None if self.pair is None else list(self.pair),
            "excess": self.excess,
            "bound": self.bound,
        }

    @classmethod
    def from_dict(cls, document: Mapping[str, Any]) -> "Node":
        """What :meth:`to_dict` gave."""
        pair = document["pair"]
        return cls(
            np.asarray(document["duals"], np.float64),
            tuple(tuple(int(column) for column in odd_set) for odd_set in document["odd_sets"]),
            np.asarray(document["weights"], np.float64),
            int(document["children"]),
            None if pair is None else (int(pair[0]), int(pair[1])),
            float(document["excess"]),
            float(document["bound"]),
        )


@dataclass(frozen=True, eq=False, slots=True)
class Layers:
    """Row thresholds and a quadratic that bound what a row keeps by terms of pairs (see :mod:`permsolve.pair_bound`).

    Attributes
    ----------
    quadratic : tuple of float
        ``c, a, b`` with ``c + a k + b k (k - 1) / 2 >= min(N, k)`` for k = 0 .. M.
    low, high : ndarray of float64, shape (rows,)
        The thresholds of each row, ``0 <= low <= high``.
    best : ndarray of float64, shape (columns with padding,)
        What it says of the pairs: the M - 1 dearest pairs of a column are worth no more, prices subtracted.
    """

    quadratic: tuple[float, float, float]
    low: NDArray[np.float64]
    high: NDArray[np.float64]
    best: NDArray[np.float64]

    def to_dict(self) -> dict[str, Any]:
        """Plain JSON values."""
        return {
            "quadratic": list(self.quadratic),
            "low": self.low.tolist(),
            "high": self.high.tolist(),
            "best": self.best.tolist(),
        }

    @classmethod
    def from_dict(cls, document: Mapping[str, Any]) -> "Layers":
        """What :meth:`to_dict` gave."""
        c, a, b = map(float, document["quadratic"])
        low, high, best = (np.asarray(document[name], np.float64) for name in ("low", "high", "best"))
        return cls((c, a, b), low, high, best)


@dataclass(frozen=True, eq=False, slots=True)
class Certificate:
    """A proof that no permutation keeps more than ``bound``.

    Attributes
    ----------
    method : str
        ``"rows"``: every row pruned freely. ``"duals"``: one node, prices of the columns. ``"branching"``: a tree of
        nodes, in preorder, of which the first are the prices of the whole. ``"pairs"``: prices of the columns for a
        relaxation that adds up over pairs. ``"enumeration"``: every partition was looked at. ``"solver"``: the word of
        an outside solver, to be checked only by solving again.
    bound : float
        The bound it proves.
    nodes : tuple of Node
        The proof, where the method has one.
    layers : Layers, optional
        The relaxation, for ``"pairs"``.
    digest : str
        SHA-256 of all the rest, made when not given: it shows any change, also one that leaves the proof valid. The
        proof does not rest on it.
    """

    method: str
    bound: float
    nodes: tuple[Node, ...] = ()
    layers: Layers | None = None
    digest: str = ""

    def __post_init__(self) -> None:
        if not self.digest:
            object.__setattr__(self, "digest", self.computed_digest())

    @property
    def duals(self) -> NDArray[np.float64]:
        """Prices of the columns at the root; empty when the proof has none."""
        return self.nodes[0].duals if self.nodes else np.empty(0)

    def computed_digest(self) -> str:
        """SHA-256 of the method, the bound, the nodes and the layers."""
        document = self._content()
        return hashlib.sha256(json.dumps(document, sort_keys=True).encode()).hexdigest()

    def _content(self) -> dict[str, Any]:
        return {
            "method": self.method,
            "bound": self.bound,
            "nodes": [node.to_dict() for node in self.nodes],
            "layers": None if self.layers is None else self.layers.to_dict(),
        }

    def to_dict(self) -> dict[str, Any]:
        """Plain JSON values; :meth:`from_dict` is the inverse."""
        return self._content() | {"digest": self.digest}

    @classmethod
    def from_dict(cls, document: Mapping[str, Any]) -> "Certificate":
        """What :meth:`to_dict` gave.

        Raises
        ------
        InvalidCertificateError
            When something is missing or has the wrong type.
        """
        try:
            nodes: Sequence[Mapping[str, Any]] = document["nodes"]
            layers = document["layers"]
            return cls(
                str(document["method"]),
                float(document["bound"]),
                tuple(Node.from_dict(node) for node in nodes),
                None if layers is None else Layers.from_dict(layers),
                str(document["digest"]),
            )
        except (KeyError, TypeError, ValueError, IndexError) as error:
            raise InvalidCertificateError(f"not a certificate: {type(error).__name__} {error}") from error
