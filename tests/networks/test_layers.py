"""Kinds of layers: all that is multiplied by inputs is pruned along what it reads, or named."""

from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from permsolve import networks
from permsolve.errors import InvalidOptionError
from permsolve.networks import Layout, Unpruned, register_layer_kind
from permsolve.networks.prunable import all_weights, constant_weights
from permsolve.stopping import MaxIterations

LAYOUTS = [
    (Layout(), (6, 8, 3)),
    (Layout(out=1, input=0), (8, 6)),
    (Layout(out=1, input=2, batch=0), (3, 6, 8)),
    (Layout(out=2, input=1, batch=0), (3, 8, 6)),
    (Layout(out=1, input=0, groups=2), (8, 6, 5)),
    (Layout(out=2, input=0, batch=1), (8, 3, 6, 2)),
]


@pytest.mark.parametrize(("layout", "shape"), LAYOUTS)
def test_a_layout_is_a_view_that_can_be_undone(layout: Layout, shape: tuple[int, ...]) -> None:
    """Positions that :meth:`Layout.places` gives are those of the entries."""
    stored = torch.arange(int(torch.tensor(shape).prod())).reshape(shape)
    matrix = layout.matrix(stored)
    assert tuple(matrix.shape) == layout.shape(shape)
    assert torch.equal(layout.stored(matrix, shape), stored)
    if layout.plain:
        return
    for axis in {layout.out, layout.input}:
        for entry in range(shape[axis]):
            expected = sorted(stored.select(axis, entry).flatten().tolist())
            found: list[int] = []
            position = torch.tensor([[entry]]).numpy()
            for where, rows, places in layout.places(axis, position, shape):
                part = matrix if rows is None else matrix[rows[0] : rows[1]]
                found += part.index_select(where, torch.from_numpy(places.ravel())).flatten().tolist()
            assert sorted(found) == expected


@pytest.mark.parametrize("wrong", [{"out": 1}, {"out": -1, "input": 0}, {"groups": 0}, {"batch": 2, "groups": 2}])
def test_impossible_layouts_are_refused(wrong: dict[str, int]) -> None:
    """Before anything is pruned by them."""
    with pytest.raises(InvalidOptionError):
        Layout(**wrong)


def _pruned(model: nn.Module) -> Any:
    masks = networks.prune_(model)
    networks.finalize_(model)
    return masks


@pytest.mark.parametrize("groups", [1, 2])
def test_transposed_convolutions_are_pruned_along_what_they_read(groups: int) -> None:
    """Their weight is (in, out / groups, kernel...)."""
    layer = nn.ConvTranspose2d(16, 6, 3, groups=groups)
    assert _pruned(layer).share > 0.9
    by_group = layer.weight.detach().unflatten(0, (groups, -1, 4))
    assert bool(((by_group != 0).sum(2) == 2).all())


def test_transposed_convolutions_are_permuted() -> None:
    """The order of their inputs follows what makes them, and N:M keeps more."""
    torch.manual_seed(0)
    model = nn.Sequential(nn.Conv2d(3, 16, 1), nn.ReLU(), nn.ConvTranspose2d(16, 5, 2)).eval()
    report = networks.permute_(model, (torch.randn(1, 3, 4, 4),), solver="local-search", stop=MaxIterations(50))
    assert "2.weight" in report.permuted_inputs
    assert report.value_after > report.value_before
    assert report.max_relative_error is not None
    assert report.max_relative_error < 1e-6


class _Experts(nn.Module):
    """Two layers of experts, stored as some model does, all of which read all that comes in."""

    def __init__(self, transposed: bool) -> None:
        super().__init__()
        self.is_transposed, self.has_gate = transposed, False  # as `transformers` marks its own
        up, down = torch.randn(3, 16, 8), torch.randn(3, 4, 16)
        self.up_proj = nn.Parameter(up.mT.contiguous() if transposed else up)
        self.down_proj = nn.Parameter(down.mT.contiguous() if transposed else down)

    def forward(self, x: Tensor) -> Tensor:
        up, down = (one if self.is_transposed else one.mT for one in (self.up_proj, self.down_proj))
        return (torch.relu(x.unsqueeze(-3) @ up) @ down).sum(-3)


