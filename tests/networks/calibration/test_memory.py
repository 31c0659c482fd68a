"""Running out of memory names what helps, and nothing of a calibration stays in the model."""

from collections.abc import Iterator

import pytest
import torch
from torch import Tensor, nn

from permsolve import networks
from permsolve.errors import InvalidOptionError, MemoryLimitError
from permsolve.networks.calibration import sums

SAID = "[enforce fail at alloc_cpu.cpp:119] DefaultCPUAllocator: can't allocate memory: you tried to allocate 8 bytes"


class Drawing(nn.Module):
    """Draws a random number in each call, and fails in the way that it is told."""

    def __init__(self, error: BaseException | None = None) -> None:
        super().__init__()
        self.error, self.a, self.b = error, nn.Linear(4, 4), nn.Linear(4, 6)

    def forward(self, x: Tensor) -> Tensor:
        hidden = self.a(x + torch.rand(()))
        if self.error is not None:
            raise self.error
        outputs: Tensor = self.b(hidden)
        return outputs


def untouched(model: nn.Module) -> None:
    """No hook, no other mode."""
    for module in model.modules():
        assert not module._forward_pre_hooks
        assert not module._forward_hooks
        assert module.training


@pytest.mark.parametrize("error", [MemoryError(), RuntimeError(SAID), torch.OutOfMemoryError("CUDA out of memory")])
def test_memory_for_the_sums(error: BaseException, monkeypatch: pytest.MonkeyPatch) -> None:
    """With an estimate, and the weight that needs most."""

    def fails(*_: object) -> None:
        raise error

    model = Drawing()
    monkeypatch.setattr(sums, "moments_of", fails)
    with pytest.raises(MemoryLimitError, match=r"needs? 384 bytes.*a\.weight.*memory_limit="):
        networks.calibrate(model, [torch.ones(2, 4)])
    untouched(model)


@pytest.mark.parametrize("error", [MemoryError(), RuntimeError(SAID)])
def test_memory_for_the_model(error: BaseException) -> None:
    """The batch is named."""
    model = Drawing(error)
    with pytest.raises(InvalidOptionError, match=r"out of memory.*batch 1.*smaller batches.*memory_limit="):
        networks.calibrate(model, [torch.ones(2, 4)])
    untouched(model)


@pytest.mark.parametrize("error", [None, KeyboardInterrupt(), ValueError("no")])
def test_the_model_and_random_numbers_are_as_they_were(error: BaseException | None) -> None:
    """Whatever ends it."""
    model = Drawing(error)
    torch.manual_seed(3)
    state = torch.get_rng_state()
    if error is None:
        networks.calibrate(model, [torch.ones(2, 4)])
    else:
        with pytest.raises((KeyboardInterrupt, ValueError)):
            networks.calibrate(model, [torch.ones(2, 4)])
    assert torch.equal(torch.get_rng_state(), state)
    untouched(model)


class Hidden:
    """An iterable that hides that it can be read only once; or whose second reading gives nothing."""

    def __init__(self, batches: list[Tensor], empty: bool) -> None:
        self.iterator, self.empty, self.times = iter(batches), empty, 0

    def __iter__(self) -> Iterator[Tensor]:
        self.times += 1
        return iter([]) if self.empty and self.times > 1 else self.iterator


def test_what_can_be_read_once_only() -> None:
    """All of it counts where one pass is enough; otherwise it is refused."""
    x = torch.randn(3, 2, 4)
    model = nn.Sequential(nn.Linear(4, 8), nn.Linear(8, 4))
    assert networks.calibrate(model, Hidden(list(x), False))["0.weight"].samples == 6
    with pytest.raises(InvalidOptionError, match="read only once"):
        networks.calibrate(model, Hidden(list(x), False), memory_limit=800)
    with pytest.raises(InvalidOptionError, match="read again"):
        networks.calibrate(model, Hidden(list(x), True))
