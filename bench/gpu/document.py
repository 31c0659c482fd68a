"""Rows of any kind as Markdown tables."""

from collections.abc import Mapping, Sequence
from dataclasses import asdict
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from _typeshed import DataclassInstance

TITLES = {
    "ExchangeRow": "The exchange matrix",
    "SearchRow": "Time to a local optimum",
    "AxisRow": "All axes of a network",
    "BlockRow": "Modules, dense, masked and sparse",
    "HostRow": "Time to a local optimum without the GPU's part",
}


def markdown(machine: Mapping[str, str], rows: Sequence["DataclassInstance"], command: str) -> str:
    """Machine and command, and a table for each kind of row.

    Parameters
    ----------
    machine : mapping
        As :func:`bench.gpu.machine.gpu` says.
    rows : sequence of dataclass instances
        Of the kinds in ``TITLES``.
    command : str
        What makes them.
    """
    told = ", ".join(f"{name} {value}" for name, value in machine.items())
    parts = [f"# Search and layers on a GPU\n\nMeasured on {told}, by `{command}`.\n"]
    for kind, title in TITLES.items():
        chosen = [asdict(row) for row in rows if type(row).__name__ == kind]
        if chosen:
            names = list(chosen[0])
            lines = [names, ["---:"] * len(names), *([_cell(row[name]) for name in names] for row in chosen)]
            table = "\n".join(f"| {' | '.join(line)} |" for line in lines)
            parts.append(f"## {title}\n\n{table}\n")
    return "\n".join(parts)


def _cell(value: Any) -> str:
    if value is None:
        return "-"
    return f"{value:.4g}" if isinstance(value, float) else str(value)
