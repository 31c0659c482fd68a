"""Reports of runs: Markdown, pictures, one HTML page."""

from pathlib import Path


def write_report(runs: list[Path], folder: Path) -> Path:
    """Write ``report.md``, its pictures and ``report.html`` into a folder.

    Parameters
    ----------
    runs : list of Path
        Files of rows.
    folder : Path
        Made when missing.

    Returns
    -------
    Path
        The HTML page.

    Raises
    ------
    FileFormatError, OSError
        When a file is no run, or holds no rows.
    """
    # The headline table needs neither pandas nor matplotlib; this does.
    from bench.report.writing import write

    return write(runs, folder)
