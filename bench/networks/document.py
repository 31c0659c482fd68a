"""The report of one-shot pruning as Markdown."""

import statistics
from collections.abc import Sequence

from bench.networks.accuracy import Row

_STATES = (("dense", "not pruned"), ("given", "pruned in the given order"), ("permuted", "permuted, then pruned"))


def markdown(rows: Sequence[Row]) -> str:
    """What was done, a table per network (mean, and in brackets the least and the largest), and every run.

    Parameters
    ----------
    rows : sequence of Row
        Of any networks and seeds.
    """
    parts = ["# One-shot pruning of trained networks\n", _told(rows)]
    for name in dict.fromkeys(row.network for row in rows):
        parts.append(f"## {name}\n\n{_summary([row for row in rows if row.network == name])}")
    return "\n".join([*parts, f"## Every run\n\n{_runs(rows)}"])


def _told(rows: Sequence[Row]) -> str:
    how = sorted({(row.pattern, row.solver, f"{row.time_limit:g}") for row in rows})
    settings = "; ".join(
        f"pattern {pattern}, solver `{solver}`, {seconds} s of search per network" for pattern, solver, seconds in how
    )
    worst = max(row.error for row in rows)
    limits = " ".join(sorted({f"--time-limit {row.time_limit:g}" for row in rows}))
    return (
        f"Made by `python -m bench.networks --data DATA --cache CACHE {limits} --out ROWS --table REPORT`: "
        f"{settings}; nothing is trained after pruning. Layers that read the data are not pruned. Coverage is the "
        "share of the weights of all linear layers and convolutions whose input axis was permuted; outputs before and "
        f"after permuting differ by {worst:.1e} of their largest entry at most (float64). Loss is in nats; loss and "
        "accuracy are those on held-out data.\n"
    )


def _summary(rows: Sequence[Row]) -> str:
    lines = [f"| mean of {len(rows)} trainings (least to largest) | magnitude kept % | accuracy % | loss |", _rule(4)]
    for state, words in _STATES:
        kept = "100" if state == "dense" else _spread([100 * getattr(row, f"kept_{state}") for row in rows], 2)
        accuracy = _spread([100 * getattr(row, f"{state}_accuracy") for row in rows], 1)
        loss = _spread([getattr(row, f"{state}_loss") for row in rows], 3)
        lines.append(f"| {words} | {kept} | {accuracy} | {loss} |")
    return "\n".join(lines) + "\n"


def _runs(rows: Sequence[Row]) -> str:
    lines = [
        "| network | seed | coverage % | seconds | kept %, given -> permuted | accuracy %, dense, given -> permuted "
        "| loss, dense, given -> permuted |",
        _rule(7),
    ]
    for row in rows:
        lines.append(
            f"| {row.network} | {row.seed} | {100 * row.coverage:.1f} | {row.seconds:.0f} "
            f"| {100 * row.kept_given:.2f} -> {100 * row.kept_permuted:.2f} "
            f"| {100 * row.dense_accuracy:.1f}, {100 * row.given_accuracy:.1f} -> {100 * row.permuted_accuracy:.1f} "
            f"| {row.dense_loss:.3f}, {row.given_loss:.3f} -> {row.permuted_loss:.3f} |"
        )
    return "\n".join(lines) + "\n"


def _rule(columns: int) -> str:
    return "|" + "---|" * columns


def _spread(numbers: Sequence[float], digits: int) -> str:
    low, high = min(numbers), max(numbers)
    return f"{statistics.mean(numbers):.{digits}f} ({low:.{digits}f} to {high:.{digits}f})"
