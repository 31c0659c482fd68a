"""What a layer reads in two networks at once: one whose earlier layers have changed, and one as it was."""

from collections.abc import Iterable, Sequence
from contextlib import suppress
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from permsolve.errors import InvalidOptionError
from permsolve.moments import InputMoments
from permsolve.networks.calibration.batches import Batches, call
from permsolve.networks.calibration.calibrate import running
from permsolve.networks.calibration.geometry import Geometry, unbatched
from permsolve.networks.calibration.memory import memory_named
from permsolve.networks.calibration.padding import Padding
from permsolve.networks.calibration.sums import Sums, held_by_float32, largest_of, size_of_sums
from permsolve.networks.calibration.watching import watched
from permsolve.networks.keeping import kept
from permsolve.networks.prunable import places_of

Calls = list[tuple[Tensor, Geometry, Tensor | None]]


@dataclass(frozen=True, eq=False, slots=True)
class PairedMoments:
    """Moments of what a layer reads, ``x`` in the changed network and ``y`` in the one as it was.

    Attributes
    ----------
    inputs : InputMoments
        Of ``x``, with all second moments.
    targets : ndarray of float64, shape (groups, outputs, d)
        ``E[(w y) x^T]`` for every row ``w`` of the weight as it was.
    energy : float
        Mean square of the outputs ``w y``, summed over all of them.
    """

    inputs: InputMoments
    targets: NDArray[np.float64]
    energy: float

    def goal(self, weight: NDArray[np.float64]) -> NDArray[np.float64]:
        """The weight whose outputs on ``x`` are nearest to those of ``weight`` on ``y``: ``E[x x^T]^-1 E[x (w y)]``.

        Second moments are damped, and what the damping adds pulls towards ``weight``. To be pruned and fitted in its
        place: the error of all that is kept differs from that against the goal by a constant.

        Parameters
        ----------
        weight : ndarray, shape (groups, outputs, d)
            As it was.
        """
        found = np.empty_like(weight)
        for group, (rows, targets) in enumerate(zip(weight, self.targets, strict=True)):
            damped = self.inputs.damped(group)
            added = np.diagonal(damped) - np.diagonal(self.inputs.second_moment_of(group))
            found[group] = np.linalg.solve(damped, (targets + rows * added).T).T
        return found

    def error(self, weight: NDArray[np.float64]) -> float:
        """Mean square by which outputs of ``weight`` on ``x`` differ from those of the layer as it was on ``y``."""
        second = self.inputs.second_moment
        assert second is not None
        change = np.einsum("god,gde,goe->", weight, second, weight, optimize=True) - 2.0 * (weight * self.targets).sum()
        return max(float(change) + self.energy, 0.0)


class _Enough(BaseException):
    """Ends the run of a model, whatever errors it handles itself."""


def uses_of(model: nn.Module, names: Sequence[str], batches: Iterable[object]) -> dict[str, int]:
    """How often a model uses weights on a batch, the first that does use them, in the order of first uses.

    Those that it uses on no batch, or on nothing at all (as an expert that got no token), come last, with 0.

    Raises
    ------
    InvalidOptionError
        When there is no batch, or none of the weights is used.
    """
    layers = {name: places for name, places in places_of(model).items() if name in names}
    used: dict[str, int] = {}
    with running(model, None) as device, kept(model, entries=True):
        for number, batch in enumerate(Batches(batches), 1):
            sizes: dict[str, list[int]] = {}

            def note(name: str, x: Tensor, geometry: Geometry, sizes: dict[str, list[int]] = sizes) -> None:
                sizes.setdefault(name, []).append(x.numel())

            with watched(layers, note, list(layers)):
                call(model, batch, device, number)
            used |= {name: len(calls) for name, calls in sizes.items() if name not in used and any(calls)}
            if len(used) == len(layers):
                break
    if not used and names:
        raise InvalidOptionError(
            f"no batch reaches any of the layers that are to be pruned ({names[0]}, ...): give calibration data that do"
        )
    return used | {name: 0 for name in names if name not in used}


