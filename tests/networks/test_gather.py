"""gather="allowed": layers that read their input in an order of their own."""

import io
from copy import deepcopy
from typing import Any

import pytest
import torch
from torch import nn
from torch.nn import functional as F
from torch.nn.utils import parametrize

from permsolve import networks
from permsolve.errors import InvalidNetworkError
from permsolve.networks.gathering import Gather
from tests.networks.running import BRIEF, Inputs, outputs, randomised, relative_error, run
from tests.networks.zoo import ALL
from tests.networks.zoo.case import net

FAST: dict[str, Any] = {**BRIEF, "solver": "local-search", "gather": "allowed"}
# Topologies in which something is pinned: a part of them by default, all of the zoo when asked for.
QUICK = {"channel_shuffle_op", "cumsum", "flatten_beside_conv", "multihead_on_input", "shufflenet_v1"}
CASES = [
    pytest.param(case, id=case.name, marks=() if case.name in QUICK else pytest.mark.slow)
    for case in ALL
    if not case.untraceable
]


def image() -> Inputs:
    """Eight channels."""
    return (torch.randn(2, 8, 6, 6, dtype=torch.float64),)


def fork() -> nn.Module:
    """A map that a convolution reads, and flattened a linear layer, too; a grouped convolution reads the input."""
    torch.manual_seed(0)
    return randomised(
        net(
            lambda m, x: m.fc(F.relu(m.stem(x)).flatten(1)) + m.out(F.relu(m.stem(x))).mean((2, 3)),
            stem=nn.Conv2d(8, 16, 3, padding=1, groups=1),
            fc=nn.Linear(16 * 36, 12),
            out=nn.Conv2d(16, 12, 1),
        )
    ).eval()


def test_a_layer_with_a_gather_no_longer_follows_and_all_is_covered() -> None:
    """The stem's channels are permuted for `out`; the index in front of `fc` takes that back."""
    model, inputs = fork(), image()
    original, before = deepcopy(model), outputs(model, inputs)
    report = networks.permute_(model, inputs, verify=True, **FAST)
    assert relative_error(outputs(model, inputs), before) < 1e-12
    assert report.coverage == 1.0
    assert not report.skipped
    # Entries of the inputs of both layers, the stem being called twice.
    assert report.gathered == {"stem.weight": 2 * 2 * 8 * 36, "fc.weight": 2 * 16 * 36}
    assert isinstance(model.get_submodule("fc.input_gather"), Gather)
    assert any(use.values for group in report.spec.groups for use in group.uses)
    assert networks.permute_(deepcopy(original), inputs, **{**FAST, "gather": "never"}).gathered == {}

    copy = networks.apply_(deepcopy(original), networks.Report.from_dict(report.to_dict()))
    assert all(torch.equal(tensor, copy.state_dict()[name]) for name, tensor in model.state_dict().items())
    networks.invert_(copy, report)
    assert copy.state_dict().keys() == original.state_dict().keys()
    assert all(torch.equal(tensor, copy.state_dict()[name]) for name, tensor in original.state_dict().items())
    assert not any(module._forward_pre_hooks for module in copy.modules())


def test_it_survives_copies_files_and_export() -> None:
    """The gather is a module with a buffer like any other."""
    model, inputs = fork(), image()
    original, before = deepcopy(model), outputs(model, inputs)
    report = networks.permute_(model, inputs, **FAST)
    stream = io.BytesIO()
    torch.save(model.state_dict(), stream)
    stream.seek(0)
    fresh = networks.apply_(deepcopy(original), report)
    with torch.no_grad():
        for tensor in fresh.state_dict().values():
            tensor.zero_()
    fresh.load_state_dict(torch.load(stream, weights_only=True))
    assert relative_error(outputs(deepcopy(fresh), inputs), before) < 1e-12
    assert isinstance(inputs, tuple)
    exported = torch.export.export(model, inputs).module()
    assert relative_error(run(exported, inputs), before) < 1e-12
    # Once more: the gathers that are there take part, and nothing is lost.
    again = networks.permute_(model, inputs, **{**FAST, "gather": "never", "solver": "random"})
    assert relative_error(outputs(model, inputs), before) < 1e-12
    assert again.coverage > 0.9


