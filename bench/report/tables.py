"""The tables of the report."""

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import numpy as np
import pandas as pd

from bench.plans import KERNELS
from bench.report.document import Table
from bench.report.scores import EQUAL, REFUSED, time_to
from bench.report.statistics import Scaling, paired_difference
from bench.runner import Row

# What the others are compared with, where it took part.
REFERENCE = "auto"


def number(value: float, digits: int = 2) -> str:
    """A number with some digits after the point; a dash for none."""
    return "-" if pd.isna(value) or np.isinf(value) else f"{value:.{digits}f}"


def seconds(value: float) -> str:
    """A time with three significant digits."""
    return "-" if pd.isna(value) or np.isinf(value) else f"{value:.3g} s" if value < 100.0 else f"{value:.0f} s"


def summary(frame: pd.DataFrame, labels: Sequence[str]) -> Table:
    """One line for each solver, over all instances."""
    rows = []
    for label in labels:
        mine = frame[frame["label"] == label]
        solved = mine[mine["value"].notna()]
        refused = int((mine["failure"] == REFUSED).sum())
        failed = int(mine["failure"].notna().sum()) - refused
        difference = paired_difference(frame, label, REFERENCE)
        interval = "" if np.isnan(difference.low) else f" [{difference.low:.2f}, {difference.high:.2f}]"
        rows.append(
            [
                f"`{label}`",
                f"{solved['instance'].nunique()}",
                f"{int((solved['shortfall'] <= EQUAL).sum())} of {len(solved)}",
                f"{int((solved['status'] == 'OPTIMAL').sum()) if len(solved) else 0}",
                number(100.0 * solved["shortfall"].median(), 3),
                number(100.0 * solved["shortfall"].max(), 3),
                "-" if label == REFERENCE else f"{number(difference.mean)}{interval}",
                seconds(solved["runtime"].median()),
                str(refused),
                str(failed),
            ]
        )
    headings = (
        "solver",
        "instances",
        "best known reached",
        "proven",
        "median gap, %",
        "worst gap, %",
        f"efficacy against {REFERENCE}, mean [95 %]",
        "median time",
        "refused",
        "failed",
    )
    return Table(headings, rows)


def finals(members: pd.DataFrame, labels: Sequence[str]) -> Table:
    """One line for each solver, over the instances of a group."""
    rows = []
    for label in labels:
        mine = members[members["label"] == label]
        if mine.empty:
            continue
        solved = mine[mine["value"].notna()]
        if solved.empty:
            rows.append([f"`{label}`", *["-"] * 6, ", ".join(sorted(set(mine["failure"].dropna())))])
            continue
        efficacy = solved["efficacy"]
        first = [time_to(row["trace"], row["value"] * (1.0 - EQUAL)) for row in solved.to_dict("records")]
        statuses = solved["status"].value_counts()
        failed = len(mine) - len(solved)
        rows.append(
            [
                f"`{label}`",
                number(efficacy.median()),
                f"{number(efficacy.min())} to {number(efficacy.max())}",
                number(100.0 * solved["shortfall"].median(), 3),
                number(100.0 * solved["gap"].median(), 3),
                seconds(float(np.median(first))),
                seconds(solved["runtime"].median()),
                ", ".join(f"{count} {status}" for status, count in statuses.items())
                + (f", {failed} failed" if failed else ""),
            ]
        )
    headings = (
        "solver",
        "efficacy, median %",
        "least to most",
        "gap to best known, %",
        "gap to own bound, %",
        "last improvement",
        "runtime",
        "status",
    )
    return Table(headings, rows)


def proofs(frame: pd.DataFrame) -> Table | None:
    """Instances whose optimum was proven: its value, and who proved it how fast; None when there are none."""
    proven = frame[frame["status"] == "OPTIMAL"] if "status" in frame else frame[:0]
    rows = []
    for instance, members in proven.groupby("instance", sort=False):
        times = members.groupby("label")["runtime"].median().sort_values(kind="stable")
        whole = members["unchecked"].map(len).eq(0)
        by = ", ".join(
            f"`{label}` {seconds(value)}{'' if whole[members['label'] == label].all() else ' (*)'}"
            for label, value in times.items()
        )
        first = members.iloc[0]
        rows.append([str(instance), f"{first['value']:.6f}", number(first["efficacy"], 4), by])
    return Table(("instance", "optimum", "efficacy, %", "proven by, in"), rows) if rows else None


