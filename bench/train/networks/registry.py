"""The networks by name: how each is built, fed and trained."""

from collections.abc import Callable
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

from torch import nn

from bench.train.data.characters import load_characters
from bench.train.data.dataset import Dataset
from bench.train.data.idx import load_idx_images
from bench.train.data.packed_jpeg import load_packed_jpeg
from bench.train.loop import Recipe, Score, score
from bench.train.networks.char_transformer import ALPHABET, LENGTH, CharTransformer
from bench.train.networks.cifar_conv import CifarConv
from bench.train.networks.fashion_mlp import FashionMlp
from bench.train.networks.resnet20 import ResNet20


@dataclass(frozen=True, slots=True)
class Network:
    """One kind of network.

    Attributes
    ----------
    build : callable
        Makes one with random weights.
    load_data : callable
        Reads its data from the user's folder.
    recipe : Recipe
        How it is trained.
    """

    build: Callable[[], nn.Module]
    load_data: Callable[[Path], Dataset]
    recipe: Recipe


# The numbers of steps are what one CPU core does in some minutes.
_NETWORKS = {
    "fashion-mlp": Network(
        FashionMlp,
        lambda folder: load_idx_images(folder / "fashion-mnist"),
        Recipe(steps=1500, batch=128, learning_rate=1e-3),
    ),
    "cifar-conv": Network(
        CifarConv,
        lambda folder: load_packed_jpeg(folder / "cifar10"),
        Recipe(steps=600, batch=100, learning_rate=3e-3),
    ),
    "resnet-20": Network(
        ResNet20,
        lambda folder: load_packed_jpeg(folder / "cifar10"),
        Recipe(steps=1600, batch=64, learning_rate=3e-3),
    ),
    "char-transformer": Network(
        CharTransformer,
        lambda folder: load_characters(folder / "tinyshakespeare", LENGTH, ALPHABET),
        Recipe(steps=1000, batch=10, learning_rate=1e-3, warmup=50),
    ),
}


def get_network(name: str) -> Network:
    """The network called ``name``.

    Raises
    ------
    LookupError
        When there is none.
    """
    if name not in _NETWORKS:
        raise LookupError(f"no network {name!r}: there are {', '.join(_NETWORKS)}")
    return _NETWORKS[name]


def build(name: str) -> nn.Module:
    """A network with random weights, drawn from torch's generator."""
    return get_network(name).build()


@lru_cache(maxsize=len(_NETWORKS))
def load_data(name: str, folder: Path) -> Dataset:
    """The data of a network; read once per process, since decoding images takes seconds."""
    return get_network(name).load_data(folder)


def evaluate(model: nn.Module, name: str, folder: Path) -> Score:
    """How well ``model``, a network of the kind ``name``, does on the held-out data in the user's folder."""
    return score(model, load_data(name, folder))
