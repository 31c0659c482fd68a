"""The table at the head of the README, made from the committed rows; needs no pandas."""

import statistics
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from bench.plans.paper import BEST_LABEL
from bench.report.document import Table, markdown_table
from bench.runner import Row, is_error, read_rows
from permsolve.errors import FileFormatError

README = Path(__file__).parents[2] / "README.md"
RESULTS = Path(__file__).parents[1] / "results"
BEGIN, END = "<!-- table: python -m bench readme-table -->", "<!-- end of table -->"


@dataclass(frozen=True, slots=True)
class Line:
    """One line of the table: a matrix, and the best that was published on it.

    Attributes
    ----------
    title : str
        What it is called.
    instances : tuple of str
        What is averaged over.
    published : str
        Efficacy and time from elsewhere, with the machine.
    """

    title: str
    instances: tuple[str, ...]
    published: str


# 128 x 64 is the benchmark of the method's own README; the others are its own code with a compiled inner loop on a
# 2-core machine, best of its settings that finish.
LINES = (
    Line("128 x 64, seed 1", ("uniform-128x64@1",), "36.6 (0.86 s on a V100)"),
    Line("64 x 128, seeds 0-4, mean", tuple(f"uniform-64x128@{seed}" for seed in range(5)), "-"),
    Line("256 x 256, seed 1", ("uniform-256x256@1",), "26.8 (99 s)"),
    Line("512 x 512, seed 1", ("uniform-512x512@1",), "21.0 (17 s)"),
    Line("1024 x 1024, seed 1", ("uniform-1024x1024@1",), "-"),
    Line("2048 x 2048, seed 1", ("uniform-2048x2048@1",), "11.4 (570 s)"),
)
OURS, BASELINE = "auto", BEST_LABEL
HEADINGS = ("random matrix, 2:4", "published, elsewhere", "published method, here", f"permsolve `{OURS}`, here")


def headline_table(results: Path = RESULTS) -> Table:
    """Efficacy in percent, of the published method as published and as run here, and of ``auto``.

    Parameters
    ----------
    results : Path
        Folder of files of rows (``*.jsonl``).

    Raises
    ------
    FileFormatError
        When the folder has no rows of any line.
    """
    rows = [row for path in sorted(results.glob("*.jsonl")) for row in read_rows(path) if not is_error(row)]
    lines = []
    for line in LINES:
        ours = _cell(rows, line.instances, OURS)
        if ours is not None:
            lines.append([line.title, line.published, _cell(rows, line.instances, BASELINE) or "-", f"**{ours}**"])
    if not lines:
        raise FileFormatError(f"{results}: no rows of {OURS} on any matrix of the table")
    return Table(HEADINGS, lines)


def with_table(text: str, table: Table) -> str:
    """A text with the table between its markers.

    Raises
    ------
    FileFormatError
        When the markers are not there, each once.
    """
    if text.count(BEGIN) != 1 or text.count(END) != 1 or text.index(BEGIN) > text.index(END):
        raise FileFormatError(f"the text has no place for the table: it needs the lines {BEGIN} and {END}")
    before, _, rest = text.partition(BEGIN)
    return f"{before}{BEGIN}\n{markdown_table(table)}\n{END}{rest.partition(END)[2]}"


def _cell(rows: Sequence[Row], instances: Sequence[str], label: str) -> str | None:
    """Mean over the instances of the median over seeds, and the time that it took; None when one is missing.

    Of several time limits on the same matrix the longest counts.
    """
    efficacies, seconds, proven = [], [], True
    for instance in instances:
        mine = [row for row in rows if row.get("label") == label and row["instance"] == instance]
        if not mine:
            return None
        longest = max(row["time_limit"] for row in mine)
        mine = [row for row in mine if row["time_limit"] == longest]
        efficacies.append(statistics.median(row["efficacy"] for row in mine))
        seconds.append(statistics.median(row["runtime"] for row in mine))
        proven = proven and all(row["status"] == "OPTIMAL" for row in mine)
    time = statistics.mean(seconds)
    note = f"{time:.1f} s" if time < 10.0 else f"{time:.0f} s"
    return f"{statistics.mean(efficacies):.2f} ({note}{', proven optimal' if proven else ''})"