@pytest.mark.parametrize("transposed", [False, True])
def test_experts_in_parameters_of_three_dimensions(transposed: bool) -> None:
    """They are permuted and pruned along what is read, each expert on its own, and counted."""
    torch.manual_seed(0)
    model = nn.Sequential(nn.Linear(4, 8), _Experts(transposed)).eval()
    x = torch.randn(5, 4)
    before = model(x)
    report = networks.permute_(model, (x,), solver="local-search", stop=MaxIterations(50))
    assert {"1.up_proj", "1.down_proj"} <= set(report.permuted_inputs)
    torch.testing.assert_close(model(x), before)
    masks = _pruned(model)
    assert not masks.skipped
    axis = 1 if transposed else 2
    for name in ("up_proj", "down_proj"):
        stored = model[1].get_parameter(name)
        assert masks[f"1.{name}"].shape == stored.shape
        assert bool(((stored.movedim(axis, -1).unflatten(-1, (-1, 4)) != 0).sum(-1) == 2).all())


@pytest.mark.parametrize("fast", [False, True])
def test_attention_is_pruned_and_reads_the_mask(fast: bool) -> None:
    """Under a mask it computes what it does when the zeros are final, in training and on the fast path."""
    torch.manual_seed(0)
    layer = nn.TransformerEncoderLayer(16, 2, 32, dropout=0.0, batch_first=True)
    x = torch.randn(2, 3, 16)
    masks = networks.prune_(layer)
    assert "self_attn.in_proj_weight" in masks
    layer.train(not fast)
    with torch.inference_mode(fast):
        masked = layer(x)
    networks.finalize_(layer)
    assert networks.is_nm(layer.self_attn.in_proj_weight)
    layer.train()
    torch.testing.assert_close(masked.clone(), layer(x), rtol=1e-4, atol=1e-5)


def test_attention_of_several_widths() -> None:
    """Queries, keys and values have weights of their own then."""
    layer = nn.MultiheadAttention(16, 2, kdim=8, vdim=12)
    assert set(_pruned(layer)) == {"q_proj_weight", "k_proj_weight", "v_proj_weight", "out_proj.weight"}


@pytest.mark.parametrize(
    ("layer", "name", "reason"),
    [
        (lambda: nn.LSTM(8, 8), "1.weight_hh_l0", "a list of their own"),
        (lambda: nn.Bilinear(8, 8, 4), "1.weight", "two inputs"),
        (lambda: nn.Embedding(8, 8), "1.weight", "lookup table"),
        (lambda: _Free(), "1.free", "no layer kind is registered for _Free"),
    ],
)
def test_what_is_not_pruned_is_named(layer: Callable[[], nn.Module], name: str, reason: str) -> None:
    """With the reason, and it counts among all parameters."""
    model = nn.Sequential(nn.Linear(8, 8), layer())
    masks = networks.prune_(model)
    assert reason in masks.skipped[name]
    assert name in masks.summary()
    assert masks.share == pytest.approx(64 / sum(one.numel() for one in model.parameters()))


