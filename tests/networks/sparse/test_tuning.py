"""The choice among cuSPARSELt's algorithms, with times that are given."""

from collections.abc import Callable

import pytest
import torch
from torch import Tensor
from torch.sparse import SparseSemiStructuredTensorCUSPARSELT, SparseSemiStructuredTensorCUTLASS

from permsolve.networks.sparse import hardware
from permsolve.networks.sparse.hardware import Cuda

pytestmark = pytest.mark.filterwarnings("ignore:The PyTorch API of SparseSemiStructuredTensor")


class Timed(Cuda):
    """A call returns its milliseconds, or raises."""

    def milliseconds(self, call: Callable[[], object], calls: int = 0, budget: float = 0.0) -> float:
        """What the call says."""
        return float(call())  # type: ignore[arg-type]


def packed(rows: int = 32) -> Tensor:
    """A packed matrix of zeros; torch multiplies it on a GPU only."""
    values = torch.zeros(rows * 64 * 9 // 16, dtype=torch.float16)
    return SparseSemiStructuredTensorCUSPARSELT(
        torch.Size([rows, 64]), values, None, None, None, None, requires_grad=False
    )


def timing(times: dict[int, float], asked: list[int]) -> Callable[[Tensor], Callable[[], float]]:
    """Calls by the number of the algorithm; what has no time is refused."""

    def call(weight: Tensor) -> Callable[[], float]:
        number: int = weight.alg_id_cusparselt  # type: ignore[attr-defined]

        def run() -> float:
            asked.append(number)
            if number not in times:
                raise RuntimeError("CUDA error: invalid value")
            return times[number]

        return run

    return call


def right(weight: Tensor) -> bool:
    """All are."""
    return True


def test_the_fastest_is_taken() -> None:
    """The same memory, under another number; one that is refused is passed over, and three in a row are the end."""
    asked: list[int] = []
    weight = packed()
    times = {0: 3.0, 1: 2.0, 4: 1.0, 5: 1.5}
    tuned = Timed().tuned(weight, (8, 64), timing(times, asked), right)
    assert asked == [0, 1, 2, 3, 4, 5, 6, 7, 8]
    assert tuned.alg_id_cusparselt == 4  # type: ignore[attr-defined]
    assert tuned.packed.data_ptr() == weight.packed.data_ptr()  # type: ignore[attr-defined]
    assert weight.alg_id_cusparselt == 0  # type: ignore[attr-defined]
    assert torch.nn.Parameter(tuned, requires_grad=False).detach().alg_id_cusparselt == 4  # type: ignore[attr-defined]


def test_where_torch_knows_their_number_all_are_tried(monkeypatch: pytest.MonkeyPatch) -> None:
    """And no more."""
    asked: list[int] = []
    monkeypatch.setattr(torch.backends.cusparselt, "get_max_alg_id", lambda: 3)
    times = dict.fromkeys(range(9), 1.0) | {5: 0.1, 2: 0.9}
    assert Timed().tuned(packed(), (8, 64), timing(times, asked), right).alg_id_cusparselt == 2  # type: ignore[attr-defined]
    assert asked == [0, 1, 2]


def test_a_shape_is_tuned_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """For other weights of it, too; another input, or another weight's shape, is another matter."""
    monkeypatch.setattr(hardware, "ALGORITHMS", 2)
    asked: list[int] = []
    machine, call = Timed(), timing({0: 2.0, 1: 1.0}, asked)
    for weight, shape in ((packed(), (8, 64)), (packed(), (8, 64)), (packed(), (9, 64)), (packed(64), (8, 64))):
        assert machine.tuned(weight, shape, call, right).alg_id_cusparselt == 1  # type: ignore[attr-defined]
    assert asked == [0, 1] * 3


def test_cutlass_has_no_choice() -> None:
    """Its tensor comes back."""
    weight = SparseSemiStructuredTensorCUTLASS(
        torch.Size([32, 64]), torch.zeros(32, 32), torch.zeros(32, 4), None, None, None, requires_grad=False
    )
    assert Timed().tuned(weight, (8, 64), timing({}, []), right) is weight


def test_where_all_are_refused_the_default_stays() -> None:
    """Whose refusal is then told by whoever calls it."""
    assert Timed().tuned(packed(), (8, 64), timing({}, []), right).alg_id_cusparselt == 0  # type: ignore[attr-defined]


@pytest.mark.parametrize("later", [False, True])
def test_wrong_algorithms_are_passed_over(later: bool) -> None:
    """However fast; those that err only now and then as well."""
    looks: dict[int, int] = {}

    def mostly(weight: Tensor) -> bool:
        number: int = weight.alg_id_cusparselt  # type: ignore[attr-defined]
        looks[number] = looks.get(number, 0) + 1
        return number != 1 or (later and looks[number] == 1)

    asked: list[int] = []
    tuned = Timed().tuned(packed(), (8, 64), timing({0: 3.0, 1: 1.0, 2: 2.0}, asked), mostly)
    assert tuned.alg_id_cusparselt == 2  # type: ignore[attr-defined]
    assert (1 in asked) == later


def test_unpacking_takes_the_default_algorithm(monkeypatch: pytest.MonkeyPatch) -> None:
    """Another one was chosen for another layout."""
    monkeypatch.setattr(
        SparseSemiStructuredTensorCUSPARSELT, "to_dense", lambda weight: torch.tensor(weight.alg_id_cusparselt)
    )
    weight = packed()
    weight.alg_id_cusparselt = 5  # type: ignore[attr-defined]
    assert int(Cuda().unpack(weight)) == 0
    assert weight.alg_id_cusparselt == 5  # type: ignore[attr-defined]
