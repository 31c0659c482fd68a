"""Reports as text: Markdown and HTML; and the table of the README."""

import json
import re
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from bench.cli import app
from bench.plans import Task
from bench.report.document import Figure, Section, Table, to_html, to_markdown
from bench.report.headline import BASELINE, BEGIN, END, README, headline_table, with_table
from bench.runner.row import base_row
from permsolve.errors import FileFormatError

PIXEL = bytes.fromhex("89504e470d0a1a0a")


@pytest.fixture
def sections(tmp_path: Path) -> list[Section]:
    """One of each."""
    (tmp_path / "a.png").write_bytes(PIXEL)
    table = Table(("a|b", "c"), [["`x<y`", "1"], ["**2**", "&"]])
    return [Section("Title & more", ["Plain `code <1>`.", table, Figure(tmp_path / "a.png", 'a "caption"')], 1)]


def test_markdown(sections: list[Section]) -> None:
    """Headings, tables with a first column to the left, pictures by name."""
    text = to_markdown(sections)
    assert text.startswith("# Title & more\n\nPlain `code <1>`.\n\n| a\\|b | c |\n| :--- | ---: |\n| `x<y` | 1 |\n")
    assert '![a "caption"](a.png)' in text


def test_html_needs_no_other_file(sections: list[Section]) -> None:
    """Everything is escaped, the picture is inside, nothing is fetched."""
    page = to_html("A & B", sections)
    assert "<h1>Title &amp; more</h1>" in page
    assert "<code>code &lt;1&gt;</code>" in page
    assert "<td><strong>2</strong></td><td>&amp;</td>" in page
    assert re.findall(r'src="([^"]{0,30})', page) == ["data:image/png;base64,iVBORw0K"]
    assert "http" not in page


def _row(
    instance: str, label: str, efficacy: float, time_limit: float = 10.0, status: str = "FEASIBLE"
) -> dict[str, Any]:
    row = base_row(Task(instance, label, time_limit, seed=int(efficacy * 100)))
    return row | {"efficacy": efficacy, "runtime": time_limit, "status": status}


def _write(folder: Path, rows: list[dict[str, Any]]) -> None:
    (folder / "rows.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))


def test_headline_table(tmp_path: Path) -> None:
    """Medians over seeds at the longest time limit, means over instances, dashes, optimality only when proven."""
    rows = [
        _row("uniform-128x64@1", "auto", 39.2594, 5.0, "OPTIMAL"),
        *(_row("uniform-256x256@1", "auto", value) for value in (30.0, 32.0, 31.0)),
        _row("uniform-256x256@1", "auto", 99.0, time_limit=1.0),
        _row("uniform-256x256@1", BASELINE, 28.0, time_limit=20.0),
        *(_row(f"uniform-64x128@{seed}", "auto", 50.0 + seed) for seed in range(5)),
        *(_row(f"uniform-64x128@{seed}", BASELINE, 40.0) for seed in range(4)),
    ]
    _write(tmp_path, rows)
    cells = [line[2:] for line in headline_table(tmp_path).rows]
    assert cells == [
        ["-", "**39.26 (5.0 s, proven optimal)**"],
        ["-", "**52.00 (10 s)**"],
        ["28.00 (20 s)", "**31.00 (10 s)**"],
    ]
    with pytest.raises(FileFormatError, match="no rows"):
        headline_table(tmp_path / "none")


def test_table_between_markers(tmp_path: Path) -> None:
    """Only what is between them changes; the command checks, and writes."""
    _write(tmp_path, [_row("uniform-128x64@1", "auto", 39.0)])
    table = headline_table(tmp_path)
    text = f"before\n{BEGIN}\nold\n{END}\nafter\n"
    assert with_table(text, table) == with_table(with_table(text, table), table)
    assert re.fullmatch(f"before\n{BEGIN}\n[^^]*39.00[^^]*\n{END}\nafter\n", with_table(text, table))
    for broken in ("", BEGIN, f"{END}{BEGIN}", f"{BEGIN}{BEGIN}{END}"):
        with pytest.raises(FileFormatError, match="no place for the table"):
            with_table(broken, table)
    readme = tmp_path / "README.md"
    readme.write_text(text)
    arguments = ["readme-table", "--results", str(tmp_path), "--readme", str(readme)]
    assert CliRunner().invoke(app, [*arguments, "--check"]).exit_code == 1
    assert readme.read_text() == text
    assert CliRunner().invoke(app, arguments).exit_code == 0
    assert CliRunner().invoke(app, [*arguments, "--check"]).exit_code == 0


def test_the_readme_says_what_the_committed_rows_say() -> None:
    """The table is made by a command, not typed."""
    text = README.read_text(encoding="utf-8")
    assert with_table(text, headline_table()) == text