def test_shared_weights_share_a_gather() -> None:
    """Two layers over one parameter, one of them called twice."""
    torch.manual_seed(1)
    one, two = nn.Linear(16, 16), nn.Linear(16, 16)
    two.weight = one.weight
    model = randomised(net(lambda m, x: m.two(torch.relu(m.one(m.one(x).cumsum(-1)))), one=one, two=two)).eval()
    inputs = (torch.randn(3, 16, dtype=torch.float64),)
    before = outputs(model, inputs)
    report = networks.permute_(model, inputs, **FAST)
    assert relative_error(outputs(model, inputs), before) < 1e-12
    assert report.coverage == 1.0
    assert model.get_submodule("one.input_gather") is model.get_submodule("two.input_gather")
    networks.invert_(model, report)
    assert outputs(model, inputs)[0].equal(before[0])


def test_groups_of_a_convolution_have_their_own_order() -> None:
    """Within each group, on the model's input."""
    torch.manual_seed(2)
    model = randomised(nn.Sequential(nn.Conv2d(16, 8, 3, groups=2), nn.ReLU(), nn.Conv2d(8, 4, 1)))
    inputs = (torch.randn(2, 16, 5, 5, dtype=torch.float64),)
    before = outputs(model, inputs)
    report = networks.permute_(model, inputs, **FAST)
    assert relative_error(outputs(model, inputs), before) < 1e-12
    index = model.get_submodule("0.input_gather").get_buffer("index")
    first, second = index[:8], index[8:] - 8
    assert first.sort().values.tolist() == second.sort().values.tolist() == list(range(8))
    assert not torch.equal(first, second)
    # The other layer's columns come in two sets of one group of M each: only a gather mixes them.
    assert report.gathered == {"0.weight": 2 * 16 * 25, "2.weight": 2 * 8 * 9}


class Doubling(nn.Linear):
    """Reads its input a second time."""

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """The layer, and the input beside it."""
        return super().forward(x) + x


def test_where_no_gather_can_stand_the_reason_is_given() -> None:
    """Weights that others read, layers with a forward or with hooks of their own."""
    torch.manual_seed(3)
    hooked = nn.Linear(16, 16)
    hooked.register_forward_hook(lambda module, args, output: output + args[0])
    model = randomised(
        net(
            lambda m, x: m.double_(x) + m.hooked(x) + m.read(x) + F.linear(x, m.read.weight),
            double_=Doubling(16, 16),
            hooked=hooked,
            read=nn.Linear(16, 16),
        )
    ).eval()
    inputs = (torch.randn(3, 16, dtype=torch.float64),)
    before = outputs(model, inputs)
    report = networks.permute_(model, inputs, **FAST)
    assert relative_error(outputs(model, inputs), before) < 1e-12
    assert report.gathered == {}
    for name, words in (("double_", "forward"), ("hooked", "hooks"), ("read", "other code")):
        assert words in report.skipped[f"{name}.weight"]
        assert "the model's inputs" in report.skipped[f"{name}.weight"]


def test_a_weight_under_a_mask_is_refused() -> None:
    """Its groups would be broken up."""
    model = fork()
    networks.prune_(model, include=["out"])
    with pytest.raises(InvalidNetworkError, match=r"out is under a mask.*finalize_"):
        networks.permute_(model, image(), **FAST)
    assert parametrize.is_parametrized(model.get_submodule("out"))
    networks.finalize_(model)
    before = networks.is_nm(model.get_submodule("out").weight)
    networks.permute_(model, image(), **FAST)
    assert before
    assert networks.is_nm(model.get_submodule("out").weight)


@pytest.mark.parametrize("case", CASES)
def test_zoo_with_gathers(case: Any) -> None:
    """No function changes, what is covered without gathers is covered with them, and it can all be undone."""
    torch.manual_seed(5)
    with torch.no_grad():
        model = randomised(case.build()).eval()
    inputs = case.inputs()
    original, before = deepcopy(model), outputs(model, inputs)
    report = networks.permute_(model, inputs, verify=False, **FAST)
    assert relative_error(outputs(model, inputs), before) <= 1e-9
    assert report.coverage >= case.coverage(model) - 1e-12
    networks.invert_(model, report)
    state = original.state_dict()
    assert model.state_dict().keys() == state.keys()
    assert all(torch.equal(tensor, state[name]) for name, tensor in model.state_dict().items())
