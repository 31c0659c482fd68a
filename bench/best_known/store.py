"""The file of best known values, and how rows improve it."""

import json
from collections.abc import Iterable, Mapping
from dataclasses import asdict
from pathlib import Path

from bench.best_known.entry import Entry, WrongEntryError, check_entry
from bench.instances.trained import DIGITS
from bench.plans import SOLVE
from bench.runner import Row, is_error
from bench.runner.rescoring import TOLERANCE
from permsolve.io.writing import atomic_write

FORMAT = 1
DEFAULT_PATH = Path(__file__).parent / "best_known.json"


def load(path: Path = DEFAULT_PATH) -> dict[str, Entry]:
    """The entries by instance; none when there is no file yet. :func:`check_entry` tells whether they hold.

    Raises
    ------
    WrongEntryError
        When the file is no such file.
    """
    if not path.is_file():
        return {}
    try:
        document = json.loads(path.read_text(encoding="utf-8"))
        if document["format"] != FORMAT:
            raise ValueError(f"format {document['format']!r} is not {FORMAT}")
        return {name: Entry(**fields) for name, fields in document["entries"].items()}
    except (ValueError, KeyError, TypeError, AttributeError) as error:  # json's own error is a ValueError
        raise WrongEntryError(f"{path}: not a file of best known values ({error})") from error


def save(entries: Mapping[str, Entry], path: Path = DEFAULT_PATH) -> None:
    """Write the entries, one a line and in order, so that a change of the file shows what changed."""
    lines = [f"{json.dumps(name)}: {json.dumps(asdict(entries[name]))}" for name in sorted(entries)]
    text = f'{{"format": {FORMAT}, "entries": {{\n' + ",\n".join(lines) + "\n}}\n"
    atomic_write(path, lambda stream: stream.write(text.encode()))


def improved(entries: Mapping[str, Entry], rows: Iterable[Row]) -> dict[str, Entry]:
    """The entries with what rows found better, or proved, each checked before it is taken.

    Only instances that anyone can make from their name count: neither users' files, nor networks whose training may
    differ between machines, nor the steps of the lossless study.

    Raises
    ------
    WrongEntryError
        When a row does not hold, or is better than what is said to be optimal.
    """
    better = dict(entries)
    for row in rows:
        if row["kind"] != SOLVE or is_error(row) or not _reproducible(row):
            continue
        name, found = row["instance"], Entry.of_row(row)
        known = better.get(name)
        ahead = known is None or found.value > known.value * (1.0 + TOLERANCE)
        if known is not None and ahead and known.proven:
            raise WrongEntryError(
                f"{name}: {found.solver} keeps {found.value!r}, more than the optimum {known.value!r}"
            )
        if found.proven and known is not None and not ahead and found.value < known.value * (1.0 - TOLERANCE):
            raise WrongEntryError(f"{name}: {found.solver} calls {found.value!r} optimal, {known.value!r} is known")
        proves = known is not None and found.proven and not known.proven
        if ahead or proves:
            check_entry(name, found)
            better[name] = found
    return better


def _reproducible(row: Row) -> bool:
    name = row["instance"].partition("+")[0]
    return "~" not in name and (name == DIGITS or row["family"] not in ("file", "trained"))
