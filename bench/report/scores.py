"""What the rows of a run say: a table with one line for each measurement, and what is derived from it."""

import re
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import pandas as pd

from bench.plans import SOLVE
from bench.runner import Row, is_error

# Kept values that differ by less than this share are equal: rounding of two orders of summation.
EQUAL = 1e-9
REFUSED = "UnsupportedProblemError"
_SEED = re.compile(r"@\d+")
# The share of zeros in the name of an instance of the lossless study.
_ZEROS = r"~(\d[\d.]*)(?=\+|$)"

_NUMBERS = (
    "value",
    "efficacy",
    "baseline",
    "initial",
    "row_bound",
    "bound",
    "runtime",
    "gap",
    "total",
    "memory_peak",
)


def measurements(rows: Sequence[Row], known: Mapping[str, float] | None = None) -> pd.DataFrame:
    """The solvers' rows as a frame, with what is derived from them.

    Parameters
    ----------
    rows : sequence of Row
        Rows of one run or of several.
    known : mapping of str to float, optional
        Best known values by instance, from elsewhere.

    Returns
    -------
    DataFrame
        The fields of the rows, and ``group`` (the instance without its seed; with the
        time limit, where a solver ran with several), ``failure`` (type of the error, or
        None), ``best`` (best value known of the instance), ``shortfall`` (relative distance to it) and ``points``
        (the same in points of efficacy); NaN where there is no result.
    """
    frame = pd.DataFrame([row for row in rows if row["kind"] == SOLVE])
    if frame.empty:
        return frame
    for field in (
        "value",
        "efficacy",
        "baseline",
        "row_bound",
        "bound",
        "runtime",
        "gap",
        "total",
        "memory_peak",
        "initial",
    ):
        frame[field] = pd.to_numeric(frame.get(field), errors="coerce")
    # What had more time is not averaged with what had less; limits that are a share of another run's time just vary.
    limits = frame.groupby(["instance", "label", "seed"])["time_limit"].transform("nunique")
    several = set(frame.loc[limits > 1, "instance"])
    frame["group"] = [
        group_of(name) + (f", {limit:g} s" if name in several else "")
        for name, limit in zip(frame["instance"], frame["time_limit"], strict=True)
    ]
    frame["failure"] = [row["error"]["type"] if is_error(row) else None for row in frame.to_dict("records")]
    best = frame.groupby("instance")["value"].max()
    for name, value in (known or {}).items():
        if name in best.index:
            best[name] = np.fmax(best[name], value)
    frame["best"] = frame["instance"].map(best)
    frame["shortfall"] = ((frame["best"] - frame["value"]) / frame["best"]).where(frame["best"] > 0.0, 0.0)
    frame["shortfall"] = frame["shortfall"].where(frame["value"].notna()).clip(lower=0.0)
    room = frame["row_bound"] - frame["baseline"]
    points = 100.0 * (frame["best"] - frame["value"]) / room
    frame["points"] = points.where(room > 0.0, 0.0).where(frame["value"].notna()).clip(lower=0.0)
    return frame


def lossless_study(frame: pd.DataFrame) -> pd.DataFrame:
    """The rows of instances some of whose entries are set to zero, step by step.

    Returns
    -------
    DataFrame
        With ``stem`` (the instance without its share of zeros), ``percent`` (that share) and ``lost`` (share of the
        magnitude that is not kept; 0 when it is rounding).
    """
    percent = frame["instance"].str.extract(_ZEROS, expand=False).astype(float).dropna()
    study = frame.loc[percent.index]
    lost = 1.0 - study["value"] / study["total"]
    return study.assign(
        stem=study["instance"].str.replace(_ZEROS, "", regex=True),
        percent=percent,
        lost=lost.where(~(lost <= EQUAL), 0.0),
    )


def group_of(instance: str) -> str:
    """The name of an instance without its seed: what is averaged over."""
    return _SEED.sub("", instance)


def ranking(frame: pd.DataFrame) -> list[str]:
    """Labels from best to worst: by the mean of the relative shortfall, a missing result counting as all lost.

    Over the instances on which all of them ran, where there are such.
    """
    labels = frame.groupby("instance")["label"].transform("nunique")
    everywhere = labels == frame["label"].nunique()
    fair = frame[everywhere] if everywhere.any() else frame
    mean = fair.assign(lost=fair["shortfall"].fillna(1.0)).groupby("label")["lost"].mean()
    return list(mean.sort_values(kind="stable").index)


def value_at(trace: Sequence[Sequence[float]], times: np.ndarray[Any, np.dtype[np.float64]]) -> Any:
    """Best value known at each of some times; NaN before the first point of the trace."""
    points = np.asarray(trace, np.float64)
    places = np.searchsorted(points[:, 0], times, side="right") - 1
    return np.where(places >= 0, points[np.maximum(places, 0), 1], np.nan)


def time_to(trace: Sequence[Sequence[float]], value: float) -> float:
    """Seconds until a value was reached; infinite when it never was."""
    for time, reached, _ in trace:
        if reached >= value:
            return time
    return np.inf
