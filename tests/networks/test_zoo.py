"""Every topology of the zoo: the function stays, and the axes that a careful person would find are permuted."""

from copy import deepcopy
from typing import Any
from zlib import crc32

import pytest
import torch
from torch import Tensor, nn

from permsolve import networks
from permsolve.errors import PermsolveError
from permsolve.networks.prunable import prunable_weights
from tests.networks.running import BRIEF, Inputs, outputs, randomised, relative_error
from tests.networks.zoo import ALL, FAMILIES
from tests.networks.zoo.case import Case

TOLERANCE = 1e-9
# `random` draws orders until time is up: no optimum hides an error, as an identity would.
# All of the zoo takes minutes: one case of eight is in the default suite, the others are asked for with -m slow.
CASES = [
    pytest.param(case, id=case.name, marks=() if number % 8 == 0 else pytest.mark.slow)
    for number, case in enumerate(ALL)
]
OPTIONS: dict[str, Any] = {**BRIEF, "solver": "random"}


def _prepared(case: Case) -> tuple[nn.Module, Inputs]:
    torch.manual_seed(crc32(case.name.encode()))
    with torch.no_grad():  # weights computed by hooks must be leaves, or the model could not be copied
        model = randomised(case.build())
    return model.eval(), case.inputs()


def _state(model: nn.Module) -> dict[str, Tensor]:
    return {name: tensor.clone() for name, tensor in [*model.named_parameters(), *model.named_buffers()]}


def _same(one: dict[str, Tensor], other: dict[str, Tensor]) -> bool:
    return one.keys() == other.keys() and all(torch.equal(one[name], other[name]) for name in one)


def _moved(before: nn.Module, after: nn.Module) -> dict[str, float]:
    """Share of the columns of each prunable weight that hold other values, whatever the order of its rows."""

    def columns(weight: Tensor) -> Tensor:
        return weight.detach().movedim(1, 0).flatten(1).sort(1).values

    pairs = zip(prunable_weights(before), prunable_weights(after), strict=True)
    return {
        one.name: float((columns(one.tensor) != columns(other.tensor)).any(1).double().mean()) for one, other in pairs
    }


def test_the_zoo_is_large_and_its_names_are_unique() -> None:
    """At least 100 topologies, most of which can be permuted."""
    names = [case.name for case in ALL]
    assert len(set(names)) == len(names) >= 100
    assert sum(case.expect == "permuted" for case in ALL) >= 100
    assert all(family.CASES for family in FAMILIES)


@pytest.mark.parametrize("case", CASES)
def test_topology(case: Case) -> None:
    """Outputs in both modes are as before, without verification; coverage; apply and invert restore bit for bit."""
    model, inputs = _prepared(case)
    original = deepcopy(model)
    before = outputs(model, inputs)
    before_train = outputs(model, inputs, train=True) if case.train else []
    start = _state(model)
    try:
        report = networks.permute_(model, inputs, verify=False, **OPTIONS)
    except PermsolveError as error:
        if case.expect == "permuted" or not str(error):
            pytest.fail(f"not permuted: {error!r}")
        assert _same(_state(model), start)
        return
    assert case.expect != "untraceable"
    # Whatever the report says, the function must be the same.
    assert relative_error(outputs(model, inputs), before) <= TOLERANCE
    if case.train:
        assert relative_error(outputs(model, inputs, train=True), before_train) <= TOLERANCE
    assert report.coverage >= case.coverage(model) - 1e-12, report.skipped
    wanted = {f"{name}.weight" for name in case.shares}
    missing = {name for name in wanted if not any(name in given for given in report.permuted_inputs)}
    assert not missing
    # The report does not claim more than happened: weights that it does not name kept their columns.
    moved = _moved(original, model)
    claimed = " ".join(report.permuted_inputs)
    assert not [name for name, share in moved.items() if share > 0.0 and name not in claimed]

    permuted = _state(model)
    copy = deepcopy(original)
    networks.apply_(copy, report)
    assert _same(_state(copy), permuted)
    networks.invert_(copy, report)
    assert _same(_state(copy), start)


@pytest.mark.parametrize("case", ALL[::48], ids=lambda case: case.name)
def test_verification_agrees(case: Case) -> None:
    """Verification passes on its own, too, and measures next to nothing."""
    model, inputs = _prepared(case)
    try:
        report = networks.permute_(model, inputs, **OPTIONS)
    except networks.VerificationError as error:
        pytest.fail(str(error))
    except PermsolveError:
        assert case.expect != "permuted"
        return
    assert report.max_relative_error is not None
    assert report.max_relative_error <= TOLERANCE


@pytest.mark.parametrize(
    "case",
    [case for case in ALL if case.name in ("overlapping_storage", "one_storage", "decoder_tied")],
    ids=lambda case: case.name,
)
def test_shapes_are_enough_for_a_trace(case: Case) -> None:
    """The axis groups of a model without values are the same, tied weights and shared memory included."""
    model, inputs = _prepared(case)
    with torch.device("meta"):
        empty = case.build().double().eval()
    assert networks.trace(empty, inputs).to_dict() == networks.trace(model, inputs).to_dict()