def calibrate_pair(
    model: nn.Module,
    dense: nn.Module,
    name: str,
    batches: Iterable[object],
    uses: int = 0,
    padding: Padding | None = None,
) -> PairedMoments | None:
    """Moments of what one layer reads in a changed network, beside what it reads in the network as it was.

    Parameters
    ----------
    model : Module
        The changed network.
    dense : Module
        The network as it was.
    name : str
        The weight (``layer.weight``), the same in both.
    batches : iterable
        As for :func:`permsolve.networks.calibrate`; read once.
    uses : int, default 0
        How often the layer is used (:func:`uses_of`): where once, models run no further than there.
    padding : Padding, optional
        What does not count.

    Returns
    -------
    PairedMoments or None
        None where the layer is not called, or not in the same way by both: of a mixture, say, whose experts get other
        tokens.

    Raises
    ------
    InvalidNetworkError, InvalidOptionError
        As :func:`permsolve.networks.calibrate` does.
    """
    padding = Padding() if padding is None else padding
    layers = {one: {name: places_of(one)[name]} for one in (model, dense)}
    layer = layers[dense][name][0]
    weight = layer.tensor.detach()
    flat = weight.reshape(layer.groups, -1, weight[0].numel())
    sums = Sums(name, flat.shape[2], full=True, groups=len(flat))
    targets = torch.zeros(flat.shape, dtype=torch.float64, device=flat.device)
    energy = torch.zeros(len(flat), dtype=torch.float64, device="cpu")
    for number, batch in enumerate(Batches(batches), 1):
        seen: dict[nn.Module, Calls] = {model: [], dense: []}
        for one, calls in seen.items():

            def note(_: str, x: Tensor, geometry: Geometry, calls: Calls = calls) -> None:
                # A copy: what comes after the layer may change its input in place.
                hidden = padding.hidden(name, x, not geometry.kernel)
                with padding.apart():
                    calls.append((unbatched(x.detach()).clone(), geometry, hidden))
                if uses == 1:
                    raise _Enough

            with (
                running(one, None) as device,
                kept(one, entries=True),
                watched(layers[one], note, [name]),
                suppress(_Enough),
            ):
                call(one, batch, device, number, padding)
        if [(x.shape, geometry) for x, geometry, _ in seen[model]] != [
            (y.shape, geometry) for y, geometry, _ in seen[dense]
        ]:
            return None
        for (x, geometry, hidden), (y, _, _) in zip(seen[model], seen[dense], strict=True):
            with memory_named(size_of_sums(len(flat), flat.shape[2], full=True), name, alone=True):
                sums.add(x, geometry, number, hidden)
            theirs = [one for _, one, _ in geometry.parts(y, hidden)]
            for (part, ours, unseen), other in zip(geometry.parts(x, hidden), theirs, strict=True):
                chosen = slice(None) if part is None else slice(part, part + 1)
                matrices = flat[chosen]
                pairs = zip(
                    geometry.rows(ours, sums.features, unseen),
                    geometry.rows(other, sums.features, unseen),
                    strict=True,
                )
                for mine, before in pairs:
                    if len(mine):
                        accurate = _accurate(before, mine, matrices)
                        outputs = torch.einsum("sgd,god->sgo", before.to(accurate), matrices.to(accurate))
                        targets[chosen] += torch.einsum("sgo,sgd->god", outputs, mine.to(accurate))
                        energy[chosen] += outputs.square().sum((0, 2), dtype=torch.float64).cpu()
    if sums.idle:
        return None
    samples = torch.tensor(sums.samples, dtype=torch.float64, device="cpu")
    with memory_named(size_of_sums(len(flat), flat.shape[2], full=True), name, alone=True):
        inputs = sums.moments()
    assert inputs is not None
    means = (targets.cpu() / samples[:, None, None]).numpy()
    return PairedMoments(inputs, means, float((energy / samples).sum()))


def _accurate(before: Tensor, mine: Tensor, weight: Tensor) -> torch.dtype:
    """The type that holds products of outputs with one another, and with inputs."""
    outputs = largest_of(before) * largest_of(weight) * weight.shape[-1]
    return torch.float32 if held_by_float32(outputs) and held_by_float32(largest_of(mine)) else torch.float64
