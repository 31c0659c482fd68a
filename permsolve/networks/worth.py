"""What the weights of a network are worth: a saliency, with what each layer reads where it looks at that."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from permsolve.checks import require
from permsolve.errors import InvalidOptionError
from permsolve.masks import kept_value
from permsolve.moments import InputMoments
from permsolve.networks.calibration.calibration import Calibration
from permsolve.networks.calibration.matching import matched
from permsolve.networks.prunable import PrunableWeight
from permsolve.networks.spec import Spec
from permsolve.pattern import Pattern
from permsolve.saliency import Saliency
from permsolve.scores import score_blocks
from permsolve.weights import as_weight


@dataclass(frozen=True, slots=True)
class Worth:
    """A saliency and the calibration that it needs.

    Attributes
    ----------
    saliency : Saliency
        What each weight is worth.
    calibration : Calibration or None
        What each layer reads; not looked at by a saliency that is not calibrated.
    """

    saliency: Saliency
    calibration: Calibration | None = None

    def __post_init__(self) -> None:
        good = self.calibration is None or isinstance(self.calibration, Calibration)
        require(good, "calibration", "what networks.calibrate(model, batches) returns", self.calibration)

    def checked(self, weights: Sequence[PrunableWeight], update: str | None = None) -> "Worth":
        """The same, with moments of what all of some weights read, where they are needed.

        Parameters
        ----------
        weights : sequence of PrunableWeight
            All that are weighed, and fitted.
        update : str or None
            How they are fitted, see :func:`permsolve.networks.prune_`.

        Raises
        ------
        InvalidOptionError
            When there is no calibration, or it does not fit: with the name of the first weight, and the remedy.
        """
        needs = self.saliency.needs
        need = None if needs is None else f"saliency {self.saliency.name!r}"
        if update is not None:
            need = f"update={update!r}"
        if self.calibration is None:
            if need is None:
                return self
            raise InvalidOptionError(f"{need} needs a calibration: give calibration=networks.calibrate(model, batches)")
        full = update is not None or needs == "second_moment"
        return replace(self, calibration=matched(self.calibration, weights, need, full))

    def notes(self) -> dict[str, str]:
        """Weights of which it is not known what they read -> what is done about it, and why it is not."""
        assumed = {} if self.calibration is None else self.calibration.assumed
        return {name: f"taken by magnitude, with values as they were: {reason}" for name, reason in assumed.items()}

    def inputs(self, weight: PrunableWeight, rows: tuple[int, int] | None = None) -> InputMoments | None:
        """What a weight, or some of its rows, is multiplied by; None where the saliency does not look at it."""
        if self.saliency.needs is None or self.calibration is None:
            return None
        moments = self.calibration[weight.name]
        return moments if rows is None else moments.of_rows(rows, weight.tensor.shape[0])

    def blocks(
        self, weight: PrunableWeight, tensor: Any, rows: tuple[int, int] | None = None
    ) -> Iterator[NDArray[np.floating]]:
        """Scores of ``tensor``, some rows of a weight, as a matrix (out * k..., in), in blocks of rows."""
        return score_blocks(as_weight(tensor), self.saliency, self.inputs(weight, rows))

    def kept(self, weight: PrunableWeight, pattern: Pattern) -> float:
        """What a pattern keeps of a weight as it stands."""
        return kept_value(weight.tensor, pattern, self.saliency, self.inputs(weight))

    def permuted(self, spec: Spec, permutations: Mapping[str, NDArray[np.int64]]) -> "Worth":
        """That of the weights after groups of a spec were permuted."""
        if self.saliency.needs is None or self.calibration is None:
            return self
        return replace(self, calibration=self.calibration.reordered(spec, permutations))
