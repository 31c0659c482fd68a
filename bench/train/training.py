"""Train a network, or take it from the cache."""

import platform
from dataclasses import asdict, replace
from pathlib import Path
from time import perf_counter

import numpy as np
import torch

from bench.train.cache import Manifest, find, require, sha256, store
from bench.train.loop import OnStep, fit, reproducible, score
from bench.train.networks import build, get_network, load_data
from permsolve import __version__
from permsolve.io.safetensors import SafetensorsFile


def train(
    name: str,
    data: Path,
    cache: Path,
    again: bool = False,
    on_step: OnStep | None = None,
    seed: int | None = None,
) -> Manifest:
    """Train a network and keep it in the cache, unless the cache holds it, trained by the same recipe.

    Parameters
    ----------
    name : str
        Name of the network.
    data : Path
        The user's folder of data sets.
    cache : Path
        Folder of trained networks, made when missing.
    again : bool, default False
        Train even when the cache holds the network, whole or damaged.
    on_step : callable, optional
        Called after each step of the training with its number and its loss.
    seed : int, optional
        Another seed than the recipe's; a cache holds one of them.

    Raises
    ------
    DamagedCacheError
        When the network is in the cache, but damaged.
    FileFormatError, OSError
        When the data cannot be read.
    """
    chosen = get_network(name).recipe
    chosen = chosen if seed is None else replace(chosen, seed=seed)
    recipe = asdict(chosen)
    held = None if again else find(cache, name)
    if held is not None and held.recipe == recipe:
        return held
    dataset = load_data(name, data)
    with reproducible(chosen.seed):
        model = build(name)
        start = perf_counter()
        fit(model, dataset, chosen, on_step)
        seconds = perf_counter() - start
        result = score(model, dataset)
    return store(
        cache,
        name,
        {key: tensor.numpy() for key, tensor in model.state_dict().items()},
        recipe=recipe,
        loss=result.loss,
        accuracy=result.accuracy,
        seconds=round(seconds, 1),
        versions={
            "permsolve": __version__,
            "torch": torch.__version__,
            "numpy": np.__version__,
            "python": platform.python_version(),
        },
        data={path.name: sha256(path) for path in dataset.sources},
    )


def load_trained(name: str, cache: Path) -> torch.nn.Module:
    """A network with the weights that the cache holds, ready to be evaluated.

    Raises
    ------
    NotTrainedError
        When it is not in the cache.
    DamagedCacheError
        When it is damaged.
    """
    file = SafetensorsFile(require(cache, name))
    with torch.random.fork_rng(devices=[]):
        model = build(name)
    model.load_state_dict({info.name: torch.from_numpy(np.array(file.read(info.name))) for info in file.tensors()})
    return model.eval()
