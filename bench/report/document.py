"""A report as data: sections of text, tables and figures, written as Markdown and as one HTML page."""

import base64
import html
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

_STYLE = """
body { font: 15px/1.5 system-ui, sans-serif; color: #1b1f24; max-width: 1080px; margin: 2rem auto; padding: 0 1rem; }
table { border-collapse: collapse; margin: 0.8rem 0; font-size: 13px; font-variant-numeric: tabular-nums; }
th, td { border-bottom: 1px solid #d8dee4; padding: 3px 10px; text-align: right; }
th:first-child, td:first-child { text-align: left; }
thead th { border-bottom: 2px solid #57606a; }
tbody tr:hover { background: #f3f6f9; }
img { max-width: 100%; }
code { background: #f3f6f9; padding: 1px 4px; border-radius: 3px; }
h2 { margin-top: 2.2rem; border-bottom: 1px solid #d8dee4; }
"""


@dataclass(frozen=True, slots=True)
class Table:
    """Headings and rows of text."""

    headings: Sequence[str]
    rows: Sequence[Sequence[str]]


@dataclass(frozen=True, slots=True)
class Figure:
    """A picture beside the report."""

    path: Path
    caption: str


@dataclass(frozen=True, slots=True)
class Section:
    """A title, of a level, and what stands below it."""

    title: str
    blocks: Sequence[str | Table | Figure]
    level: int = 2


def markdown_table(table: Table) -> str:
    """A table in Markdown, the first column to the left, the others to the right."""
    rules = [":---", *("---:" for _ in table.headings[1:])]
    lines = [table.headings, rules, *table.rows]
    return "\n".join(f"| {' | '.join(cell.replace('|', chr(92) + '|') for cell in line)} |" for line in lines)


def to_markdown(sections: Sequence[Section]) -> str:
    """The report in Markdown; pictures are files beside it."""
    parts: list[str] = []
    for section in sections:
        parts.append(f"{'#' * section.level} {section.title}")
        for block in section.blocks:
            if isinstance(block, Table):
                parts.append(markdown_table(block))
            elif isinstance(block, Figure):
                parts.append(f"![{block.caption}]({block.path.name})\n\n*{block.caption}*")
            else:
                parts.append(block)
    return "\n\n".join(parts) + "\n"


def to_html(title: str, sections: Sequence[Section]) -> str:
    """The report as one page that needs no other file."""
    body: list[str] = []
    for section in sections:
        body.append(f"<h{section.level}>{_inline(section.title)}</h{section.level}>")
        body += [_block(block) for block in section.blocks]
    return (
        f'<!doctype html>\n<html lang="en">\n<head><meta charset="utf-8"><title>{html.escape(title)}</title>'
        f"<style>{_STYLE}</style></head>\n<body>\n" + "\n".join(body) + "\n</body>\n</html>\n"
    )


def _block(block: str | Table | Figure) -> str:
    if isinstance(block, Table):
        head = "".join(f"<th>{_inline(cell)}</th>" for cell in block.headings)
        rows = "".join("<tr>" + "".join(f"<td>{_inline(cell)}</td>" for cell in row) + "</tr>\n" for row in block.rows)
        return f"<table>\n<thead><tr>{head}</tr></thead>\n<tbody>\n{rows}</tbody>\n</table>"
    if isinstance(block, Figure):
        data = base64.b64encode(block.path.read_bytes()).decode()
        caption = html.escape(block.caption, quote=True)
        return f'<p><img alt="{caption}" src="data:image/png;base64,{data}"><br><em>{caption}</em></p>'
    return f"<p>{_inline(block)}</p>"


def _inline(text: str) -> str:
    """Text with `code` and **bold**, the only Markdown that the report's own text has."""
    parts = html.escape(text).split("`")
    marked = "".join(f"<code>{part}</code>" if place % 2 else part for place, part in enumerate(parts))
    pieces = marked.split("**")
    return "".join(f"<strong>{piece}</strong>" if place % 2 else piece for place, piece in enumerate(pieces))
