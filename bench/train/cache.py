"""The cache of trained networks: weights, a manifest beside them, and a checksum; needs no torch."""

import hashlib
import json
import math
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from numpy.typing import NDArray

from permsolve.errors import PermsolveError
from permsolve.io.tensors_out import write_tensors
from permsolve.io.writing import atomic_write

FORMAT = 1


class DamagedCacheError(PermsolveError):
    """A file in the cache is not what its manifest says."""


class NotTrainedError(PermsolveError, LookupError):
    """The cache does not hold a network."""


@dataclass(frozen=True, slots=True)
class Manifest:
    """What is known about trained weights.

    Attributes
    ----------
    network : str
        Name of the network.
    sha256 : str
        Of the file of weights.
    recipe : mapping
        How it was trained, seed included.
    loss, accuracy : float
        On unseen data: mean cross-entropy in nats, share of right answers.
    seconds : float
        Training time.
    versions : mapping of str to str
        Of the programs that took part.
    data : mapping of str to str
        The sha256 of each file that it was trained on.
    format : int
        Of the manifest itself.
    """

    network: str
    sha256: str
    recipe: Mapping[str, float]
    loss: float
    accuracy: float
    seconds: float
    versions: Mapping[str, str]
    data: Mapping[str, str]
    format: int = FORMAT

    def __post_init__(self) -> None:
        if self.format != FORMAT:
            raise ValueError(f"format {self.format} is not {FORMAT}")
        if not all(isinstance(text, str) for text in (self.network, self.sha256)):
            raise ValueError("network and sha256 must be text")
        if not all(isinstance(part, dict) for part in (self.recipe, self.versions, self.data)):
            raise ValueError("recipe, versions and data must be objects")
        if not all(math.isfinite(number) for number in (self.loss, self.accuracy, self.seconds)):
            raise ValueError("loss, accuracy and seconds must be finite")


def sha256(path: Path) -> str:
    """Checksum of a file."""
    with path.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()


def weights_path(cache: Path, network: str) -> Path:
    """Where the weights of a network are kept."""
    return cache / f"{network}.safetensors"


def manifest_path(cache: Path, network: str) -> Path:
    """Where the manifest of a network is kept."""
    return cache / f"{network}.json"


def find(cache: Path, network: str) -> Manifest | None:
    """The manifest of a network whose weights are there and whole, or None when it was never finished.

    Raises
    ------
    DamagedCacheError
        When the manifest cannot be read, or the weights are not those that it describes.
    """
    weights, manifest = weights_path(cache, network), manifest_path(cache, network)
    if not (weights.is_file() and manifest.is_file()):
        return None
    try:
        known = Manifest(**json.loads(manifest.read_text(encoding="utf-8")))
    except (ValueError, TypeError) as error:  # json's own error is a ValueError
        raise DamagedCacheError(f"{manifest}: not a manifest ({error}): {_remedy(network)}") from error
    found = sha256(weights)
    if known.network != network or known.sha256 != found:
        raise DamagedCacheError(
            f"{weights}: sha256 {found[:12]}... is not {known.sha256[:12]}..., which {manifest.name} gives for "
            f"{known.network}: {_remedy(network)}"
        )
    return known


def require(cache: Path, network: str) -> Path:
    """The file of a network's weights, its checksum verified.

    Raises
    ------
    NotTrainedError
        When the network is not in the cache.
    DamagedCacheError
        When it is damaged.
    """
    if find(cache, network) is None:
        raise NotTrainedError(
            f"{cache}: no trained {network}; train it with "
            f"python -m bench train --data DATA --cache {cache} --network {network}"
        )
    return weights_path(cache, network)


def store(cache: Path, network: str, tensors: Mapping[str, NDArray[Any]], **known: Any) -> Manifest:
    """Write weights, then their manifest, each under its name only when it is whole.

    Parameters
    ----------
    cache : Path
        Folder, made when missing.
    network : str
        Name of the network.
    tensors : mapping of str to ndarray
        Its weights.
    **known
        The other fields of :class:`Manifest`.
    """
    cache.mkdir(parents=True, exist_ok=True)
    # A process killed between the two files must leave an unfinished entry, not a damaged one.
    manifest_path(cache, network).unlink(missing_ok=True)
    write_tensors(weights_path(cache, network), tensors)
    manifest = Manifest(network, sha256(weights_path(cache, network)), **known)
    text = json.dumps(asdict(manifest), indent=2) + "\n"
    atomic_write(manifest_path(cache, network), lambda stream: stream.write(text.encode()))
    return manifest


def _remedy(network: str) -> str:
    return f"remove it, or train again with python -m bench train --network {network} --again"
