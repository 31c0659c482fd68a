"""Random graphs of which the example reaches half: nothing else moves, and all that the model can compute stays."""

import random
from typing import Any

import pytest
import torch
from torch import Tensor

from permsolve import networks
from tests.networks.graphs import STEPS, WIDTHS, Graph, Step
from tests.networks.running import BRIEF, randomised, relative_error, tensors

BLOCK = "block"


class Half(Graph):
    """A graph of which some steps are run only when they are asked for; they read what the others read, and more.

    Some steps are graphs of their own. What nobody asks for is read through a layer that nobody asks for, either.
    """

    def __init__(
        self, steps: list[Step], asked: set[int], blocks: dict[int, tuple[list[Step], set[int]]], width: int = 12
    ) -> None:
        self.asked, self.inner = asked, blocks
        super().__init__(steps, width)

    def _run(self, x: Tensor, build: bool = False) -> Tensor:
        return self._both(x, build, build)[0]

    def _both(self, x: Tensor, full: bool, build: bool) -> tuple[Tensor, list[Tensor]]:
        """The last two tensors of the steps that are always run, and what the others give."""
        pool = [torch.tanh(self._linear("stem", self.width, 16, build)(x))]
        aside: list[Tensor] = []
        extra: list[Tensor] = []
        for number, (kind, a, b, size) in enumerate(self.steps):
            asked = number in self.asked
            if asked and not full:
                continue
            known = pool + aside if asked else pool
            one, other = known[a % len(known)], known[b % len(known)]
            width = WIDTHS[size % len(WIDTHS)]
            if kind == BLOCK:
                steps, inside = self.inner[number]
                block = self._module(f"{number}", build, lambda: Half(steps, inside, {}, one.shape[-1]))  # noqa: B023
                made, more = block(one, full)
                extra += more
            else:
                made = self._step(kind, f"{number}", one, other, width, build)
            made = made if made.shape[-1] >= 4 else torch.cat([made] * 4, -1)
            if asked:
                aside.append(made)
                extra.append(self._linear(f"probe{number}", made.shape[-1], 3, build)(made))
            else:
                pool.append(made)
        return torch.cat(pool[-2:], -1), extra

    def forward(self, x: Tensor, full: bool = False) -> Any:
        """A pair: the result of the graph, and what was asked for beside it."""
        final, extra = self._both(x, full, False)
        return self.out(final), extra


def half_reached(number: int) -> Half:
    """A graph half of whose steps are not run by themselves: of at most nine steps, or of four, as most are."""
    rng = random.Random(number)
    most, within = (9, 5) if number % 4 == 0 else (4, 2)

    def drawn(most: int, kinds: tuple[str, ...]) -> tuple[list[Step], set[int]]:
        count = rng.randint(1, most)
        steps = [(rng.choice(kinds), rng.randrange(20), rng.randrange(20), rng.randrange(3)) for _ in range(count)]
        return steps, set(rng.sample(range(count), count // 2))

    steps, asked = drawn(most, (*STEPS, *[BLOCK] * len(STEPS)))
    blocks = {}
    for place, (kind, *_) in enumerate(steps):
        if kind == BLOCK:
            inner, inside = drawn(within, STEPS)
            blocks[place] = inner, inside if rng.random() < 0.3 else set()
    return Half(steps, asked, blocks)


def _check(number: int) -> bool:
    """Whether anything moved, in a graph whose every path still computes the same."""
    torch.manual_seed(number)
    model = randomised(half_reached(number)).eval()
    x = torch.randn(2, 5, 12, dtype=torch.float64)
    with torch.no_grad():
        before = [list(tensors(model(x, full))) for full in (False, True)]
    state = {name: tensor.clone() for name, tensor in model.state_dict().items()}
    report = networks.permute_(
        model, (x,), "1:2", solver="random", **BRIEF, seed=number, verify=False,
        gather="allowed" if number % 2 else "never",
    )  # fmt: skip
    with torch.no_grad():
        after = [list(tensors(model(x, full))) for full in (False, True)]
    for one, other in zip(before, after, strict=True):
        assert relative_error(other, one) <= 1e-8, report.table()
    moved = {name for name, tensor in state.items() if not torch.equal(tensor, model.state_dict()[name])}
    assert not moved & set(report.spec.unreached), report.table()
    return bool(moved)


def test_half_reached_graphs() -> None:
    """A few on every run, in some of which something moves."""
    assert any([_check(number) for number in range(4)])


@pytest.mark.slow
@pytest.mark.parametrize("piece", range(8))
def test_many_half_reached_graphs(piece: int) -> None:
    """Two thousand, when asked for."""
    moving = sum(_check(number) for number in range(250 * piece, 250 * (piece + 1)))
    assert moving >= 50
