"""Running out of memory, in whatever way numpy and torch say it."""

from collections.abc import Iterator
from contextlib import contextmanager

import torch

from permsolve.errors import MemoryLimitError

# What torch says on the CPU, in a RuntimeError.
_SAID = ("can't allocate memory", "not enough memory")


def ran_out(error: BaseException) -> bool:
    """Whether an error is that of running out of memory."""
    if isinstance(error, MemoryError | torch.OutOfMemoryError):
        return True
    return isinstance(error, RuntimeError) and any(text in str(error) for text in _SAID)


@contextmanager
def memory_named(needed: int, layer: str, *, alone: bool = False) -> Iterator[None]:
    """Say of running out of memory how much is needed at a time, and by which layer most, or alone.

    Raises
    ------
    MemoryLimitError
        In the place of what numpy or torch raised.
    """
    try:
        yield
    except (MemoryError, RuntimeError) as error:  # torch.OutOfMemoryError is a RuntimeError
        if not ran_out(error):
            raise
        raise MemoryLimitError(None, needed, layer, alone) from error
