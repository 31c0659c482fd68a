"""The pictures of the report."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import matplotlib as mpl
import numpy as np
import pandas as pd

mpl.use("Agg")

import matplotlib.pyplot as plt
from matplotlib.axes import Axes
from matplotlib.colors import LogNorm
from matplotlib.figure import Figure
from matplotlib.ticker import FuncFormatter, NullFormatter, NullLocator

from bench.plans import KERNELS
from bench.report.scores import time_to, value_at
from bench.report.statistics import NEAR, Scaling, efforts, loss_ratios, time_ratios
from bench.runner import Row

# Points of efficacy that are drawn as nothing.
FLOOR = 0.01
# Of the variance, what a fit must explain to be drawn.
LEAST_R_SQUARED = 0.75
# How the line of each solver that is drawn looks.
Styles = Mapping[str, Mapping[str, Any]]
_PANELS = 6
_MOST_COLUMNS = 20
_MARKERS = "os^vD<>PX*"
_STEPS = 200
# Per cent of what is lost beyond the least that any solver loses: below the first the axis is linear.
_LINEAR, _MOST_EXCESS = 0.1, 1000.0


def styles(labels: Sequence[str]) -> Styles:
    """A colour for each of the first solvers, the same in every picture; every other line is dashed, to show what it
    covers.
    """
    colours = mpl.colormaps["tab10"].colors  # type: ignore[attr-defined]
    return {
        label: {"color": colours[place], "linestyle": ("-", (0, (5, 1.5)))[place % 2]}
        for place, label in enumerate(labels[: len(colours)])
    }


def anytime(frame: pd.DataFrame, look: Styles, path: Path) -> bool:
    """Gap to the best known value against time, a panel for each group of instances; whether there was any to draw."""
    solved = frame[frame["value"].notna()]
    sizes = solved.groupby("group")["columns"].max().sort_values(kind="stable")
    groups = list(sizes.index[-_PANELS:])
    if not groups:
        return False
    figure, panels = _panels(groups)
    for axes, group in zip(panels, groups, strict=True):
        members = solved[solved["group"] == group]
        limit = float(members["runtime"].max())
        first = min(time_to(row["trace"], np.nextafter(row["baseline"], np.inf)) for row in members.to_dict("records"))
        times = np.geomspace(np.clip(first / 2.0, 1e-3, limit / 10.0), max(limit, 2e-3), _STEPS)
        for label, style in look.items():
            rows = members[members["label"] == label].to_dict("records")
            if not rows:
                continue
            curves = [_points_at(row, times) for row in rows]
            median = np.median(np.stack(curves), axis=0)
            axes.step(times, np.maximum(median, FLOOR), where="post", lw=1.4, label=label, **style)
        # From a power of ten, so that there is one to be read; the ticks between have no room for text.
        axes.set(xscale="log", yscale="log", xlim=(10.0 ** np.floor(np.log10(times[0]) + 1e-9), times[-1]))
        axes.set_ylim(bottom=FLOOR * 0.9)
        for axis in (axes.xaxis, axes.yaxis):
            axis.set_minor_formatter(NullFormatter())
    figure.supxlabel("seconds of search")
    figure.supylabel("points of efficacy below the best known")
    _legend(figure, panels)
    _save(figure, path)
    return True


def _points_at(row: Mapping[str, Any], times: Any) -> Any:
    """Points of efficacy below the best known; before the first point of the trace those of the given order."""
    values = np.nan_to_num(value_at(row["trace"], times), nan=row["baseline"])
    room = row["row_bound"] - row["baseline"]
    return 100.0 * np.maximum(row["best"] - values, 0.0) / room if room > 0.0 else np.zeros_like(times)


def profiles(frame: pd.DataFrame, look: Styles, path: Path) -> bool:
    """Dolan-More performance profiles: of what is lost, and of the time to come near the best."""
    excess, slower = 100.0 * (loss_ratios(frame) - 1.0), time_ratios(frame)
    if excess.empty:
        return False
    figure, (quality, speed) = _subplots(1, 2, (11.0, 4.6))
    _profile(quality, excess, look, np.clip(_largest(excess), 10.0 * _LINEAR, _MOST_EXCESS))
    quality.set_xscale("symlog", linthresh=_LINEAR)
    quality.set(xlabel="lost beyond the least lost by any solver, %", ylabel="share of runs", title="quality")
    most = 1.02 * max(1.1, _largest(slower))
    _profile(speed, slower, look, most)
    speed.set_xscale("log", base=2)
    speed.set(xlabel=f"time to {100 * NEAR:.0f} % of the best known gain, times the fastest", title="speed")
    speed.set_xlim(left=most**-0.02)
    for axes in (quality, speed):
        axes.xaxis.set_major_formatter(FuncFormatter(lambda value, place: f"{value:g}"))
    _legend(figure, [quality, speed])
    _save(figure, path)
    return True


def _profile(axes: Axes, table: pd.DataFrame, look: Styles, right: float) -> None:
    """The share of lines of a table in which each of its columns is at most so large."""
    for label, style in look.items():
        if len(table):
            # What is infinite counts, and lies outside of the picture: an infinite point would end the line.
            axes.ecdf(np.minimum(table[label].to_numpy(), 2.0 * right), label=label, lw=1.5, **style)
    axes.set(xlim=(-0.02 * _LINEAR, right), ylim=(0.0, 1.02))
    axes.grid(alpha=0.25)


def _largest(table: pd.DataFrame) -> float:
    numbers = table.to_numpy()
    return float(numbers[np.isfinite(numbers)].max(initial=0.0))


def gaps(frame: pd.DataFrame, labels: Sequence[str], path: Path) -> bool:
    """Median points of efficacy below the best known, solvers by groups of instances; turned when these are many."""
    table = frame.pivot_table(index="label", columns="group", values="points", aggfunc="median")
    order = frame.groupby("group")["columns"].max().sort_values(kind="stable").index
    table = table.reindex(index=labels, columns=[group for group in order if group in table.columns])
    if table.empty:
        return False
    if len(table.columns) > _MOST_COLUMNS:
        table = table.T
    figure, (axes,) = _subplots(1, 1, (2.4 + 0.75 * len(table.columns), 1.8 + 0.32 * len(table)))
    shown = table.to_numpy(np.float64)
    highest = max(1.0, float(np.nanmax(shown)) if np.isfinite(shown).any() else 1.0)
    axes.set_facecolor("#eeeeee")  # where there is no result
    image = axes.imshow(np.maximum(shown, FLOOR), cmap="YlOrRd", norm=LogNorm(FLOOR, highest), aspect="auto")
    colours = image.to_rgba(np.ma.masked_invalid(np.maximum(shown, FLOOR)))
    for (row, column), value in np.ndenumerate(shown):
        text = "-" if np.isnan(value) else "0" if value < 0.005 else f"{value:.2f}" if value < 10.0 else f"{value:.1f}"
        dark = not np.isnan(value) and _luminance(colours[row, column]) < 0.5
        axes.text(column, row, text, ha="center", va="center", fontsize=7, color="white" if dark else "black")
    axes.set_xticks(range(len(table.columns)), table.columns, rotation=40, ha="right", fontsize=8)
    axes.set_yticks(range(len(table)), table.index, fontsize=8)
    axes.spines[:].set_visible(False)
    _save(figure, path)
    return True


def _luminance(colour: Any) -> float:
    """How bright a colour looks, from 0 to 1."""
    red, green, blue, _ = colour
    return float(0.299 * red + 0.587 * green + 0.114 * blue)


def scaling(frame: pd.DataFrame, fits: Mapping[str, Scaling], look: Styles, path: Path) -> bool:
    """Time against columns on square matrices, with the fitted power of the columns, where the fit says much."""
    fits = {label: fit for label, fit in fits.items() if label in look and fit.r_squared >= LEAST_R_SQUARED}
    timed = {label: efforts(frame, label) for label in fits}
    squares = {label: mine[mine["rows"] == mine["columns"]] for label, mine in timed.items()}
    sizes = sorted({int(columns) for mine in squares.values() for columns in mine["columns"]})
    if len(sizes) < 3:
        return False
    figure, (axes,) = _subplots(1, 1, (8.0, 5.0))
    ends = np.array([sizes[0], sizes[-1]], np.float64)
    for place, (label, fit) in enumerate(fits.items()):
        table = squares[label].groupby("columns")["seconds"].median()
        axes.plot(table.index, table.to_numpy(), _MARKERS[place % len(_MARKERS)], ms=5, color=look[label]["color"])
        line = fit.factor * ends ** (fit.columns_exponent + fit.rows_exponent)
        text = f"{label}: C^{fit.columns_exponent:.1f} R^{fit.rows_exponent:.1f}"
        axes.plot(ends, line, lw=1.3, **look[label], label=text)
    axes.set(xscale="log", yscale="log", xlabel="columns = rows", ylabel="seconds")
    axes.set_xticks(sizes, [str(size) for size in sizes])
    axes.xaxis.set_minor_locator(NullLocator())
    axes.grid(alpha=0.25)
    _legend(figure, [axes])
    _save(figure, path)
    return True


def kernels(rows: Sequence[Row], path: Path) -> bool:
    """Speed of the exchange kernels beside what one core does without loading anything."""
    if not rows:
        return False
    names = list(dict.fromkeys(f"{row['rows']} x {row['columns']}, {row['pattern']}" for row in rows))
    kinds = list(dict.fromkeys(row["solver"] for row in rows))
    figure, (axes,) = _subplots(1, 1, (8.0, 1.4 + 0.3 * len(names) * len(kinds)))
    height = 0.8 / len(kinds)
    look = styles(kinds)
    for place, kind in enumerate(kinds):
        mine = [row for row in rows if row["solver"] == kind]
        where = [names.index(f"{row['rows']} x {row['columns']}, {row['pattern']}") for row in mine]
        colour = look[kind]["color"]
        bars = axes.barh(
            np.array(where) + height * (place - (len(kinds) - 1) / 2.0),
            [row["speed"] / 1e9 for row in mine],
            0.92 * height,
            color=colour,
            label=KERNELS[kind],
        )
        texts = [f"{row['speed'] / 1e9:.0f} ({100 * row['speed'] / row['limit']:.0f} %)" for row in mine]
        for text in axes.bar_label(bars, texts, padding=3, fontsize=8):
            text.set_bbox({"facecolor": "white", "edgecolor": "none", "pad": 1.0})  # over the other kind's limit
        limit = max(row["limit"] for row in mine) / 1e9
        axes.axvline(limit, color=colour, lw=1.5, ls="--", label=f"limit in {KERNELS[kind]}")
    axes.set_yticks(range(len(names)), names)
    axes.invert_yaxis()
    highest = max(max(row["limit"], row["speed"]) for row in rows) / 1e9
    axes.set(xlabel="10^9 entries per second, one thread", xlim=(0.0, 1.1 * highest))
    _legend(figure, [axes])
    _save(figure, path)
    return True


def lossless(frame: pd.DataFrame, look: Styles, path: Path) -> None:
    """Share of the magnitude that is lost against the share of zeros."""
    stems = list(dict.fromkeys(frame["stem"]))
    figure, panels = _panels(stems)
    for axes, stem in zip(panels, stems, strict=True):
        for label, style in look.items():
            rows = frame[(frame["stem"] == stem) & (frame["label"] == label)]
            table = rows.groupby("percent")["lost"].median()
            axes.plot(table.index, 100.0 * table.to_numpy(), marker=".", lw=1.3, label=label, **style)
        axes.set_yscale("symlog", linthresh=0.01)
        axes.set_ylim(bottom=0.0)
    figure.supxlabel("zeros before the search, % of the matrix")
    figure.supylabel("magnitude lost to N:M, %")
    _legend(figure, panels)
    _save(figure, path)


def _panels(titles: Sequence[str]) -> tuple[Figure, list[Axes]]:
    """A panel with a grid for each title, three in a line."""
    wide = min(3, len(titles))
    tall = -(-len(titles) // wide)
    figure, grid = _subplots(tall, wide, (4.0 * wide + 1.5, 3.2 * tall + 0.8))
    for axes in grid[len(titles) :]:
        axes.remove()
    for axes, title in zip(grid, titles, strict=False):
        axes.set_title(title)
        axes.grid(alpha=0.25)
    return figure, grid[: len(titles)]


def _subplots(tall: int, wide: int, size: tuple[float, float]) -> tuple[Figure, list[Axes]]:
    figure, grid = plt.subplots(tall, wide, figsize=size, layout="constrained", squeeze=False)
    return figure, list(grid.ravel())


def _legend(figure: Figure, panels: Sequence[Axes]) -> None:
    """One legend for all panels, beside them."""
    entries = {text: line for axes in panels for line, text in zip(*axes.get_legend_handles_labels(), strict=True)}
    figure.legend(list(entries.values()), list(entries), loc="outside right upper", fontsize=8)


def _save(figure: Figure, path: Path) -> None:
    figure.savefig(path, dpi=130)
    plt.close(figure)
