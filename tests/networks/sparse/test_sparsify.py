"""Which layers become sparse, and that the model computes what it did."""

import copy
import json
from pathlib import Path

import pytest
import torch
from torch import Tensor, nn
from torch.nn.utils import parametrizations

from permsolve import networks
from permsolve.errors import InvalidNetworkError, InvalidOptionError, VerificationError
from permsolve.networks.sparse import LayerReport, SparseReport, sparsify_
from permsolve.networks.sparse.forms import SparseConv2d, SparseLinear
from permsolve.networks.sparse.layouts import layouts
from tests.networks.running import BRIEF
from tests.networks.sparse.emulation import Emulation, pruned

X = torch.randn(8, 64, generator=torch.Generator().manual_seed(1)).bfloat16()


def mlp(hidden: int = 128) -> nn.Module:
    """Two linear layers, pruned."""
    torch.manual_seed(0)
    return pruned(nn.Sequential(nn.Linear(64, hidden), nn.ReLU(), nn.Linear(hidden, 32)))


def reasons(report: SparseReport) -> dict[str, str]:
    """Name -> reason."""
    return {layer.name: layer.reason for layer in report.layers}


def test_without_a_gpu_everything_stays_and_says_so() -> None:
    """The model is untouched, and still compiles."""
    if torch.cuda.is_available():
        pytest.skip("this machine has a GPU")
    model = mlp()
    before = {name: tensor.clone() for name, tensor in model.state_dict().items()}
    expected = model(X)
    report = sparsify_(model, (X,))
    assert set(reasons(report).values()) == {"not eligible: no CUDA device"}
    assert report.sparse == ()
    assert report.output_error == 0.0
    assert all(type(layer) is not SparseLinear for layer in model.modules())
    assert all(torch.equal(tensor, before[name]) for name, tensor in model.state_dict().items())
    assert torch.equal(torch.compile(model, backend="aot_eager")(X), expected)


def test_faster_layers_become_sparse() -> None:
    """By the faster backend; all times and the error are in the report, and outputs stay."""
    model = mlp()
    expected = model(X)
    hardware = Emulation(algorithm=7)
    report = sparsify_(model, (X,), hardware=hardware)
    assert report.sparse == ("0.weight", "2.weight")
    first = report.layers[0]
    assert first == LayerReport(
        name="0.weight", shape=(128, 64), dtype="bfloat16", sparse=True, eligible=True, reason="sparse: cusparselt",
        input_shape=(8, 64), backend="cusparselt", algorithm=7, dense_ms=2.0, sparse_ms=1.0, max_error=0.0,
    )  # fmt: skip
    assert first.speedup == 2.0
    assert ("cutlass", (128, 64)) in hardware.packed
    assert torch.equal(model(X), expected)
    assert isinstance(model[0], SparseLinear)  # type: ignore[index]
    assert not model[0].weight.requires_grad  # type: ignore[index]
    with pytest.raises(InvalidNetworkError, match="no dense layer"):
        sparsify_(model, hardware=hardware)


def test_the_compiled_model_sees_the_change() -> None:
    """What was compiled before is compiled anew."""
    model = mlp()
    compiled = torch.compile(model, backend="aot_eager")
    expected = compiled(X)
    hardware = Emulation()
    sparsify_(model, (X,), hardware=hardware)
    with torch.no_grad():
        assert torch.equal(compiled(X), expected)
        model[0].weight.zero_()  # type: ignore[index]
        assert not torch.equal(compiled(X), expected)


def test_what_was_compiled_and_called_before_is_reached() -> None:
    """Compiled code does not see the hooks that look for shapes."""
    model = mlp()
    compiled = torch.compile(model, backend="aot_eager")
    assert isinstance(compiled, nn.Module)
    expected = compiled(X)
    assert len(sparsify_(compiled, (X,), hardware=Emulation()).sparse) == 2
    assert torch.equal(compiled(X), expected)


def test_layers_of_a_kind_are_timed_once() -> None:
    """Others, and other inputs, on their own."""
    torch.manual_seed(0)
    model = pruned(nn.Sequential(*(nn.Linear(64, 64) for _ in range(5)), nn.Linear(64, 64, bias=False)))
    hardware = Emulation()
    report = sparsify_(model, (X,), hardware=hardware)
    assert hardware.timed == ["dense", "cusparselt", "cutlass"] * 2
    assert [layer.speedup for layer in report.layers] == [2.0] * 6
    assert len(hardware.packed) == 12


