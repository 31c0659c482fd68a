"""Tables of results."""

from collections.abc import Mapping

from rich import box
from rich.console import Group
from rich.table import Table

from permsolve.cli.text import amount, printable
from permsolve.lossless import LosslessStudy
from permsolve.result import Result


def result_table(name: str, result: Result) -> Group:
    """One result, a property per line."""
    table = Table(box=box.SIMPLE, show_header=False)
    table.add_column(style="bold")
    table.add_column(justify="right")
    gained = result.value - result.baseline
    relative = 100.0 * gained / result.baseline if result.baseline > 0.0 else 0.0
    rows = {
        "kept before": amount(result.baseline),
        "kept after": f"{amount(result.value)}  (+{relative:.3f} %)",
        "row bound": amount(result.row_bound),
        "efficacy": f"{result.efficacy:.2f} %",
        "gap to bound": f"{100.0 * result.gap:.3f} %",
        "time": f"{result.runtime:.2f} s",
        "solver": f"{result.solver} (seed {result.seed}, {result.workers} workers)",
        "status": f"{result.status} ({result.stop_reason})",
        **result.notes,
    }
    for label, value in rows.items():
        table.add_row(label, value)
    return Group(f"{printable(name)}: {result.columns} columns, {result.pattern}", table)


def results_table(results: Mapping[str, Result]) -> Table:
    """Several results, one per line."""
    table = Table(box=box.SIMPLE, padding=(0, 1, 0, 0), title="saliency kept")
    table.add_column("tensor", overflow="fold")
    for heading in ("before", "after", "row bound", "efficacy", "time", "status"):
        table.add_column(heading, justify="right", no_wrap=True)
    for name, result in results.items():
        table.add_row(  # six digits: eighty columns have room for no more beside a name
            printable(name),
            f"{result.baseline:.6g}",
            f"{result.value:.6g}",
            f"{result.row_bound:.6g}",
            f"{result.efficacy:.2f} %",
            f"{result.runtime:.1f} s",
            str(result.status),
        )
    return table


def lossless_table(name: str, study: LosslessStudy) -> Group:
    """What was tried, by sparsity, and what came of it."""
    table = Table(box=box.SIMPLE)
    for heading in ("zeros", "nonzeros kept", "time", ""):
        table.add_column(heading, justify="right", no_wrap=True)
    for trial in study.trials:
        verdict = "lossless" if trial.lossless else "impossible, proven" if trial.impossible else "not found"
        kept = f"{100.0 * trial.kept:.4f} %"
        table.add_row(f"{100.0 * trial.sparsity:.2f} %", kept, f"{trial.seconds:.2f} s", verdict)
    title = f"{printable(name)}: {study.pattern} drops no nonzero from {100.0 * study.sparsity:.2f} % zeros on"
    caption = (
        f"in the given order: from {100.0 * study.given:.2f} % on; below {100.0 * study.lower:.2f} %: proven impossible"
    )
    if study.lower < study.sparsity:
        caption += f"; between: {study.solver} found nothing, which is no proof"
    return Group(title, table, caption)
