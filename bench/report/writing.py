"""Putting the report together."""

from collections import Counter
from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import IO

import pandas as pd

from bench.best_known import load
from bench.plans import KERNEL
from bench.report import figures, tables
from bench.report.document import Figure, Section, Table, to_html, to_markdown
from bench.report.scores import lossless_study, measurements, ranking
from bench.report.statistics import NEAR, scaling, widely_run
from bench.runner import Row, is_error, read_rows, read_runs
from permsolve.errors import FileFormatError
from permsolve.io.writing import atomic_write


def write(runs: Sequence[Path], folder: Path) -> Path:
    """See :func:`bench.report.write_report`."""
    rows = [row for path in runs for row in read_rows(path)]
    frame = measurements(rows, {name: entry.value for name, entry in load().items()})
    if frame.empty:
        raise FileFormatError(f"{', '.join(map(str, runs))}: no rows of any solver: run a plan first")
    folder.mkdir(parents=True, exist_ok=True)
    labels = ranking(frame)
    look = figures.styles(labels)
    headers = [header for path in runs for header in read_runs(path)]
    study = lossless_study(frame)
    plain = frame.drop(study.index)
    sections = [Section("Solver comparison", [_about(headers, frame)], 1)]
    if len(plain):
        sections += _comparison(plain, labels, look, folder)
    sections += _warm(plain)
    sections += _lossless(study, labels, look, folder) if len(study) else []
    sections += _kernels([row for row in rows if row["kind"] == KERNEL and not is_error(row)], folder)
    failed = tables.failures(frame)
    if failed is not None:
        sections.append(Section("What refused or failed", [failed]))
    sections.append(_how(headers, rows, frame))
    page = folder / "report.html"
    texts = {folder / "report.md": to_markdown(sections), page: to_html("permsolve: solver comparison", sections)}
    for path, text in texts.items():
        atomic_write(path, partial(_put, text.encode()))
    return page


def _put(data: bytes, stream: IO[bytes]) -> None:
    stream.write(data)


def _about(headers: Sequence[Row], frame: pd.DataFrame) -> str:
    plans = " and ".join(f"`{plan}`" for plan in dict.fromkeys(header["plan"] for header in headers)) or "unnamed"
    return (
        f"Plan {plans}: {frame['label'].nunique()} solvers on {frame['instance'].nunique()} instances, {len(frame)} "
        "runs. Efficacy is the field's measure (Pool & Yu 2021): 0 is the given order, 100 is every row pruned freely, "
        "which no permutation reaches in general. The gap to the best known is relative to the kept magnitude. "
        "Solvers stand in order of their mean gap, a missing result counting as all lost."
    )


def _comparison(frame: pd.DataFrame, labels: Sequence[str], look: figures.Styles, folder: Path) -> list[Section]:
    solved = frame[frame["value"].notna()]
    shown = [label for label in labels if label in set(frame["label"])]
    sections = [Section("All solvers", [tables.summary(frame, shown)])]
    if figures.gaps(frame, shown, folder / "gaps.png"):
        caption = "Median points of efficacy below the best known value; a dash where there is no result."
        sections[0] = Section("All solvers", [*sections[0].blocks, Figure(folder / "gaps.png", caption)])
    if figures.anytime(solved, look, folder / "anytime.png"):
        caption = (
            "Anytime curves: median points of efficacy below the best known value against time; what is below "
            f"{figures.FLOOR} is drawn at {figures.FLOOR}. The widest groups of instances.{_not_drawn(shown, look)}"
        )
        sections.append(Section("Against time", [Figure(folder / "anytime.png", caption)]))
    compared = {label: style for label, style in look.items() if label in widely_run(frame)}
    drawn = frame[frame["label"].isin(compared)]
    if len(compared) > 1 and figures.profiles(drawn, compared, folder / "profiles.png"):
        caption = (
            "Performance profiles (Dolan & Moré 2002): the share of runs, of those made with every solver here, on "
            "which one is within a factor of the best; left of the magnitude lost against the row bound, in percent "
            f"beyond the least, right of the time to {100 * NEAR:.0f} % of the best known gain. Runs without a result "
            f"count as infinitely bad.{_not_drawn(shown, compared)}"
        )
        sections.append(Section("Performance profiles", [Figure(folder / "profiles.png", caption)]))
    proven = tables.proofs(frame)
    if proven is not None:
        text = (
            "Counted as optimal only when proven. Each proof was checked in plain numpy; where it was too large to be "
            "checked as a whole, prices were sampled and the time has a (*)."
        )
        sections.append(Section("Proven optima", [text, proven]))
    sections += _scaling(frame, shown, look, folder)
    sections.append(Section("Results by instance", []))
    sizes = frame.groupby("group")["columns"].max().sort_values(kind="stable")
    for group in sizes.index:
        members = frame[frame["group"] == group]
        sections.append(Section(str(group), [_what(members), tables.finals(members, shown)], 3))
    return sections


