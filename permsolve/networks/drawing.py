"""A picture of the axes of a network: a row per tensor, a box per axis, a colour per group."""

from html import escape

from permsolve.networks.spec import Spec

_ROW, _BOX, _GAP, _LEFT = 22, 150, 8, 330


def svg(spec: Spec) -> str:
    """The picture as text of an .svg file; what is grey stays in its order."""
    colours = {group.name: f"hsl({(number * 137) % 360} 65% 72%)" for number, group in enumerate(spec.groups)}
    rows = []
    for number, (name, shape) in enumerate(spec.shapes.items()):
        y = 30 + number * _ROW
        rows.append(f'<text x="{_LEFT - 10}" y="{y + 13}" text-anchor="end">{escape(name)}</text>')
        for axis, length in enumerate(shape):
            x = _LEFT + axis * (_BOX + _GAP)
            rows.append(f'<rect x="{x}" y="{y}" width="{_BOX}" height="17" fill="#ddd"/>')
            rows += _boxes(spec, colours, name, axis, length, x, y)
    width = _LEFT + max((len(shape) for shape in spec.shapes.values()), default=1) * (_BOX + _GAP) + 10
    height = 40 + len(spec.shapes) * _ROW
    title = f"{len(spec.groups)} axis groups; equal colours move together, grey stays"
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" width="{width}" height="{height}" '
        f'font-family="sans-serif" font-size="11">\n'
        f'<rect width="100%" height="100%" fill="white"/>\n<text x="10" y="18" font-size="13">{title}</text>\n'
        + "\n".join(rows)
        + "\n</svg>\n"
    )


def _boxes(spec: Spec, colours: dict[str, str], name: str, axis: int, length: int, x: int, y: int) -> list[str]:
    """The parts of an axis that belong to groups, from the first to the last position of each."""
    found = []
    for group in spec.groups:
        for use in group.uses:
            if (use.name, use.axis) == (name, axis):
                start, end = int(use.positions.min()), int(use.positions.max()) + 1
                left, width = x + _BOX * start / length, max(1.0, _BOX * (end - start) / length)
                found.append(
                    f'<rect x="{left:.1f}" y="{y}" width="{width:.1f}" height="17" fill="{colours[group.name]}">'
                    f"<title>{escape(name)} axis {axis}: {escape(group.name)}, {group.size} channels</title></rect>"
                )
                if width > 30:
                    found.append(f'<text x="{left + 4:.1f}" y="{y + 13}">{escape(group.name)} x{group.size}</text>')
    return found
