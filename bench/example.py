"""Make the example weight: a layer of a small network trained on handwritten digits.

The network (64-256-128-10, ReLU) learns scikit-learn's bundled digits; its second layer, 128 x 256, is the
weight that ``make solve`` works on. To make ``bench/data/digits_mlp.npy`` again, or to verify the one there::

    pip install scikit-learn
    python -m bench example
    python -m bench example --check
"""

import sys
import warnings
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from sklearn.datasets import load_digits
from sklearn.exceptions import ConvergenceWarning
from sklearn.model_selection import train_test_split
from sklearn.neural_network import MLPClassifier

from permsolve.io.writing import atomic_write

HIDDEN = (256, 128)
LAYER = 1
SEED = 0
# Training amplifies the last-bit differences between one machine's matrix products and another's.
TOLERANCE = 1e-3


def train() -> tuple[NDArray[np.float32], float]:
    """The weight (out, in) of the chosen layer, and the accuracy of the network on digits it has not seen."""
    images, labels = load_digits(return_X_y=True)
    seen, unseen, seen_labels, unseen_labels = train_test_split(
        images / 16.0, labels, test_size=0.25, random_state=SEED, stratify=labels
    )
    network = MLPClassifier(
        HIDDEN,
        alpha=1e-3,
        batch_size=64,
        learning_rate_init=2e-3,
        max_iter=60,
        n_iter_no_change=60,
        tol=0.0,
        random_state=SEED,
    )
    with warnings.catch_warnings():
        # A fixed number of epochs is what makes the weight reproducible; it is trained well enough by then.
        warnings.simplefilter("ignore", ConvergenceWarning)
        network.fit(seen, seen_labels)
    # scikit-learn keeps weights (in, out).
    weight = np.ascontiguousarray(network.coefs_[LAYER].T, dtype=np.float32)
    return weight, float(network.score(unseen, unseen_labels))


def write(path: Path) -> None:
    """Train the network and write the weight."""
    weight, accuracy = train()
    print(f"trained to {100 * accuracy:.1f} % on unseen digits; weight {weight.shape}, {weight.dtype}")
    path.parent.mkdir(parents=True, exist_ok=True)
    atomic_write(path, lambda stream: np.save(stream, weight, allow_pickle=False))
    print(f"wrote {path}")


def agrees(path: Path) -> bool:
    """Train the network and say whether a file holds the same weight, up to :data:`TOLERANCE`."""
    held = np.load(path, allow_pickle=False)
    weight, _ = train()
    if held.shape != weight.shape or held.dtype != weight.dtype:
        print(f"{path} holds {held.shape} {held.dtype}: it is not this weight", file=sys.stderr)
        return False
    difference = float(np.abs(held - weight).max() / np.abs(weight).max())
    verdict = "agrees" if difference <= TOLERANCE else "differs"
    print(f"{path} {verdict}: largest difference {difference:.1e} of the largest weight")
    return difference <= TOLERANCE
