"""One trained network: dense, pruned in the given order, and pruned after it was permuted."""

from copy import deepcopy
from dataclasses import dataclass
from pathlib import Path
from time import perf_counter

from torch import nn

from bench.train.networks import evaluate, load_data
from bench.train.training import load_trained, train
from permsolve import networks
from permsolve.networks.prunable import prunable_weights

# Layers whose input channels are the data: nothing to permute, and pruning them is not what is measured.
FIRST_LAYERS = {"fashion-mlp": "fc1", "cifar-conv": "conv1", "resnet-20": "conv", "char-transformer": None}


@dataclass(frozen=True, slots=True)
class Row:
    """One network, one training seed.

    Attributes
    ----------
    network : str
        Its name.
    seed : int
        Of its training, and of the search.
    pattern, solver : str
        What it was pruned to, and what searched.
    time_limit, seconds : float
        Seconds granted to the search, and taken by all of ``permute_``.
    coverage : float
        Share of the elements of prunable weights whose input axis was permuted.
    error : float
        Largest relative difference of the outputs that verification found (float64).
    kept_given, kept_permuted : float
        Share of the magnitude of the pruned layers that survives.
    dense_loss, given_loss, permuted_loss : float
        Mean cross-entropy on the held-out data, in nats.
    dense_accuracy, given_accuracy, permuted_accuracy : float
        Share of right answers on it.
    """

    network: str
    seed: int
    pattern: str
    solver: str
    time_limit: float
    seconds: float
    coverage: float
    error: float
    kept_given: float
    kept_permuted: float
    dense_loss: float
    given_loss: float
    permuted_loss: float
    dense_accuracy: float
    given_accuracy: float
    permuted_accuracy: float


def measure(
    name: str, seed: int, data: Path, cache: Path, *, pattern: str, solver: str, time_limit: float, workers: int
) -> Row:
    """Train (or take from the cache) one network, and prune it in both orders.

    Parameters
    ----------
    name : str
        Name of the network.
    seed : int
        Of the training and of the search.
    data, cache : Path
        The user's folder of data sets, and that of trained networks, with a folder ``seed-N`` for seeds other than 0.
    pattern, solver, time_limit, workers
        Of :func:`permsolve.networks.permute_`.
    """
    folder = cache / f"seed-{seed}" if seed else cache
    train(name, data, folder, seed=seed)
    model = load_trained(name, folder)
    inputs, _ = next(iter(load_data(name, data).unseen(4)))
    given, permuted = deepcopy(model), deepcopy(model)
    first = FIRST_LAYERS[name]
    start = perf_counter()
    report = networks.permute_(
        permuted, (inputs,), pattern, solver=solver, time_limit=time_limit, seed=seed, workers=workers, exclude=first
    )
    seconds = perf_counter() - start
    assert report.max_relative_error is not None  # it verifies
    kept_given, kept_permuted = _prune(given, pattern, first), _prune(permuted, pattern, first)
    scores = [evaluate(one, name, data) for one in (model, given, permuted)]
    return Row(
        name, seed, pattern, solver, time_limit, round(seconds, 1), report.coverage, report.max_relative_error,
        kept_given, kept_permuted, *(score.loss for score in scores), *(score.accuracy for score in scores),
    )  # fmt: skip


def _prune(model: nn.Module, pattern: str, first: str | None) -> float:
    """Prune in place; the share of the magnitude that is kept."""
    weights = prunable_weights(model, exclude=first)
    before = sum(float(weight.tensor.detach().abs().double().sum()) for weight in weights)
    networks.prune_(model, pattern, exclude=first)
    networks.finalize_(model)
    after = sum(float(weight.tensor.detach().abs().double().sum()) for weight in prunable_weights(model, exclude=first))
    return after / before
