"""How many seconds a solver gets, by the size of the instance: the same for every solver."""

from bench.instances import Instance

# (most columns, seconds); the last holds for all that is wider.
_CLASSES = ((32, 1.0), (64, 3.0), (128, 5.0), (256, 10.0), (512, 20.0), (1 << 62, 60.0))


def by_columns(instance: Instance) -> float:
    """1 s up to 32 columns, 3 up to 64, 5 up to 128, 10 up to 256, 20 up to 512, 60 beyond."""
    return next(seconds for columns, seconds in _CLASSES if instance.columns <= columns)