def _scaling(frame: pd.DataFrame, labels: Sequence[str], look: figures.Styles, folder: Path) -> list[Section]:
    fits = {label: fit for label in labels if (fit := scaling(frame, label)) is not None}
    if not fits:
        return []
    text = (
        "Fitted to the logarithms over uniform matrices at 2:4. A solver that always ended by itself is timed "
        f"to its end; one that was stopped, to {100 * NEAR:.0f} % of what it gained in its budget, which grows with "
        "the size in steps."
    )
    blocks: list[str | Table | Figure] = [text, tables.exponents(fits)]
    if figures.scaling(frame, fits, look, folder / "scaling.png"):
        caption = (
            "Square matrices: measured, and the fit over all shapes, where it explains at least "
            f"{100 * figures.LEAST_R_SQUARED:.0f} % of the variance."
        )
        blocks.append(Figure(folder / "scaling.png", caption))
    return [Section("Scaling", blocks)]


def _not_drawn(labels: Sequence[str], drawn: figures.Styles) -> str:
    rest = [label for label in labels if label not in drawn]
    return f" Not drawn, for clarity: {', '.join(rest)}." if rest else ""


def _what(members: pd.DataFrame) -> str:
    """Which matrices and seeds a table is about."""
    names = list(dict.fromkeys(members["instance"]))
    listed = ", ".join(f"`{name}`" for name in names[:6]) + (f" and {len(names) - 6} more" if len(names) > 6 else "")
    limits = ", ".join(f"{limit:g}" for limit in sorted(set(members["time_limit"].dropna()))[:4])
    seeds = members["seed"].nunique()
    return f"{listed}; {seeds} seed{'s' if seeds > 1 else ''} of each solver; time limit {limits} s."


def _warm(frame: pd.DataFrame) -> list[Section]:
    table = tables.warm_starts(frame)
    if table is None:
        return []
    text = (
        "A weight that has changed a little, as in training: what the permutation found for the old weight is worth "
        "on the new one, what a search reaches from there in its time, and what one from the given order does in its "
        "own. Efficacy in percent, and when the warm start was level with what the cold one had in the end; medians "
        "over seeds, `-` where most warm starts never were."
    )
    return [Section("Warm starts", [text, table])]


def _lossless(study: pd.DataFrame, labels: Sequence[str], look: figures.Styles, folder: Path) -> list[Section]:
    shown = [label for label in labels if label in set(study["label"])]
    figures.lossless(study, {label: look[label] for label in shown if label in look}, folder / "lossless.png")
    text = (
        "How sparse must a matrix be, its smallest entries zero, for a permutation to make it N:M without dropping a "
        "nonzero (Pool & Yu 2021, figure 4)? The least share of zeros, of those tried, at which a solver lost nothing; "
        "that it lost something below is no proof that it must."
    )
    caption = "Magnitude lost against the share of zeros; 0 is lossless."
    return [Section("Lossless", [text, tables.lossless(study, shown), Figure(folder / "lossless.png", caption)])]


def _kernels(rows: Sequence[Row], folder: Path) -> list[Section]:
    if not figures.kernels(rows, folder / "kernels.png"):
        return []
    text = (
        "The exchange matrix, on which most searches live, in one thread: of the saliency in float32, where an entry "
        "is a maximum and an addition, and of a coarse one in bytes, where it is an absolute difference and an "
        "addition. The limits are what one core does on vectors held in registers and, in bytes, in its nearest cache."
    )
    caption = "Exchange kernels: 10^9 entries per second, and the share of the machine's limit."
    return [Section("Kernels", [text, tables.kernels(rows), Figure(folder / "kernels.png", caption)])]


def _how(headers: Sequence[Row], rows: Sequence[Row], frame: pd.DataFrame) -> Section:
    """Rules, machines, revisions, versions and the exact commands."""
    solved = [row for row in frame.to_dict("records") if not is_error(row)]
    machines = Counter("; ".join(f"{key} {value}" for key, value in row["machine"].items()) for row in rows)
    revisions = Counter(row["revision"] for row in rows)
    versions = Counter(f"{name} {version}" for row in solved for name, version in row["versions"].items())
    sampled = sum(bool(row["unchecked"]) for row in solved)
    peak = max((row["memory_peak"] for row in solved), default=0.0)
    workers = ", ".join(str(count) for count in sorted(set(frame["workers"])))
    blocks: list[str | Table | Figure] = [
        "Every solver has the same time on an instance, measured from the moment at which the problem is in memory. "
        "Compiling and loading kernels is not counted: before the clock starts, each solver runs for a moment on a "
        "tiny problem of the same type and pattern.",
        "Every value is computed anew from the weight by code that shares nothing with the solvers, and every result "
        "is checked by `permsolve.verify` (permutation, value, bound, certificate); a result that does not hold is a "
        f"failed row. {sampled} of {len(solved)} results have a proof that was sampled instead of checked as a whole.",
        f"Threads of each solver: {workers}. Largest memory of one measuring process: {peak / 2**20:.0f} MiB.",
        Table(("machine", "rows"), [[name, str(count)] for name, count in machines.items()]),
        Table(("revision", "rows"), [[f"`{name}`", str(count)] for name, count in revisions.items()]),
        f"Versions: {', '.join(sorted(versions))}.",
    ]
    if headers:
        commands = [
            [f"`{header['command']}`", header["executor"], str(header["jobs"]), str(header["tasks"]), header["started"]]
            for header in headers
        ]
        blocks.append(Table(("command", "executor", "at a time", "left to run", "started"), commands))
    return Section("How it was measured", blocks)
