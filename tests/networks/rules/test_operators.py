"""Every family of operators against torch itself: parameters moved by a random element, outputs compared."""

from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from permsolve.networks.symmetry.structure import Structure
from permsolve.networks.symmetry.value import Value, closed
from permsolve.networks.trace.export import exported
from permsolve.networks.trace.propagate import Walk
from tests.networks.moving import Array, assert_still_and_uniform, free_value, freedom, moved, moved_all, random_element

Function = Callable[..., Any]
# By family and name: a function, the shapes of the parameters that it gets, and the sizes of the sets of positions
# that may be exchanged, of each parameter; None where the operator has to pin everything.
CASE = tuple[Function, list[tuple[int, ...]], list[list[int]]]

POINTWISE: dict[str, CASE] = {
    "silu": (F.silu, [(4, 6)], [[4, 6]]),
    "where": (lambda a, b: torch.where(a > 0, a, b), [(4, 6), (6,)], [[4, 6], [6]]),
    "masked_fill": (lambda a, b: a.masked_fill(b > 0, 2.0), [(4, 6), (4, 1)], [[4, 6], [4]]),
    "lerp": (lambda a, b, c: torch.lerp(a, b, c), [(4, 6)] * 3, [[4, 6]] * 3),
    "glu": (lambda a: F.glu(a, 1), [(4, 6)], [[4, 3]]),
    "prelu": (F.prelu, [(4, 6, 2), (6,)], [[2, 4, 6], [6]]),
    "prelu_of_one": (F.prelu, [(4, 6), (1,)], [[4, 6], []]),
    "zeros_like": (lambda a: torch.zeros_like(a), [(4, 6)], [[4, 6]]),
    "plus_count": (lambda a: a + torch.arange(6), [(4, 6)], [[4]]),
    "noise": (lambda a: a + torch.rand_like(a) * 0, [(4, 6)], [[]]),
    "dropout_left_on": (lambda a: F.dropout(a, 0.5, True) * 0, [(4, 6)], [[]]),
}
REDUCTIONS: dict[str, CASE] = {
    "sum": (lambda a: a.sum(1), [(4, 6)], [[4, 6]]),
    "mean_of_all": (lambda a: a.mean(), [(4, 6)], [[4, 6]]),
    "var_mean": (lambda a: torch.var_mean(a, 0), [(4, 6)], [[4, 6]]),
    "amax": (lambda a: a.amax((0, 1), keepdim=True), [(4, 6, 3)], [[3, 4, 6]]),
    "max_with_place": (lambda a: a.max(1), [(4, 6)], [[4]]),
    "argmin": (lambda a: a.argmin(0), [(4, 6)], [[6]]),
    "median": (lambda a: a.median(1), [(4, 6)], [[4]]),
    "norm": (lambda a: torch.linalg.vector_norm(a, dim=1), [(4, 6)], [[4, 6]]),
    "softmax": (lambda a: a.softmax(1), [(4, 6)], [[4, 6]]),
    "cumsum": (lambda a: a.cumsum(1), [(4, 6)], [[4]]),
    "sort": (lambda a: a.sort(0).values, [(4, 6)], [[6]]),
    "topk": (lambda a: a.topk(3, 1).values, [(4, 6)], [[4]]),
}
VIEWS: dict[str, CASE] = {
    "view": (lambda a: a.view(2, 2, 6), [(4, 6)], [[4, 6]]),
    "transpose": (lambda a: a.transpose(0, 1), [(4, 6)], [[4, 6]]),
    "movedim": (lambda a: a.movedim(0, 2), [(4, 6, 3)], [[3, 4, 6]]),
    "select": (lambda a: a.select(1, 2), [(4, 6)], [[4, 5]]),
    "slice": (lambda a: a[:, 1:6:2], [(4, 6)], [[3, 3, 4]]),
    "narrow": (lambda a: a.narrow(1, 2, 4), [(4, 6)], [[2, 4, 4]]),
    "split": (lambda a: a.split([2, 4], 1), [(4, 6)], [[2, 4, 4]]),
    "chunks_added": (lambda a: sum(a.chunk(2, 1)), [(4, 6)], [[3, 4]]),
    "unbind_stack": (lambda a: torch.stack(a.unbind(0)[::-1]), [(2, 6)], [[6]]),
    "cat": (lambda a, b: torch.cat([a, b], 1), [(4, 6), (4, 2)], [[4, 6], [2, 4]]),
    "stack": (lambda a, b: torch.stack([a, b], 1), [(4, 6)] * 2, [[4, 6]] * 2),
    "flip": (lambda a: a + a.flip(1), [(4, 6)], [[3, 4]]),
    "roll": (lambda a: a.roll(2, 1), [(4, 6)], [[4, 6]]),
    "repeat": (lambda a: a.repeat(2, 3), [(4, 6)], [[4, 6]]),
    "repeat_interleave": (lambda a: a.repeat_interleave(2, 1), [(4, 6)], [[4, 6]]),
    "expand": (lambda a: a.expand(3, 6), [(1, 6)], [[6]]),
    "unfold": (lambda a: a.unfold(1, 3, 3), [(4, 6)], [[4, 6]]),
    "pad": (lambda a: F.pad(a, (1, 2)), [(4, 6)], [[4, 6]]),
    "reflected": (lambda a: F.pad(a, (1, 1), mode="reflect"), [(4, 6)], [[4]]),
    "pixel_shuffle": (lambda a: F.pixel_shuffle(a, 2), [(1, 8, 1, 3)], [[8]]),
    "channel_shuffle": (lambda a: F.channel_shuffle(a, 2), [(1, 8, 1, 1)], [[8]]),
    "column_written": (lambda a, b: torch.select_scatter(a, b, 1, 2), [(4, 6), (4,)], [[4, 5], [4]]),
    "view_as_bits": (lambda a: a.view(torch.int64), [(4, 6)], [[]]),
    "fft": (lambda a: torch.fft.rfft(a, dim=1).abs(), [(4, 6)], [[4]]),
}
CONTRACTIONS: dict[str, CASE] = {
    "linear": (F.linear, [(3, 6), (4, 6), (4,)], [[3, 6], [4, 6], [4]]),
    "matmul_batched": (torch.matmul, [(2, 3, 6), (6, 4)], [[2, 3, 6], [4, 6]]),
    "mv": (torch.mv, [(4, 6), (6,)], [[4, 6], [6]]),
    "addmm": (torch.addmm, [(4,), (3, 6), (6, 4)], [[4], [3, 6], [4, 6]]),
    "baddbmm": (torch.baddbmm, [(2, 3, 4), (2, 3, 6), (2, 6, 4)], [[2, 3, 4], [2, 3, 6], [2, 4, 6]]),
    "einsum": (lambda a, b: torch.einsum("bi,ji->jb", a, b), [(3, 6), (4, 6)], [[3, 6], [4, 6]]),
    "diagonal": (lambda a: torch.einsum("ii->i", a), [(5, 5)], [[]]),
    "bilinear": (F.bilinear, [(3, 4), (3, 5), (6, 4, 5)], [[3, 4], [3, 5], [4, 5, 6]]),
    "outer": (torch.outer, [(4,), (6,)], [[4], [6]]),
    "cdist": (lambda a, b: torch.cdist(a, b), [(3, 6), (4, 6)], [[3, 6], [4, 6]]),
    "conv": (F.conv2d, [(2, 4, 5, 5), (6, 4, 3, 3), (6,)], [[2, 4], [4, 6], [6]]),
    "conv_depthwise": (lambda a, w: F.conv1d(a, w, groups=4), [(2, 4, 5), (4, 1, 3)], [[2, 4], [4]]),
    "conv_grouped": (lambda a, w: F.conv1d(a, w, groups=2), [(2, 8, 5), (6, 4, 3)], [[2, 4], [4, 3, 3]]),
    "conv_transposed": (F.conv_transpose1d, [(2, 4, 5), (4, 6, 3)], [[2, 4], [4, 6]]),
    "attention": (
        F.scaled_dot_product_attention, [(2, 3, 5, 4), (2, 3, 7, 4), (2, 3, 7, 6)],
        [[2, 3, 4, 5], [2, 3, 4, 7], [2, 3, 6, 7]],
    ),
}  # fmt: skip
NORMS: dict[str, CASE] = {
    "layer_norm": (lambda a, w, b: F.layer_norm(a, (6,), w, b), [(4, 6), (6,), (6,)], [[4, 6], [6], [6]]),
    "layer_norm_of_maps": (lambda a: F.layer_norm(a, (4, 6)), [(2, 4, 6)], [[2, 4, 6]]),
    "rms_norm": (lambda a, w: F.rms_norm(a, (6,), w), [(4, 6), (6,)], [[4, 6], [6]]),
    "group_norm": (lambda a, w: F.group_norm(a, 2, w), [(3, 8, 5), (8,)], [[3, 4, 4, 5], [4, 4]]),
    "instance_norm": (lambda a, w: F.instance_norm(a, weight=w), [(3, 4, 5), (4,)], [[3, 4, 5], [4]]),
    "batch_norm": (
        lambda a, m, v, w: F.batch_norm(a, m, v.abs() + 1, w), [(3, 4, 5), (4,), (4,), (4,)],
        [[3, 4, 5], [4], [4], [4]],
    ),
    "local_response": (lambda a: F.local_response_norm(a, 3), [(3, 6, 5)], [[3]]),
}  # fmt: skip
LOOKUPS: dict[str, CASE] = {
    "embedding": (lambda t: F.embedding(torch.tensor([[1, 0, 3]]), t), [(5, 6)], [[6]]),
    "index": (lambda a: a[[3, 1, 0]], [(4, 6)], [[6]]),
    "index_select": (lambda a: a.index_select(1, torch.tensor([2, 0])), [(4, 6)], [[4]]),
    "gather": (lambda a: a.gather(1, torch.tensor([[0], [1], [2], [0]])), [(4, 6)], [[]]),
    "max_pool": (lambda a: F.max_pool1d(a, 2), [(3, 4, 6)], [[3, 4]]),
    "adaptive_pool": (lambda a: F.adaptive_avg_pool2d(a, 1), [(2, 4, 3, 3)], [[2, 4]]),
    "resized": (lambda a: F.interpolate(a, scale_factor=2, mode="nearest"), [(2, 4, 3)], [[2, 4]]),
    "patches": (lambda a: F.unfold(a, 2), [(2, 4, 3, 3)], [[2, 4]]),
}
RECURRENT: dict[str, CASE] = {
    "lstm_cell": (
        lambda x, h, c, wi, wh: torch.lstm_cell(x, (h, c), wi, wh), [(2, 5), (2, 3), (2, 3), (12, 5), (12, 3)],
        [[2, 5], [2, 3], [2, 3], [3, 5], [3, 3]],
    ),
    "gru": (
        lambda x, h, wi, wh: torch.gru(x, h, [wi, wh], False, 1, 0.0, False, False, True),
        [(2, 4, 5), (1, 2, 3), (9, 5), (9, 3)], [[2, 5], [2, 3], [3, 5], [3, 3]],
    ),
    "lstm_two_ways": (
        lambda x, h, c, *w: torch.lstm(x, (h, c), list(w), False, 1, 0.0, False, True, False)[0],
        [(4, 2, 5), (2, 2, 3), (2, 2, 3), (12, 5), (12, 3), (12, 5), (12, 3)],
        [[2, 5], [2, 3], [2, 3], [3, 5], [3, 3], [3, 5], [3, 3]],
    ),
}  # fmt: skip
FAMILIES: Mapping[str, dict[str, CASE]] = {
    "pointwise": POINTWISE,
    "reductions": REDUCTIONS,
    "views": VIEWS,
    "contractions": CONTRACTIONS,
    "norms": NORMS,
    "lookups": LOOKUPS,
    "recurrent": RECURRENT,
}