def test_outputs_lie_in_memory_like_those_of_dense_layers() -> None:
    """Padded ones and those of convolutions, so that views of them are possible."""
    torch.manual_seed(0)
    images = torch.randn(2, 16, 3, 5).bfloat16()
    for layer, inputs in (
        (pruned(nn.Linear(64, 50)), [X, X.reshape(2, 4, 64)]),
        (pruned(nn.Conv2d(16, 24, 1)), [images, images.to(memory_format=torch.channels_last), images[0]]),
    ):
        dense = copy.deepcopy(layer)
        assert sparsify_(layer, hardware=Emulation()).sparse
        for x in inputs:
            assert layer(x).stride() == dense(x).stride()


def test_an_empty_input_gives_an_empty_output() -> None:
    """An expert without tokens."""
    model = mlp()
    assert sparsify_(model, (X,), hardware=Emulation()).sparse
    assert model(X[:0]).shape == (0, 32)


def test_no_gradient_goes_through() -> None:
    """Whatever comes before the layer may be trainable; the product by the transposed weight is never asked for."""
    torch.manual_seed(0)
    model = pruned(nn.Sequential(nn.LayerNorm(64), nn.Linear(64, 32)))
    sparsify_(model, (X,), hardware=Emulation())
    assert not model(X).requires_grad
    assert not torch.compile(model, backend="aot_eager")(X).requires_grad


def test_an_interruption_leaves_the_model_as_it_was() -> None:
    """All layers or none."""

    class Interrupted(Emulation):
        def pack(self, weight: Tensor, backend: str) -> Tensor:
            if weight.shape[0] == 32:
                raise KeyboardInterrupt
            return super().pack(weight, backend)

    model = mlp()
    weight = model[0].weight  # type: ignore[index]
    with pytest.raises(KeyboardInterrupt):
        sparsify_(model, (X,), hardware=Interrupted())
    assert type(model[0]) is nn.Linear  # type: ignore[index]
    assert model[0].weight is weight  # type: ignore[index]


@pytest.mark.parametrize(("least", "sparse"), [(1.9, True), (2.0, False), (2.1, False)])
def test_slower_layers_stay_dense(least: float, sparse: bool) -> None:
    """The threshold itself is not enough; times are reported all the same."""
    report = sparsify_(mlp(), min_speedup=least, hardware=Emulation())
    assert {layer.sparse for layer in report.layers} == {sparse}
    assert {layer.speedup for layer in report.layers} == {2.0}
    assert all(layer.eligible for layer in report.layers)
    assert report.layers[0].input_shape == (2048, 64)
    assert report.output_error is None


def test_without_a_benchmark_the_first_backend_is_taken() -> None:
    """Whatever it would take."""
    hardware = Emulation(times={"dense": 1.0, "cusparselt": 9.0, "cutlass": 0.1})
    report = sparsify_(mlp(), benchmark=False, hardware=hardware)
    assert {layer.backend for layer in report.layers} == {"cusparselt"}
    assert {layer.dense_ms for layer in report.layers} == {None}
    assert {layer.algorithm for layer in report.layers} == {None}  # the default one, whichever it is
    assert len(report.sparse) == 2


def test_a_backend_can_be_asked_for() -> None:
    """And is refused when torch does not know it, or reported when it is not there."""
    report = sparsify_(mlp(), backend="cutlass", hardware=Emulation())
    assert {(layer.backend, layer.algorithm) for layer in report.layers} == {("cutlass", None)}
    report = sparsify_(mlp(), backend="cutlass", hardware=Emulation(times={"dense": 1.0, "cusparselt": 0.5}))
    assert set(reasons(report).values()) == {"not eligible: the backend cutlass is not there"}
    with pytest.raises(InvalidOptionError, match="unknown backend 'cusparse': choose auto, cusparselt or cutlass"):
        sparsify_(mlp(), backend="cusparse")


