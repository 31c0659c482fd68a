"""``python -m bench micro``."""

from rich.console import Console
from rich.table import Table

SIZES = ((128, 64), (256, 256), (512, 512), (1024, 1024), (1024, 128))
PATTERNS = ("2:4", "1:2", "4:8")


def micro() -> None:
    """Speed of the exchange kernel in one thread, beside what one core can do without loading anything.

    The other kernels, each checked against a naive version: pytest bench/micro.
    """
    from bench.micro.arithmetic_limit import arithmetic_limit
    from bench.micro.speed import exchange_speed

    limit = arithmetic_limit()
    table = Table(title="exchange matrix, one core, 10^9 maxima-and-additions per second")
    for heading in ("rows x columns", "pattern", "speed", "share of the limit"):
        table.add_column(heading, justify="right")
    for rows, columns in SIZES:
        for pattern in PATTERNS:
            speed = exchange_speed(rows, columns, pattern)
            table.add_row(f"{rows} x {columns}", pattern, f"{speed / 1e9:.1f}", f"{100 * speed / limit:.0f} %")
    table.add_section()
    table.add_row("in registers", "-", f"{limit / 1e9:.1f}", "100 %")
    Console().print(table)