class _Free(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.free = nn.Parameter(torch.randn(8, 64))

    def forward(self, x: Tensor) -> Tensor:
        return x @ self.free


def test_coverage_counts_what_no_kind_is_known_of() -> None:
    """A full coverage beside parameters that nobody permuted is impossible."""
    torch.manual_seed(0)
    model = nn.Sequential(nn.Linear(4, 16), nn.ReLU(), nn.Linear(16, 8), _Free()).eval()
    report = networks.permute_(model, (torch.randn(2, 4),), solver="local-search", stop=MaxIterations(20))
    assert report.coverage == pytest.approx(128 / (64 + 128 + 512))
    assert report.share is not None
    assert report.share < report.coverage
    assert "_Free" in report.skipped["3.free"]
    again = networks.Report.from_dict(report.to_dict())
    assert again.share == report.share
    assert f"{100 * report.share:.1f} % of all parameters" in repr(report)


def test_a_third_party_registers_its_layer() -> None:
    """Subclasses count, and a parameter may be declared to be none."""

    class Backwards(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.kernel, self.table = nn.Parameter(torch.randn(8, 4)), nn.Parameter(torch.randn(4, 4))

        def forward(self, x: Tensor) -> Tensor:
            return x @ self.kernel + self.table

    class Further(Backwards):
        pass

    register_layer_kind(
        Backwards, {"kernel": Layout(out=1, input=0), "table": Unpruned("added", multiplied=False)}, reads_input=True
    )
    layer = Further()
    calibration = networks.calibrate(layer, [torch.randn(4, 8)])
    masks = networks.prune_(layer, saliency="wanda", calibration=calibration)
    assert masks.skipped == {"table": "added"}
    assert networks.is_nm(layer.kernel.detach(), layout=Layout(out=1, input=0))
    with pytest.raises(InvalidOptionError):
        register_layer_kind(3)  # type: ignore[arg-type]
    with pytest.raises(InvalidOptionError):
        register_layer_kind(Backwards, {"kernel": 1})  # type: ignore[dict-item]


def _frozen(tensor: Tensor) -> nn.Linear:
    layer = nn.Linear(tensor.shape[1], tensor.shape[0], bias=False).requires_grad_(False)
    layer.weight.copy_(tensor)
    return layer


TABLES = [
    torch.arange(16.0)[None],
    torch.linspace(-1.0, 1.0, 33)[None],
    torch.randn(4, 16),
    torch.eye(32),
    0.3 * torch.randint(0, 5, (32, 32)).square(),
]


@pytest.mark.parametrize("table", TABLES)
def test_frozen_constants_are_left_out_unless_included(table: Tensor) -> None:
    """Among trained layers."""
    model = nn.Sequential(nn.Linear(64, 64), _frozen(table))
    masks = networks.prune_(model)
    assert set(masks) == {"0.weight"}
    assert "frozen constant" in masks.skipped["1.weight"]
    assert set(networks.prune_(model, include="1")) == {"1.weight"}


def test_frozen_networks_are_no_constants() -> None:
    """A backbone under a trained head, all of a network, and a network that was made of few values."""
    backbone = nn.Sequential(_frozen(torch.randn(64, 64)), nn.Linear(64, 8))
    whole = nn.Sequential(_frozen(torch.randn(8, 16)), _frozen(torch.randn(4, 8)))
    ternary = nn.Sequential(_frozen(torch.randint(-1, 2, (64, 64)).float()), nn.Linear(64, 8))
    for model in (backbone, whole, ternary):
        assert not constant_weights(all_weights(model))
    written = nn.Sequential(_frozen(torch.randn(64, 64)), _frozen(torch.arange(16.0)[None]))
    assert constant_weights(all_weights(written)) == {"1.weight"}


def test_compression_names_what_stays_dense() -> None:
    """In its report and its table."""
    torch.manual_seed(0)
    model = nn.Sequential(nn.Linear(8, 16), nn.ReLU(), nn.ConvTranspose1d(1, 1, 2), nn.Linear(17, 4)).eval()
    x = torch.randn(4, 1, 8)
    report = networks.compress_(model, (x,), calibration=[x], solver="local-search", stop=MaxIterations(20))
    assert "2.weight" in report.skipped or "2.weight" not in report.layers
    assert 0.5 < report.share <= 1.0
    assert "% of all parameters" in repr(report)


def test_a_linear_layer_that_stores_its_weight_turned() -> None:
    """A subclass of nn.Linear is pruned along what it reads, as its shape says."""

    class Turned(nn.Linear):
        def __init__(self) -> None:
            super().__init__(8, 4)
            self.weight = nn.Parameter(torch.randn(8, 4))

        def forward(self, x: Tensor) -> Tensor:
            return x @ self.weight

    model = Turned()
    networks.prune_(model)
    networks.finalize_(model)
    assert networks.is_nm(model.weight.T, "2:4")