def warm_starts(frame: pd.DataFrame) -> Table | None:
    """Each warm start beside the cold start of the same solver on the same instance; None when there are none."""
    solved = frame[frame["value"].notna()]
    warm, cold = solved[solved["initial"].notna()], solved[solved["initial"].isna()]
    pairs = warm.merge(cold, on=["instance", "solver", "seed", "workers"], suffixes=("", "_cold"))
    if pairs.empty:
        return None
    aim = pairs["value_cold"] * (1.0 - EQUAL)
    room = pairs["row_bound"] - pairs["baseline"]
    pairs = pairs.assign(
        old=(100.0 * (pairs["initial"] - pairs["baseline"]) / room).where(room > 0.0, 100.0),
        after=[time_to(trace, value) for trace, value in zip(pairs["trace"], aim, strict=True)],
        after_cold=[time_to(trace, value) for trace, value in zip(pairs["trace_cold"], aim, strict=True)],
    )
    rows = []
    for (instance, label), mine in pairs.groupby(["instance", "label"], sort=False):
        reached = int(np.isfinite(mine["after"]).sum())
        efficacies = (number(mine[field].median(), 3) for field in ("old", "efficacy", "efficacy_cold"))
        times = (seconds(mine[field].median()) for field in ("runtime", "runtime_cold", "after", "after_cold"))
        rows.append([str(instance), f"`{label}`", *efficacies, *times, f"{reached} of {len(mine)}"])
    headings = (
        "instance",
        "solver",
        "old permutation",
        "warm",
        "cold",
        "warm ran",
        "cold ran",
        "warm level after",
        "cold there after",
        "level",
    )
    return Table(headings, rows)


def exponents(fits: Mapping[str, Scaling]) -> Table:
    """Fitted powers of columns and rows."""
    rows = [
        [f"`{label}`", fit.what, number(fit.columns_exponent), number(fit.rows_exponent), number(fit.r_squared),
         str(fit.shapes)]
        for label, fit in fits.items()
    ]  # fmt: skip
    return Table(("solver", "time", "exponent of columns", "exponent of rows", "R squared", "shapes"), rows)


def kernels(rows: Iterable[Row]) -> Table:
    """Speed of the exchange kernels beside the machine's limits."""
    cells = [
        [
            f"{row['rows']} x {row['columns']}",
            row["pattern"],
            KERNELS[row["solver"]],
            number(row["speed"] / 1e9, 1),
            number(row["limit"] / 1e9, 1),
            f"{100.0 * row['speed'] / row['limit']:.0f} %",
        ]
        for row in rows
    ]
    return Table(("rows x columns", "pattern", "kernel", "10^9 entries a second", "limit", "share"), cells)


def lossless(frame: pd.DataFrame, labels: Sequence[str]) -> Table:
    """The least share of zeros at which a solver lost nothing, on each matrix, of those that were tried."""
    stems = list(dict.fromkeys(frame["stem"]))
    rows = []
    for label in labels:
        cells = []
        for stem in stems:
            mine = frame[(frame["stem"] == stem) & (frame["label"] == label)]
            found = mine.loc[mine["lost"] == 0.0, "percent"]
            cells.append("-" if found.empty else f"{found.min():g} %")
        rows.append([f"`{label}`", *cells])
    return Table(("solver", *stems), rows)


def failures(frame: pd.DataFrame) -> Table | None:
    """What refused or failed, and an example of why; None when nothing did."""
    failed = frame[frame["failure"].notna()]
    rows = []
    for (label, failure), members in failed.groupby(["label", "failure"]):
        example: dict[str, Any] = members.iloc[0]["error"]
        message = " ".join(example["message"].split())
        shown = message if len(message) <= 140 else message[:140] + "..."
        rows.append([f"`{label}`", failure, str(len(members)), f"{members.iloc[0]['instance']}: {shown}"])
    return Table(("solver", "error", "rows", "for example"), rows) if rows else None
