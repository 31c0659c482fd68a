"""One trained network, pruned by a saliency, in an order, with or without an update."""

from collections.abc import Sequence
from copy import deepcopy
from dataclasses import dataclass, replace
from functools import lru_cache
from pathlib import Path
from statistics import mean
from time import perf_counter

import torch
from torch import Tensor, nn

from bench.networks.accuracy import FIRST_LAYERS
from bench.train.loop import Score
from bench.train.networks import evaluate, load_data
from bench.train.training import load_trained, train
from permsolve import networks
from permsolve.networks.prunable import prunable_weights
from permsolve.networks.worth import Worth
from permsolve.pattern import Pattern
from permsolve.reconstruction import output_error
from permsolve.saliency import get_saliency

SALIENCIES = ("magnitude", "wanda", "ria", "obd", "obs")
ORDERS = ("given", "stripe-groups", "auto")
# "in order": exchanges, layers one after the other, each to make up for what those before it lost.
UPDATES = ("none", "obs", "exchange", "in order")
NETWORKS = ("fashion-mlp", "resnet-20", "char-transformer")
BATCHES, BATCH, DRAW = 16, 64, 1234


@dataclass(frozen=True, slots=True)
class Case:
    """What is done to a network.

    Attributes
    ----------
    network : str
        Its name.
    seed : int
        Of its training, and of the search.
    pattern, saliency, order, update : str
        What it is pruned to, by what, permuted by which solver (or ``given``), and how kept weights are fitted.
    """

    network: str
    seed: int
    pattern: str
    saliency: str
    order: str
    update: str


@dataclass(frozen=True, slots=True)
class CalibratedRow:
    """What came of it.

    Attributes
    ----------
    case : Case
        What was done.
    kept : float
        Share of the saliency that the pattern keeps.
    layer_error : float
        Mean over the layers: mean square of the change of a layer's outputs, as a share of that of the outputs, on
        the inputs that the layer has in the dense network.
    loss, accuracy : float
        Of the pruned network on the held-out data.
    dense_loss, dense_accuracy : float
        Of the network as it was trained.
    time_limit, seconds : float
        Seconds granted to the search, and taken by permuting and pruning.
    """

    case: Case
    kept: float
    layer_error: float
    loss: float
    accuracy: float
    dense_loss: float
    dense_accuracy: float
    time_limit: float
    seconds: float


@dataclass(frozen=True, slots=True)
class Prepared:
    """A network, calibration data drawn from its training set, what its layers read of it, and what is known of it."""

    model: nn.Module
    batches: list[Tensor]
    calibration: networks.Calibration
    score: Score


@lru_cache(maxsize=1)
def prepared(name: str, seed: int, data: Path, cache: Path) -> Prepared:
    """The trained network of that name and seed, of which no one else shall change the model."""
    folder = cache / f"seed-{seed}" if seed else cache
    train(name, data, folder, seed=seed)
    model, dataset = load_trained(name, folder), load_data(name, data)
    generator = torch.Generator().manual_seed(DRAW + seed)
    batches = [dataset.draw(BATCH, generator)[0] for _ in range(BATCHES)]
    calibration = networks.calibrate(model, batches, exclude=FIRST_LAYERS[name])
    return Prepared(model, batches, calibration, evaluate(model, name, data))


@lru_cache(maxsize=1)
def _permuted(case: Case, data: Path, cache: Path, time_limit: float, workers: int) -> tuple[Prepared, float]:
    """The network in the order of a case, whatever its update, and the seconds that this took."""
    dense = prepared(case.network, case.seed, data, cache)
    if case.order == "given":
        return dense, 0.0
    model = deepcopy(dense.model)
    example = next(iter(load_data(case.network, data).unseen(4)))[0]
    start = perf_counter()
    report = networks.permute_(
        model, (example,), case.pattern, solver=case.order, time_limit=time_limit, seed=case.seed, workers=workers,
        saliency=case.saliency, exclude=FIRST_LAYERS[case.network], calibration=dense.calibration,
    )  # fmt: skip
    seconds = perf_counter() - start
    return replace(dense, model=model, calibration=dense.calibration.permuted(report)), seconds


def measure_calibrated(case: Case, data: Path, cache: Path, time_limit: float, workers: int) -> CalibratedRow:
    """Do it, and judge the network.

    Parameters
    ----------
    case : Case
        What is done.
    data, cache : Path
        As for :func:`bench.networks.accuracy.measure`.
    time_limit, workers
        Of :func:`permsolve.networks.permute_`.
    """
    dense, search = _permuted(replace(case, update=""), data, cache, time_limit, workers)
    model = deepcopy(dense.model)
    in_order = case.update == "in order"
    start = perf_counter()
    networks.prune_(
        model, case.pattern, saliency=case.saliency, exclude=FIRST_LAYERS[case.network],
        calibration=None if in_order else dense.calibration, batches=dense.batches if in_order else None,
        update={"none": None, "in order": "exchange"}.get(case.update, case.update),
    )  # fmt: skip
    seconds = search + perf_counter() - start
    networks.finalize_(model)
    score = evaluate(model, case.network, data)
    return CalibratedRow(
        case, _kept(dense.model, case, dense.calibration), _layer_error(dense.model, model, dense.calibration),
        score.loss, score.accuracy, dense.score.loss, dense.score.accuracy, time_limit, round(seconds, 1),
    )  # fmt: skip


def _kept(model: nn.Module, case: Case, calibration: networks.Calibration) -> float:
    worth = Worth(get_saliency(case.saliency), calibration)
    weights = prunable_weights(model, exclude=FIRST_LAYERS[case.network])
    pattern = Pattern.parse(case.pattern)
    whole = sum(
        float(block.sum(dtype="float64")) for weight in weights for block in worth.blocks(weight, weight.tensor)
    )
    return sum(worth.kept(weight, pattern) for weight in weights) / whole


def _layer_error(dense: nn.Module, pruned: nn.Module, calibration: networks.Calibration) -> float:
    errors = []
    for name, moments in calibration.items():
        before, after = (
            one.get_parameter(name).detach().double().reshape(moments.groups, -1, moments.features).numpy()
            for one in (dense, pruned)
        )
        change = whole = 0.0
        for group, rows in enumerate(before):
            second = moments.second_moment_of(group)
            change += float(output_error(rows, after[group], second).sum())
            whole += float(output_error(rows, 0.0 * rows, second).sum())
        errors.append(change / whole)
    return mean(errors)


def cases(
    names: Sequence[str], seeds: int, pattern: str, saliencies: Sequence[str], orders: Sequence[str],
    updates: Sequence[str],
) -> list[Case]:  # fmt: skip
    """The whole grid, network by network."""
    return [
        Case(name, seed, pattern, saliency, order, update)
        for name in names
        for seed in range(seeds)
        for saliency in saliencies
        for order in orders
        for update in updates
    ]