class All(nn.Module):
    """Runs every function of a family on parameters of its own; the input does not matter."""

    def __init__(self, cases: dict[str, CASE]) -> None:
        super().__init__()
        self.cases = cases
        self.own = nn.ParameterDict(
            {
                f"{name}_{number}": nn.Parameter(torch.randn(*shape, dtype=torch.float64))
                for name, (_, shapes, _) in cases.items()
                for number, shape in enumerate(shapes)
            }
        )

    def forward(self, x: Tensor) -> list[Tensor]:
        """All results, those of one function after those of the other."""
        return [result for name in self.cases for result in self.results(name)]

    def results(self, name: str) -> list[Tensor]:
        """What one function gives."""
        function, shapes, _ = self.cases[name]
        made = function(*(self.own[f"{name}_{number}"] for number in range(len(shapes))))
        return [made] if isinstance(made, Tensor) else [one for one in made if isinstance(one, Tensor)]


@pytest.mark.parametrize("family", FAMILIES)
def test_family(family: str) -> None:
    """Soundness by real numbers, freedom by what a careful person would find."""
    torch.manual_seed(0)
    model = All(FAMILIES[family]).eval()
    structure = Structure()
    values = {name: free_value(structure, one.shape) for name, one in model.own.items()}
    walk = Walk(structure, lambda name: values[name.removeprefix("own.")], lambda number: True)
    walk.run(exported(model, (torch.zeros(1),), training=False))
    finals = {number: closed(structure, value) for number, value in walk.outputs.items()}
    arrays = {name: one.detach().numpy().copy() for name, one in model.own.items()}
    for attempt in range(3):
        image = random_element(structure, np.random.default_rng(attempt))
        permuted = moved_all(arrays, values, image)
        number = 0
        for name in model.cases:
            before = _results(model, name, arrays)
            for one, other in zip(before, _results(model, name, permuted), strict=True):
                value = finals.get(number, Value(one.shape))
                assert value.shape == one.shape, name
                assert_still_and_uniform(one, value)
                np.testing.assert_allclose(other, moved(one, value, image), atol=1e-9, err_msg=name)
                number += 1
    found = {
        name: [sorted(freedom(structure, values[f"{name}_{i}"])) for i in range(len(shapes))]
        for name, (_, shapes, _) in model.cases.items()
    }
    assert found == {name: [sorted(sizes) for sizes in expected] for name, (_, _, expected) in model.cases.items()}


def _results(model: All, name: str, arrays: Mapping[str, Array]) -> list[Array]:
    torch.manual_seed(0)
    with torch.no_grad():
        for key, parameter in model.own.items():
            parameter.copy_(torch.from_numpy(np.ascontiguousarray(arrays[key])))
        return [one.to(torch.float64).numpy().copy() for one in model.results(name)]
