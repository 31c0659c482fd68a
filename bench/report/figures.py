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
from matplotlib.ticker import FuncFormatter

from bench.plans import KERNELS
from bench.report.scores import value_at
from bench.report.statistics import NEAR, Scaling, effort, loss_ratios, time_ratios
from bench.runner import Row

# Points of efficacy that are drawn as nothing.
FLOOR = 0.01
_PANELS = 6
_STYLES = ("-", "--", ":", "-.")
_STEPS = 200


def styles(labels: Sequence[str]) -> dict[str, dict[str, Any]]:
    """A colour and a line for each solver, the same in every picture; ten colours, then other dashes."""
    colours = mpl.colormaps["tab10"].colors  # type: ignore[attr-defined]
    return {
        label: {"color": colours[place % len(colours)], "linestyle": _STYLES[place // len(colours) % len(_STYLES)]}
        for place, label in enumerate(labels)
    }


def anytime(frame: pd.DataFrame, labels: Sequence[str], path: Path) -> bool:
    """Gap to the best known value against time, a panel for each group of instances; whether there was any to draw."""
    solved = frame[frame["value"].notna()]
    sizes = solved.groupby("group")["columns"].max().sort_values(kind="stable")
    groups = list(sizes.index[-_PANELS:])
    if not groups:
        return False
    wide = min(3, len(groups))
    tall = -(-len(groups) // wide)
    figure, grid = _subplots(tall, wide, (4.0 * wide, 3.2 * tall + 1.0))
    look = styles(labels)
    for axes, group in zip(grid, groups, strict=False):
        members = solved[solved["group"] == group]
        limit = float(members["runtime"].max())
        times = np.geomspace(min(1e-3, limit / 10.0), max(limit, 2e-3), _STEPS)
        for label in labels:
            rows = members[members["label"] == label].to_dict("records")
            if not rows:
                continue
            curves = [_points_at(row, times) for row in rows]
            median = np.median(np.stack(curves), axis=0)
            axes.step(times, np.maximum(median, FLOOR), where="post", lw=1.4, label=label, **look[label])
        axes.set(xscale="log", yscale="log", xlim=(times[0], times[-1]), title=group)
        axes.set_ylim(bottom=FLOOR * 0.9)
        axes.grid(alpha=0.25)
    for axes in grid[len(groups) :]:
        axes.remove()
    figure.supxlabel("seconds of search")
    figure.supylabel("points of efficacy below the best known")
    _legend(figure, grid[: len(groups)])
    _save(figure, path)
    return True


def _points_at(row: Mapping[str, Any], times: Any) -> Any:
    """Points of efficacy below the best known; before the first point of the trace those of the given order."""
    values = np.nan_to_num(value_at(row["trace"], times), nan=row["baseline"])
    room = row["row_bound"] - row["baseline"]
    return 100.0 * np.maximum(row["best"] - values, 0.0) / room if room > 0.0 else np.zeros_like(times)


def profiles(frame: pd.DataFrame, labels: Sequence[str], path: Path) -> bool:
    """Dolan-More performance profiles: of what is lost, and of the time to come near the best."""
    figure, (quality, speed) = _subplots(1, 2, (11.0, 4.6))
    look = styles(labels)
    for axes, table in ((quality, loss_ratios(frame)), (speed, time_ratios(frame))):
        ratios = table.to_numpy()
        finite = ratios[np.isfinite(ratios)]
        right = max(1.1, float(finite.max()) if finite.size else 1.1) * 1.02
        for label in labels:
            if label in table.columns and len(table):
                # What is infinite counts, and lies outside of the picture: an infinite point would end the line.
                axes.ecdf(np.minimum(table[label].to_numpy(), 2.0 * right), label=label, lw=1.5, **look[label])
        axes.set_xscale("log", base=2)
        axes.xaxis.set_major_formatter(FuncFormatter(lambda ratio, place: f"{ratio:.3g}"))
        axes.set(xlim=(right**-0.02, right), ylim=(0.0, 1.02))
        axes.grid(alpha=0.25)
    quality.set(xlabel="lost magnitude, times the least lost by any", ylabel="share of runs", title="quality")
    speed.set(xlabel=f"time to {100 * NEAR:.0f} % of the best known gain, times the fastest", title="speed")
    _legend(figure, [quality, speed])
    _save(figure, path)
    return True


def gaps(frame: pd.DataFrame, labels: Sequence[str], path: Path) -> bool:
    """Median points of efficacy below the best known, solvers by groups of instances."""
    table = frame.pivot_table(index="label", columns="group", values="points", aggfunc="median")
    order = frame.groupby("group")["columns"].max().sort_values(kind="stable").index
    table = table.reindex(index=labels, columns=[group for group in order if group in table.columns])
    if table.empty:
        return False
    figure, (axes,) = _subplots(1, 1, (2.4 + 0.75 * len(table.columns), 1.8 + 0.32 * len(table)))
    shown = table.to_numpy(np.float64)
    highest = max(1.0, float(np.nanmax(shown)) if np.isfinite(shown).any() else 1.0)
    axes.set_facecolor("#eeeeee")  # where there is no result
    axes.imshow(np.maximum(shown, FLOOR), cmap="YlOrRd", norm=LogNorm(FLOOR, highest), aspect="auto")
    for (row, column), value in np.ndenumerate(shown):
        text = "-" if np.isnan(value) else "0" if value < 0.005 else f"{value:.2f}" if value < 10.0 else f"{value:.1f}"
        axes.text(
            column, row, text, ha="center", va="center", fontsize=7, color="white" if value > highest / 4 else "black"
        )
    axes.set_xticks(range(len(table.columns)), table.columns, rotation=40, ha="right", fontsize=8)
    axes.set_yticks(range(len(table)), table.index, fontsize=8)
    axes.spines[:].set_visible(False)
    _save(figure, path)
    return True


def scaling(frame: pd.DataFrame, fits: Mapping[str, Scaling], path: Path) -> bool:
    """Time against columns on square matrices, with the fitted power of the columns."""
    squares = frame[(frame["rows"] == frame["columns"]) & frame["value"].notna() & (frame["family"] == "uniform")]
    if not fits or squares["columns"].nunique() < 3:
        return False
    figure, (axes,) = _subplots(1, 1, (7.5, 4.8))
    look = styles(list(fits))
    for label, fit in fits.items():
        rows = squares[squares["label"] == label]
        if rows.empty:
            continue
        seconds = rows.assign(seconds=[effort(row)[0] for row in rows.to_dict("records")])
        table = seconds.groupby("columns")["seconds"].median()
        columns = np.array([table.index.min(), table.index.max()], np.float64)
        power = fit.columns_exponent + fit.rows_exponent
        axes.plot(table.index, table.to_numpy(), "o", ms=4, color=look[label]["color"])
        line = fit.factor * columns**power
        axes.plot(
            columns,
            line,
            lw=1.3,
            **look[label],
            label=f"{label}: C^{fit.columns_exponent:.1f} R^{fit.rows_exponent:.1f}",
        )
    axes.set(xscale="log", yscale="log", xlabel="columns = rows", ylabel="seconds")
    axes.grid(alpha=0.25, which="both")
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
        texts = [f"{row['speed'] / 1e9:.0f}: {100 * row['speed'] / row['limit']:.0f} %" for row in mine]
        axes.bar_label(bars, texts, padding=3, fontsize=8)
        limit = max(row["limit"] for row in mine) / 1e9
        axes.axvline(limit, color=colour, lw=1.5, ls="--", label=f"limit in {KERNELS[kind]}")
    axes.set_yticks(range(len(names)), names)
    axes.invert_yaxis()
    highest = max(max(row["limit"], row["speed"]) for row in rows) / 1e9
    axes.set(xlabel="10^9 entries per second, one thread", xlim=(0.0, 1.1 * highest))
    _legend(figure, [axes])
    _save(figure, path)
    return True


def lossless(frame: pd.DataFrame, labels: Sequence[str], path: Path) -> bool:
    """Share of the magnitude that is lost against the share of zeros."""
    stems = list(dict.fromkeys(frame["stem"]))
    wide = min(3, len(stems))
    tall = -(-len(stems) // wide)
    figure, grid = _subplots(tall, wide, (4.0 * wide, 3.0 * tall + 0.8))
    look = styles(labels)
    for axes, stem in zip(grid, stems, strict=False):
        for label in labels:
            rows = frame[(frame["stem"] == stem) & (frame["label"] == label)]
            table = rows.groupby("percent")["lost"].median()
            axes.plot(table.index, 100.0 * table.to_numpy(), marker=".", lw=1.3, label=label, **look[label])
        axes.set_yscale("symlog", linthresh=0.01)
        axes.set_ylim(bottom=0.0)
        axes.set_title(stem)
        axes.grid(alpha=0.25)
    for axes in grid[len(stems) :]:
        axes.remove()
    figure.supxlabel("zeros before the search, % of the matrix")
    figure.supylabel("magnitude lost to N:M, %")
    _legend(figure, grid[: len(stems)])
    _save(figure, path)
    return True


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
