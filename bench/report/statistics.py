"""Numbers of the report: paired comparisons, performance profiles, scaling exponents."""

from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from scipy.stats import bootstrap

from bench.report.scores import EQUAL, time_to

# Instances that a comparison needs to be worth a confidence interval.
_LEAST_PAIRS = 5
# Of the way from the given order to the best known value, what counts as being there.
NEAR = 0.99
_FINISHED = ("completed", "proven")


@dataclass(frozen=True, slots=True)
class Difference:
    """Mean difference of efficacy between two solvers, paired by instance, with a 95 % bootstrap interval.

    The interval is NaN where there are too few instances for one.
    """

    mean: float
    low: float
    high: float
    count: int


def paired_difference(frame: pd.DataFrame, label: str, reference: str) -> Difference:
    """How many points of efficacy a solver is ahead of another (behind, when negative), seeds averaged first."""
    means = frame.pivot_table(index="instance", columns="label", values="efficacy", aggfunc="mean")
    if not {label, reference} <= set(means.columns):
        return Difference(np.nan, np.nan, np.nan, 0)
    differences = (means[label] - means[reference]).dropna().to_numpy()
    if differences.size < _LEAST_PAIRS or np.ptp(differences) == 0.0:
        mean = float(differences.mean()) if differences.size else np.nan
        return Difference(mean, np.nan, np.nan, differences.size)
    interval = bootstrap(
        (differences,), np.mean, method="percentile", n_resamples=2000, rng=np.random.default_rng(0)
    ).confidence_interval
    return Difference(float(differences.mean()), float(interval.low), float(interval.high), differences.size)


def widely_run(frame: pd.DataFrame) -> set[str]:
    """The solvers that ran on at least half of all instances and seeds: those that can be compared on most of them."""
    runs = frame.drop_duplicates(["instance", "seed", "label"])
    counts = runs["label"].value_counts()
    return set(counts.index[2 * counts >= len(runs.drop_duplicates(["instance", "seed"]))])


def loss_ratios(frame: pd.DataFrame) -> pd.DataFrame:
    """Dolan-More ratios of quality: what is lost against the row bound, over the least that any solver lost.

    One line for each instance and seed on which all solvers ran, one column for each solver; infinite where there is
    no result, and where something was lost although the row bound can be reached.
    """
    lost = (frame["row_bound"] - frame["value"]).clip(lower=0.0)
    least = (frame["row_bound"] - frame["best"]).clip(lower=0.0)
    level = EQUAL * frame["row_bound"]
    with np.errstate(divide="ignore"):
        ratios = np.where(lost <= least + level, 1.0, lost / least.where(least > level, 0.0).to_numpy())
    return _pivoted(frame, np.where(frame["value"].isna(), np.inf, ratios))


def time_ratios(frame: pd.DataFrame) -> pd.DataFrame:
    """Dolan-More ratios of speed: time to :data:`NEAR` the best known value, over the fastest solver's.

    As of :func:`loss_ratios`, without the lines on which no solver came so near.
    """
    times = [
        np.inf if pd.isna(row["value"]) else max(1e-3, time_to(row["trace"], _near(row)))
        for row in frame.to_dict("records")
    ]
    table = _pivoted(frame, np.array(times))
    fastest = table.min(axis=1)
    return table.div(fastest, axis=0).where(table < np.inf, np.inf)[fastest < np.inf]


def _near(row: dict[str, Any]) -> float:
    return float(row["baseline"] + NEAR * (row["best"] - row["baseline"]) - EQUAL * row["best"])


def _pivoted(frame: pd.DataFrame, values: NDArray[np.float64]) -> pd.DataFrame:
    return (
        frame.assign(ratio=values)
        .pivot_table(index=["instance", "seed"], columns="label", values="ratio", aggfunc="min")
        .dropna()  # not run is not failed
    )


@dataclass(frozen=True, slots=True)
class Scaling:
    """``seconds = factor * columns**columns_exponent * rows**rows_exponent``, fitted to the logarithms.

    Attributes
    ----------
    columns_exponent, rows_exponent, factor : float
        The fit.
    r_squared : float
        Share of the variance that it explains.
    shapes : int
        How many shapes it rests on.
    what : str
        What was timed.
    """

    columns_exponent: float
    rows_exponent: float
    factor: float
    r_squared: float
    shapes: int
    what: str


def efforts(frame: pd.DataFrame, label: str) -> pd.DataFrame:
    """The runs of a solver on uniform matrices at 2:4, with ``seconds`` and ``what`` was timed.

    To its end, when it always came there before the limit; else to most of its own gain.
    """
    mine = frame[
        (frame["label"] == label)
        & frame["value"].notna()
        & (frame["family"] == "uniform")
        & (frame["pattern"] == "2:4")
        & ~frame["instance"].str.contains("~", regex=False)
    ]
    if mine["stop_reason"].isin(_FINISHED).all():
        return mine.assign(seconds=mine["runtime"], what="to its end")
    aims = mine["baseline"] + NEAR * (mine["value"] - mine["baseline"])
    reached = [time_to(trace, aim) for trace, aim in zip(mine["trace"], aims, strict=True)]
    return mine.assign(seconds=reached, what=f"to {100 * NEAR:.0f} % of its gain")


def scaling(frame: pd.DataFrame, label: str) -> Scaling | None:
    """How the time of a solver grows with columns and rows; None with too few shapes to tell.

    Uniform matrices at 2:4 only, the median over seeds and samples of each shape; times below a millisecond say more
    about the clock than about the solver, and are left out.
    """
    mine = efforts(frame, label)
    if mine.empty:
        return None
    table = mine.groupby(["columns", "rows"])["seconds"].median()
    table = table[table >= 1e-3]
    columns, rows = (np.array([shape[axis] for shape in table.index], np.float64) for axis in (0, 1))
    if len(set(columns)) < 3 or len(set(rows / columns)) < 2:
        return None
    design = np.column_stack([np.ones(len(table)), np.log(columns), np.log(rows)])
    logs = np.log(table.to_numpy())
    coefficients, *_ = np.linalg.lstsq(design, logs, rcond=None)
    residual = logs - design @ coefficients
    spread = float(((logs - logs.mean()) ** 2).sum())
    return Scaling(
        float(coefficients[1]),
        float(coefficients[2]),
        float(np.exp(coefficients[0])),
        1.0 - float((residual**2).sum()) / spread if spread > 0.0 else 1.0,
        len(table),
        mine["what"].iloc[0],
    )
