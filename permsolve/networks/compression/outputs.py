"""By how much the outputs of a model have changed."""

from collections.abc import Iterator, Sequence

from torch import Tensor, nn

from permsolve.errors import InvalidOptionError
from permsolve.networks.differences import leaves, reals
from permsolve.networks.trace.calls import ExampleInputs
from permsolve.networks.trace.export import called


def real_outputs(model: nn.Module, example_inputs: ExampleInputs) -> list[Tensor]:
    """All outputs of floating point, in float64.

    Raises
    ------
    InvalidOptionError
        When there are none.
    """
    output = called(model, example_inputs)
    parts = output if isinstance(output, list) else [output]
    found = [reals(leaf) for part in parts for leaf in leaves(part) if leaf is not None and _is_real(leaf)]
    if not found:
        raise InvalidOptionError("the model returns no tensor of floating point that could be compared")
    return found


def _is_real(leaf: Tensor) -> bool:
    return leaf.is_floating_point() or leaf.is_complex()


def relative_change(before: Sequence[Tensor], after: Sequence[Tensor]) -> tuple[float | None, str | None]:
    """Mean square of the change of what is finite before and after, as a share of theirs, and what was left out.

    The change is None where nothing can be compared: shapes differ, nothing is finite, or all was zero and is not.
    """
    if any(one.shape != other.shape for one, other in zip(before, after, strict=True)):
        return None, None
    lost = sum(int((one.isfinite() != other.isfinite()).sum()) for one, other in zip(before, after, strict=True))
    note = f"{lost} entries are finite either before or after, but not both: left out of output_error" if lost else None
    pairs = list(_finite(before, after))
    largest = max((float(part.abs().max()) for pair in pairs for part in pair if part.numel()), default=0.0)
    if largest == 0.0:
        return (0.0 if any(one.numel() for one, _ in pairs) else None), note
    whole = sum(float((one / largest).square().sum()) for one, _ in pairs)
    change = sum(float((one / largest - other / largest).square().sum()) for one, other in pairs)
    return (change / whole if whole else None), note


def _finite(before: Sequence[Tensor], after: Sequence[Tensor]) -> Iterator[tuple[Tensor, Tensor]]:
    for one, other in zip(before, after, strict=True):
        both = one.isfinite() & other.isfinite()
        yield one[both], other[both]
