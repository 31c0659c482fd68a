"""``python -m bench micro``."""

from rich.table import Table

from permsolve.cli.console import console

SIZES = ((128, 64), (256, 256), (512, 512), (1024, 1024), (1024, 128))
PATTERNS = ("2:4", "1:2", "4:8")


def micro() -> None:
    """Speed of the two exchange kernels in one thread, beside what one core does without loading from memory.

    The other kernels, each checked against a naive version: pytest bench/micro.
    """
    from bench.micro.arithmetic_limit import arithmetic_limit
    from bench.micro.byte_limit import byte_limit
    from bench.micro.speed import exchange_speed

    limits = arithmetic_limit(), byte_limit()
    table = Table(title="exchange matrix, one core, 10^9 entries per second")
    for heading in (
        "rows x columns",
        "pattern",
        "float32",
        "of its limit",
        "bytes",
        "of their limit",
        "bytes : float32",
    ):
        table.add_column(heading, justify="right")
    for rows, columns in SIZES:
        for pattern in PATTERNS:
            fine, coarse = (exchange_speed(rows, columns, pattern, in_bytes=in_bytes) for in_bytes in (False, True))
            table.add_row(f"{rows} x {columns}", pattern, *_cells(fine, coarse, limits))
    table.add_section()
    table.add_row("limit", "-", *_cells(*limits, limits))
    console().print(table)


def _cells(fine: float, coarse: float, limits: tuple[float, float]) -> tuple[str, ...]:
    speeds = (
        (f"{one / 1e9:.1f}", f"{100 * one / limit:.0f} %") for one, limit in zip((fine, coarse), limits, strict=True)
    )
    return *(cell for pair in speeds for cell in pair), f"{coarse / fine:.1f}"