def test_a_backend_that_refuses_or_errs_is_passed_over() -> None:
    """With its own first line in the report when there is no other."""
    report = sparsify_(mlp(), hardware=Emulation(refuses="cusparselt"))
    assert {layer.backend for layer in report.layers} == {"cutlass"}
    report = sparsify_(mlp(), hardware=Emulation(damage="cusparselt"))
    assert {layer.backend for layer in report.layers} == {"cutlass"}
    assert "sparse: cutlass; cusparselt differs by" in reasons(report)["0.weight"]
    report = sparsify_(mlp(), backend="cutlass", hardware=Emulation(refuses="cutlass"))
    assert "cutlass refuses: Supported only on GPUs with compute capability 8.x" in reasons(report)["0.weight"]
    report = sparsify_(mlp(), backend="cutlass", hardware=Emulation(damage="cutlass"))
    assert "more than rounding" in reasons(report)["0.weight"]
    assert report.sparse == ()


def test_shapes_that_do_not_fit_are_padded_where_it_pays() -> None:
    """The tables are torch's; the outputs are those of the weight without its padding."""
    torch.manual_seed(0)
    model = pruned(nn.Sequential(nn.Linear(64, 50), nn.ReLU(), nn.Linear(50, 10, bias=False)))
    expected = model(X)
    report = sparsify_(copy.deepcopy(model), padding=False, hardware=Emulation())
    assert "50 x 64 is no multiple of (16, 16) for cusparselt or (32, 64) for cutlass" in reasons(report)["0.weight"]
    hardware = Emulation()
    report = sparsify_(model, (X,), hardware=hardware)
    assert [layer.padded for layer in report.layers] == [(64, 64), (16, 64)]
    assert ("cutlass", (32, 64)) in hardware.packed
    assert torch.allclose(model(X), expected, atol=1e-2)
    assert model(X.reshape(2, 4, 64).transpose(0, 1)).shape == (4, 2, 10)


@pytest.mark.parametrize("stride", [1, 2])
def test_convolutions_of_single_points_are_linear_layers(stride: int) -> None:
    """With a stride, with the batch and without; other kernels and groups stay."""
    torch.manual_seed(0)
    model = pruned(
        nn.Sequential(
            nn.Conv2d(16, 32, 1, stride=stride),
            nn.Conv2d(32, 32, 3),
            nn.Conv2d(32, 64, 1, groups=2),
            nn.Conv2d(64, 16, 1),
        )
    )
    x = torch.randn(2, 16, 9, 9, generator=torch.Generator().manual_seed(2)).bfloat16()
    expected, alone = model(x), model(x[0])
    report = sparsify_(model, x, hardware=Emulation())
    assert report.sparse == ("0.weight", "3.weight")
    assert "a kernel of 3 x 3" in reasons(report)["1.weight"]
    assert "a convolution of 2 groups" in reasons(report)["2.weight"]
    assert isinstance(model[0], SparseConv2d)  # type: ignore[index]
    assert report.output_error is not None
    assert report.output_error < 0.02
    assert torch.allclose(model(x), expected, atol=2e-2)
    assert torch.allclose(model(x[0]), alone, atol=2e-2)


def test_a_weight_that_is_not_2_4_is_refused() -> None:
    """Torch would truncate it; nothing is changed, and leaving the layer out helps."""
    model = mlp()
    with torch.no_grad():
        model[2].weight[3, :3] = 1.0  # type: ignore[index]
    before = copy.deepcopy(model.state_dict())
    with pytest.raises(InvalidNetworkError, match=r"2\.weight is not 2:4.*prune_.*exclude="):
        sparsify_(model, hardware=Emulation())
    assert all(torch.equal(tensor, before[name]) for name, tensor in model.state_dict().items())
    assert sparsify_(model, exclude="2", hardware=Emulation()).sparse == ("0.weight",)


def test_masks_are_refused_with_the_remedy() -> None:
    """Which works."""
    model = nn.Sequential(nn.Linear(64, 32)).bfloat16()
    networks.prune_(model)
    with pytest.raises(InvalidNetworkError, match="finalize_"):
        sparsify_(model, hardware=Emulation())
    networks.finalize_(model)
    assert sparsify_(model, hardware=Emulation()).sparse == ("0.weight",)


