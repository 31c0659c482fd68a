"""Which networks there are and which of their weights can be permuted; needs no torch."""

from collections.abc import Mapping
from types import MappingProxyType

Shape = tuple[int, ...]

_WIDTH, _BLOCKS = 256, 6


def _transformer() -> dict[str, Shape]:
    layers: dict[str, Shape] = {}
    for block in range(_BLOCKS):
        layers[f"blocks.{block}.qkv"] = (3 * _WIDTH, _WIDTH)
        layers[f"blocks.{block}.proj"] = (_WIDTH, _WIDTH)
        layers[f"blocks.{block}.up"] = (4 * _WIDTH, _WIDTH)
        layers[f"blocks.{block}.down"] = (_WIDTH, 4 * _WIDTH)
    layers["head"] = (65, _WIDTH)
    return layers


def _resnet() -> dict[str, Shape]:
    layers: dict[str, Shape] = {}
    before = 16
    for block in range(9):
        channels = (16, 32, 64)[block // 3]
        layers[f"blocks.{block}.conv1"] = (channels, before, 3, 3)
        layers[f"blocks.{block}.conv2"] = (channels, channels, 3, 3)
        if channels != before:
            layers[f"blocks.{block}.shortcut.0"] = (channels, before, 1, 1)
        before = channels
    layers["head"] = (10, before)
    return layers


# The first convolutions are left out: three input channels leave nothing to choose.
NETWORKS: Mapping[str, Mapping[str, Shape]] = MappingProxyType(
    {
        "fashion-mlp": {"fc1": (1024, 784), "fc2": (1024, 1024), "fc3": (10, 1024)},
        "cifar-conv": {
            "conv2": (64, 64, 3, 3),
            "conv3": (128, 64, 3, 3),
            "conv4": (128, 128, 3, 3),
            "conv5": (256, 128, 3, 3),
            "conv6": (256, 256, 3, 3),
            "head": (10, 256),
        },
        "resnet-20": _resnet(),
        "char-transformer": _transformer(),
    }
)
