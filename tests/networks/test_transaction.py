"""What undoes changes of a model, where that itself goes wrong."""

import pytest
import torch
from torch import Tensor, nn

from permsolve import networks
from permsolve.errors import InvalidNetworkError, InvalidProblemError
from permsolve.networks.transaction import transaction


class FailsOnceError(RuntimeError):
    """Comes at the first try only."""


def test_what_could_not_be_undone_in_between_is_undone_in_the_end() -> None:
    """It stays noted."""
    tensor, tries = torch.arange(4.0), 0

    def back(new: Tensor) -> Tensor:
        nonlocal tries
        tries += 1
        if tries == 1:
            raise FailsOnceError
        return new.roll(-1)

    with pytest.raises(FailsOnceError), transaction() as changes:  # noqa: PT012
        changes.write(tensor, lambda old: old.roll(1), back)
        changes.undo()
    assert torch.equal(tensor, torch.arange(4.0))


class Complex(nn.Linear):
    """A layer with a complex weight."""

    def __init__(self) -> None:
        super().__init__(8, 8, bias=False)
        self.weight = nn.Parameter(torch.randn(8, 8, dtype=torch.complex64))

    def forward(self, x: Tensor) -> Tensor:
        """The absolute values."""
        return nn.functional.linear(x.to(torch.complex64), self.weight).abs()


def test_complex_weights_are_refused_by_name() -> None:
    """By all that prunes; a calibration leaves them out."""
    model, x = nn.Sequential(nn.Linear(8, 8), Complex()).eval(), torch.randn(4, 8)
    for change in (
        lambda: networks.prune_(model),
        lambda: networks.prune_(model, saliency="obs", update="exchange", batches=[x]),
        lambda: networks.compress_(model, x, calibration=[x]),
    ):
        with pytest.raises(
            InvalidProblemError, match=r"1\.weight: a weight must hold real numbers, got torch\.complex64"
        ):
            change()
    assert list(networks.calibrate(model, [x])) == ["0.weight"]


@pytest.mark.filterwarnings("ignore:Sparse CSR")
def test_a_trace_of_a_compressed_sparse_parameter_is_refused() -> None:
    """It would end the process."""
    last = nn.Linear(8, 8)
    last.weight = nn.Parameter(last.weight.detach().to_sparse_csr())
    model = nn.Sequential(nn.Linear(8, 8), last)
    with pytest.raises(InvalidNetworkError, match=r"1\.weight is sparse \(torch\.sparse_csr\)"):
        networks.permute_(model, torch.randn(4, 8))
