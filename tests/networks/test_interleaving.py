"""Axis groups whose channels stand among those of others."""

from collections.abc import Mapping
from copy import deepcopy
from itertools import permutations
from math import inf
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from permsolve import networks
from permsolve.masks import kept_value
from permsolve.networks.interleaving import Interleaved, interleaved
from permsolve.networks.ordering import Ordering
from permsolve.networks.prunable import prunable_weights
from permsolve.networks.spec import AxisGroup, AxisUse
from permsolve.networks.stacking import consumers_of, stack
from permsolve.networks.worth import Worth
from permsolve.pattern import Pattern
from permsolve.saliency import get_saliency
from tests.networks.running import BRIEF, outputs, relative_error
from tests.networks.zoo.case import net

MAGNITUDE = Worth(get_saliency("magnitude"))
FAST: dict[str, Any] = {**BRIEF, "solver": "identity"}


def found(
    weights: Mapping[str, Tensor], positions: Mapping[str, list[list[int]]], pattern: str
) -> tuple[AxisGroup, Interleaved | None]:
    """A group with the given positions in linear layers of the given weights."""
    model = nn.Module()
    for name, tensor in weights.items():
        layer = nn.Linear(tensor.shape[1], tensor.shape[0], bias=False)
        layer.weight = nn.Parameter(tensor)
        model.add_module(name, layer)
    uses = tuple(AxisUse(f"{name}.weight", 1, np.array(places)) for name, places in positions.items())
    group = AxisGroup("g", len(uses[0].positions), uses)
    consumers = consumers_of(group, prunable_weights(model), {})
    parsed = Pattern.parse(pattern)
    return group, interleaved(group, consumers, stack(group, consumers, parsed), parsed)


def every(start: int, step: int, count: int = 4) -> list[list[int]]:
    """Positions at equal distances."""
    return [[start + step * n] for n in range(count)]


@pytest.mark.parametrize(
    ("pattern", "widths", "positions"),
    [
        ("2:4", (16,), [every(1, 4)]),
        ("2:4", (16, 13), [every(1, 4), [[12], [0], [4], [8]]]),  # a short last group, and another order
        ("1:3", (24,), [[[0, 12], [3, 15], [6, 18], [9, 21]]]),  # two copies of each channel
    ],
)
def test_where_each_channel_has_a_group_of_m_to_itself_the_best_order_is_found(
    pattern: str, widths: tuple[int, ...], positions: list[list[list[int]]]
) -> None:
    """One assignment decides: held against all orders, by the scorer of whole weights."""
    for seed in range(3):
        torch.manual_seed(seed)
        names = [f"w{n}" for n in range(len(widths))]
        weights = {name: torch.randn(5, width) for name, width in zip(names, widths, strict=True)}
        weights[names[-1]] *= 1e-30  # two scales: the last one hardly counts, but is not lost
        group, one = found(weights, dict(zip(names, positions, strict=True)), pattern)
        assert one is not None
        best = one.improved(Pattern.parse(pattern), MAGNITUDE, np.random.default_rng(seed), inf)

        def kept(order: Any, group: AxisGroup = group, weights: dict[str, Tensor] = weights) -> float:
            return sum(
                kept_value(
                    weights[use.name[:2]][:, use.order(np.array(order), weights[use.name[:2]].shape[1])], pattern
                )
                for use in group.uses
            )

        assert kept(best) == pytest.approx(max(map(kept, permutations(range(group.size)))), rel=1e-6)


@pytest.mark.parametrize(
    ("positions", "expected"),
    [
        (every(0, 1, 8), False),  # whole groups of M of its own: the stacked problem says all
        (every(0, 2, 8), True),
        (every(2, 1, 8), True),  # shifted against the groups of M
        (every(0, 1, 4), False),  # one group of M
        ([[0, 1], [2, 3], [4, 5], [6, 7]], False),  # a channel twice in a group of M
        ([[0, 8], [1, 9], [2, 10], [3, 11], [4, 12], [5, 13], [6, 14], [7, 15]], False),  # two whole copies
    ],
)
def test_which_groups_stand_among_others(positions: list[list[int]], expected: bool) -> None:
    """Those that a stacked problem does not describe."""
    _, one = found({"w": torch.randn(3, 16)}, {"w": positions}, "2:4")
    assert (one is not None) == expected