def test_other_dtypes_stay_dense() -> None:
    """The float32 of CUTLASS is 1:2: a 2:4 weight would be truncated."""
    report = sparsify_(mlp().float(), hardware=Emulation())
    assert set(reasons(report).values()) == {
        "not eligible: no 2:4 product of float32: cast the model to float16 or bfloat16"
    }
    assert layouts(torch.float32) == ()
    assert [layout.backend for layout in layouts(torch.float16)] == ["cusparselt", "cutlass"]


def test_layers_that_cannot_be_replaced_say_why() -> None:
    """Shared, parametrized, of another class, not reached by the example, read by a fused path."""
    tied = nn.Sequential(nn.Embedding(32, 64), nn.Linear(64, 32, bias=False))
    tied[0].weight = tied[1].weight
    assert "shared" in reasons(sparsify_(pruned(tied), hardware=Emulation()))["1.weight"]

    normed = pruned(nn.Sequential(nn.Linear(64, 32)))
    parametrizations.weight_norm(normed[0])  # type: ignore[index]
    assert "parametrized" in reasons(sparsify_(normed, hardware=Emulation()))["0.weight"]

    attention = pruned(nn.MultiheadAttention(64, 4))
    assert "NonDynamicallyQuantizableLinear" in reasons(sparsify_(attention, hardware=Emulation()))["out_proj.weight"]

    class Partly(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.used, self.unused = nn.Linear(64, 32), nn.Linear(64, 32)

        def forward(self, x: Tensor) -> Tensor:
            y: Tensor = self.used(input=x)
            return y

    report = sparsify_(pruned(Partly()), {"x": X}, hardware=Emulation())
    assert report.sparse == ("used.weight",)
    assert reasons(report)["unused.weight"] == "dense: the example does not reach it"

    encoder = pruned(nn.TransformerEncoderLayer(64, 4, 128))
    assert "fast path" in reasons(sparsify_(encoder, hardware=Emulation()))["linear1.weight"]


def test_a_model_that_fails_afterwards_is_put_back() -> None:
    """Here code that looks at the weight itself; the error says so."""

    class Fussy(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.layer = nn.Linear(64, 32)

        def forward(self, x: Tensor) -> Tensor:
            if not self.layer.weight.requires_grad:
                raise ValueError("trainable weights only")
            y: Tensor = self.layer(x)
            return y

    model = pruned(Fussy())
    layer, weight = model.get_submodule("layer"), model.get_parameter("layer.weight")
    with pytest.raises(VerificationError, match=r"trainable weights only.*nothing was changed"):
        sparsify_(model, (X,), hardware=Emulation())
    assert type(layer) is nn.Linear
    assert layer.weight is weight
    with pytest.raises(InvalidNetworkError, match="cannot be called with the example"):
        sparsify_(model, (X[:, :5],), hardware=Emulation())


def test_gathers_and_hooks_stay() -> None:
    """A permuted model whose layer reads through a gather computes what it did."""
    torch.manual_seed(0)
    model = nn.Sequential(nn.Linear(64, 32), nn.ReLU(), nn.Linear(32, 16))
    networks.permute_(model, (X.float(),), **BRIEF, gather="allowed")
    pruned(model)
    expected = model(X)
    report = sparsify_(model, (X,), hardware=Emulation())
    assert "0.weight" in report.sparse
    assert "input_gather" in dict(model[0].named_children())
    assert torch.allclose(model(X), expected, atol=1e-2)


def test_the_report_prints_and_saves(tmp_path: Path) -> None:
    """As a table, and as JSON with the speed-ups."""
    report = sparsify_(mlp(50), hardware=Emulation())
    assert "50 x 64 -> 64 x 64" in report.table()
    assert repr(report) == "SparseReport(2 of 2 weights sparse, 2 eligible)"
    report.save(tmp_path / "report.json")
    document = json.loads((tmp_path / "report.json").read_text())
    assert document == json.loads(json.dumps(report.to_dict()))
    assert document["layers"][0]["speedup"] == 2.0


@pytest.mark.parametrize(("name", "value"), [("min_speedup", 0.0), ("min_speedup", float("nan")), ("rows", 0)])
def test_impossible_options_are_refused(name: str, value: float) -> None:
    """With the value."""
    with pytest.raises(InvalidOptionError, match=name):
        sparsify_(mlp(), hardware=Emulation(), **{name: value})  # type: ignore[arg-type]
