"""The README's picture: ``python -m bench picture``."""

from pathlib import Path

import matplotlib as mpl
import matplotlib.pyplot as plt
import numpy as np
from matplotlib.axes import Axes
from matplotlib.patches import Rectangle
from numpy.typing import NDArray

from bench.instances import get_instance
from permsolve import Problem, Result, solve

# Best published result on this instance: NVIDIA's exhaustive search over triples of groups, 0.86 s on a V100.
PUBLISHED_EFFICACY, PUBLISHED_SECONDS = 36.6, 0.86
ROWS, GROUPS = 8, 6


def _excerpt(axes: Axes, weight: NDArray[np.float32], kept: NDArray[np.bool_], title: str) -> None:
    """A few rows and groups: kept entries in colour, dropped ones crossed out."""
    shown = np.abs(weight)
    axes.imshow(np.where(kept, shown, np.nan), cmap="YlGnBu", vmin=0.0, vmax=float(shown.max()), aspect="equal")
    for row, column in np.argwhere(~kept):
        grey = 1.0 - 0.5 * float(shown[row, column] / shown.max())
        axes.add_patch(Rectangle((column - 0.5, row - 0.5), 1, 1, color=str(grey), lw=0))
        axes.plot(column, row, marker="x", color="firebrick", markersize=4, markeredgewidth=0.8)
    for edge in range(0, shown.shape[1] + 1, 4):
        axes.axvline(edge - 0.5, color="black", lw=1.2)
    axes.set(xticks=[], yticks=[])
    axes.set_title(f"{title}: {100 * shown[kept].sum() / shown.sum():.1f} % of the magnitude kept", fontsize=10)


def _curve(axes: Axes, problem: Problem, result: Result, label: str) -> None:
    points = [(max(point.time, 1e-3), problem.efficacy(point.value)) for point in result.trace]
    times, values = zip(*points, strict=True)
    axes.step(times, values, where="post", label=label, lw=1.8)


def draw(example: Path, path: Path) -> None:
    """Solve the examples and write the picture."""
    mpl.rcParams["font.size"] = 9
    figure = plt.figure(figsize=(10.0, 3.9), layout="constrained")
    grid = figure.add_gridspec(2, 2, width_ratios=[1.25, 1.0])
    weight = np.load(example, allow_pickle=False)[:ROWS, : 4 * GROUPS]
    part = Problem.from_weight(weight, "2:4")
    best = solve(part, "local-search", time_limit=1.0)
    given = solve(part, "identity")
    _excerpt(figure.add_subplot(grid[0, 0]), weight, given.mask(weight), "2:4 in the given order")
    _excerpt(figure.add_subplot(grid[1, 0]), best.apply(weight), best.apply(best.mask(weight)), "columns re-ordered")
    curves = figure.add_subplot(grid[:, 1])
    instances = {
        "random 128 x 64": get_instance("128x64@1").load(),
        "trained layer 128 x 256": get_instance("digits").load(),
    }
    for label, problem in instances.items():
        solve(problem, time_limit=0.5)  # compiles
        _curve(curves, problem, solve(problem, time_limit=10.0), label)
    curves.plot(PUBLISHED_SECONDS, PUBLISHED_EFFICACY, "kv", label="best published, random 128 x 64 (V100)")
    curves.set(xscale="log", xlabel="seconds on 2 CPU cores", ylabel="efficacy (% of the way to the row bound)")
    curves.grid(alpha=0.3)
    curves.legend(loc="lower right")
    path.parent.mkdir(exist_ok=True)
    figure.savefig(path, dpi=150)