def test_a_search_that_may_not_begin_changes_nothing() -> None:
    """The deadline has passed."""
    _, one = found({"w": torch.randn(3, 16)}, {"w": every(0, 2, 8)}, "2:4")
    assert one is not None
    assert one.improved(Pattern(2, 4), MAGNITUDE, np.random.default_rng(0), -inf).tolist() == list(range(8))


def shuffled() -> nn.Module:
    """Two producers, whose channels a shuffle interleaves, and a third behind a concatenation of odd widths."""
    torch.manual_seed(0)

    def run(m: Any, x: Tensor) -> Tensor:
        both = F.relu(torch.cat([m.a(x), m.b(x)], 1).view(-1, 2, 24).transpose(1, 2).flatten(1))
        return m.out(torch.cat([F.relu(m.c(x)), m.middle(both)], 1))  # type: ignore[no-any-return]

    return net(
        run, a=nn.Linear(6, 24), b=nn.Linear(6, 24), c=nn.Linear(6, 7), middle=nn.Linear(48, 30), out=nn.Linear(37, 9)
    ).double()


def test_more_is_kept_and_the_report_tells(tmp_path: Path) -> None:
    """Without a solver that does anything; the figures are those of the weights, and survive a file."""
    model, inputs = shuffled(), (torch.randn(4, 6, dtype=torch.float64),)
    before = outputs(model, inputs)
    report = networks.permute_(model, inputs, **FAST)
    assert relative_error(outputs(model, inputs), before) < 1e-12
    assert report.permuted_inputs == ("middle.weight", "out.weight")
    assert report.value_after > 1.01 * report.value_before
    weights = [model.get_parameter(f"{name}.weight") for name in ("middle", "out")]
    assert sum(group.value_after for group in report.groups) == pytest.approx(
        sum(kept_value(weight, "2:4") for weight in weights)
    )
    # Only what `middle` makes fills groups of M of its own, in `out`.
    assert {group.columns: group.result is None for group in report.groups} == {24: True, 7: True, 30: False}
    for name in ("r.json", "r.npz"):
        report.save(tmp_path / name)
        again = networks.Report.load(tmp_path / name)
        assert [one.result is None for one in again.groups] == [one.result is None for one in report.groups]
    assert outputs(networks.invert_(model, again), inputs)[0].equal(before[0])


def test_an_interrupted_run_leaves_the_model_as_it_was(monkeypatch: pytest.MonkeyPatch) -> None:
    """Also what had been permuted by then."""
    model, inputs = shuffled(), (torch.randn(4, 6, dtype=torch.float64),)
    original = deepcopy(model)
    improve = Ordering.improve

    def interrupted(self: Ordering, *args: Any) -> None:
        improve(self, *args)
        assert not torch.equal(model.get_parameter("a.weight"), original.get_parameter("a.weight"))
        raise KeyboardInterrupt

    monkeypatch.setattr(Ordering, "improve", interrupted)
    with pytest.raises(KeyboardInterrupt):
        networks.permute_(model, inputs, **FAST)
    assert all(torch.equal(one, other) for one, other in zip(model.parameters(), original.parameters(), strict=True))


def test_means_that_are_zero_up_to_rounding_do_not_fail_verification() -> None:
    """A normalised map is read without an activation between: the next normalisation sees means of zero."""
    torch.manual_seed(0)
    sizes = ((3, 16), (16, 16), (16, 8))
    layers = [part for a, b in sizes for part in (nn.Conv2d(a, b, 1, bias=False), nn.BatchNorm2d(b))]
    model = nn.Sequential(*layers).double()
    report = networks.permute_(model, (torch.randn(8, 3, 4, 4, dtype=torch.float64),), **{**FAST, "solver": "random"})
    assert report.permuted_inputs == ("2.weight", "4.weight")
    assert "training mode" not in report.notes
