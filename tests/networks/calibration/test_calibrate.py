"""What layers read, against explicit inputs."""

import pickle
from collections.abc import Callable, Iterator
from copy import deepcopy
from itertools import product
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional as F
from torch.nn.utils.parametrizations import weight_norm

from permsolve import networks
from permsolve.errors import InvalidNetworkError, InvalidOptionError, MemoryLimitError
from permsolve.moments import InputMoments
from tests.networks.zoo.case import net


def second(moments: InputMoments) -> np.ndarray[Any, Any]:
    """The second moments, which must be there."""
    assert moments.second_moment is not None
    return moments.second_moment


def naive_rows(x: Tensor, layer: Any) -> Tensor:
    """Rows (samples, groups, d) that the flat weight of a convolution is multiplied by: place by place, in loops."""
    mode = "constant" if layer.padding_mode == "zeros" else layer.padding_mode
    x = F.pad(x, layer._reversed_padding_repeated_twice, mode=mode)
    kernel, stride, dilation = layer.kernel_size, layer.stride, layer.dilation
    sizes = [
        (length - d * (k - 1) - 1) // s + 1
        for length, k, s, d in zip(x.shape[2:], kernel, stride, dilation, strict=True)
    ]
    rows = []
    for image in x:
        for place in product(*map(range, sizes)):
            spots = product(*map(range, kernel))
            columns = [
                image[(slice(None), *(p * s + o * d for p, s, o, d in zip(place, stride, spot, dilation, strict=True)))]
                for spot in spots
            ]
            rows.append(torch.stack(columns, 1).reshape(layer.groups, -1))
    return torch.stack(rows)


CONVOLUTIONS: list[tuple[Callable[..., nn.Module], dict[str, Any], tuple[int, ...]]] = [
    (nn.Conv1d, {"kernel_size": 3, "stride": 2, "padding": 1}, (11,)),
    (nn.Conv1d, {"kernel_size": 4, "padding": "same", "dilation": 2, "padding_mode": "circular"}, (9,)),
    (nn.Conv2d, {"kernel_size": 1}, (3, 4)),
    (nn.Conv2d, {"kernel_size": (3, 2), "stride": (2, 1), "padding": (0, 1), "groups": 2}, (7, 6)),
    (nn.Conv2d, {"kernel_size": 3, "padding": 2, "dilation": (1, 2), "padding_mode": "reflect"}, (6, 7)),
    (nn.Conv2d, {"kernel_size": 3, "padding": "same", "padding_mode": "replicate", "groups": 4}, (5, 5)),
    (nn.Conv3d, {"kernel_size": (2, 1, 3), "stride": (1, 2, 1), "padding": (1, 0, 0), "groups": 2}, (3, 4, 5)),
]


@pytest.mark.parametrize(("kind", "options", "places"), CONVOLUTIONS)
@pytest.mark.parametrize("functional", [False, True])
@pytest.mark.parametrize("moments", ["full", "diagonal"])
def test_convolutions(
    kind: Callable[..., nn.Module], options: dict[str, Any], places: tuple[int, ...], functional: bool, moments: str
) -> None:
    """Strides, paddings of every mode, dilations and groups are the layer's; the rows times the weight are its output.

    As a layer, and as code of its own that reads the weight.
    """
    torch.manual_seed(0)
    layer: Any = kind(4, 8, **options, bias=False)
    model = net(lambda m, x: m.conv._conv_forward(x, m.conv.weight, None) if functional else m.conv(x), conv=layer)
    batches = [torch.randn(2, 4, *places), torch.randn(1, 4, *places)]
    rows = torch.cat([naive_rows(x, layer) for x in batches])
    flat = layer.weight.detach().reshape(layer.groups, 8 // layer.groups, -1)
    out = torch.cat([layer(x).detach().flatten(2).movedim(1, 2).flatten(0, 1) for x in batches])
    torch.testing.assert_close(torch.einsum("ngd,god->ngo", rows, flat).flatten(1), out)

    expected = InputMoments.from_samples(rows.numpy())
    found = networks.calibrate(model, batches, moments=moments)["conv.weight"]
    assert found.samples == len(rows)
    np.testing.assert_allclose(found.mean_square, expected.mean_square, rtol=1e-5)
    if moments == "full":
        np.testing.assert_allclose(second(found), second(expected), rtol=1e-4, atol=1e-6)
    else:
        assert found.second_moment is None


def test_parts_of_large_inputs_add_up(monkeypatch: pytest.MonkeyPatch) -> None:
    """Images, and lines of an image, are unfolded some at a time; inputs without a batch axis are one image."""
    torch.manual_seed(0)
    model, x = nn.Sequential(nn.Conv2d(4, 3, 3, padding=1)).double(), torch.randn(3, 4, 6, 5).double()
    whole = networks.calibrate(model, [x])["0.weight"]
    for chunk in (1, 200, 2000):
        monkeypatch.setattr("permsolve.networks.calibration.geometry.CHUNK", chunk)
        part = networks.calibrate(model, [x])["0.weight"]
        np.testing.assert_allclose(second(part), second(whole), rtol=1e-12)
        np.testing.assert_allclose(second(networks.calibrate(model, list(x))["0.weight"]), second(whole), rtol=1e-12)


def block() -> nn.Module:
    """Query, key and value read the same tensor; a weight is called twice, another one shared by two layers."""
    torch.manual_seed(0)
    q, k, v, o, twice, one, other = (nn.Linear(6, 6) for _ in range(7))
    other.weight = one.weight

    def forward(m: Any, x: Tensor) -> Tensor:
        y = m.o(torch.softmax(m.q(x) @ m.k(x).mT, -1) @ m.v(x))
        y = m.twice(F.gelu(m.twice(y)))
        out: Tensor = m.other(m.one(y)) + m.idle.bias
        return out

    return net(forward, q=q, k=k, v=v, o=o, twice=twice, one=one, other=other, idle=nn.Linear(6, 6)).eval()


def test_every_use_counts_and_equal_inputs_are_shared() -> None:
    """Against the inputs of all calls, written down; what is never called is named."""
    model, batches = block(), [torch.randn(2, 3, 6), torch.randn(1, 5, 6)]
    inputs: dict[str, list[Tensor]] = {}
    copy = deepcopy(model)
    for name, module in copy.named_children():
        module.register_forward_pre_hook(
            lambda _, args, name=name: inputs.setdefault(name, []).append(args[0].detach().reshape(-1, 6))
        )
    for batch in batches:
        copy(batch)
    inputs["one"] += inputs.pop("other")
    calibration = networks.calibrate(model, batches)
    assert set(calibration) == {f"{name}.weight" for name in inputs}
    for name, rows in inputs.items():
        expected = InputMoments.from_samples(torch.cat(rows).numpy())
        found = calibration[f"{name}.weight"]
        assert found.samples == expected.samples
        np.testing.assert_allclose(second(found), second(expected), rtol=1e-4, atol=1e-6)
    assert calibration["q.weight"] is calibration["k.weight"] is calibration["v.weight"]
    assert len({id(one) for one in calibration.values()}) == 4
    assert calibration.missing == {
        "idle.weight": "no batch reaches its layer, and no product with the whole weight was seen"
    }
    assert repr(calibration) == "Calibration(6 weights, 4 different inputs, full, 1 missing)"


def test_layers_that_share_their_input_sometimes_only() -> None:
    """What they read tells, batch by batch, even where the first batch suggests otherwise."""
    torch.manual_seed(0)
    a, b = nn.Linear(4, 4).double(), nn.Linear(4, 4).double()
    model = net(lambda m, x, y=None: m.a(x) + m.b(x if y is None else y), a=a, b=b)
    x, y, z = (torch.randn(5, 4).double() for _ in range(3))
    calibration = networks.calibrate(model, [(x,), (y, z)])
    for name, rows in (("a", (x, y)), ("b", (x, z))):
        expected = InputMoments.from_samples(torch.cat(rows).numpy())
        np.testing.assert_allclose(second(calibration[f"{name}.weight"]), second(expected))
    with pytest.raises(InvalidOptionError, match="only once"):
        networks.calibrate(model, iter([(x,), (y, z)]))


@pytest.mark.parametrize("masked", [False, True])
@pytest.mark.parametrize("encoder", [False, True])
def test_attention_reads_its_output_projection_without_calling_it(masked: bool, encoder: bool) -> None:
    """All layers are seen, also of the encoder's fast path, and under masks; the fast path is on again afterwards."""
    torch.manual_seed(0)
    layer = nn.TransformerEncoderLayer(8, 2, 16, batch_first=True)
    model: nn.Module = nn.TransformerEncoder(layer, 2) if encoder else layer
    if masked:
        networks.prune_(model, "2:4")
    x = torch.randn(3, 5, 8)
    calibration = networks.calibrate(model.train(), [x, x])
    assert not calibration.missing
    assert torch.backends.mha.get_fastpath_enabled()
    prefix = "layers.0." if encoder else ""
    first: Any = model.get_submodule("layers.0") if encoder else model
    attention = deepcopy(first.self_attn).eval()
    with torch.no_grad():
        networks.finalize_(attention) if masked else None
        attention.out_proj.weight.copy_(torch.eye(8))
        attention.out_proj.bias.zero_()
        read = attention(x, x, x)[0].reshape(-1, 8)
    expected = InputMoments.from_samples(torch.cat([read, read]).numpy())
    found = calibration[f"{prefix}self_attn.out_proj.weight"]
    assert found.samples == 30
    np.testing.assert_allclose(second(found), second(expected), rtol=1e-4, atol=1e-6)


def test_other_code_that_reads_a_weight_counts_too() -> None:
    """Functional uses beside calls of the layer, and layers with a forward of their own."""
    torch.manual_seed(0)

    class Halved(nn.Linear):
        def forward(self, x: Tensor) -> Tensor:
            return F.linear(x * 0.5, self.weight)

    model = net(
        lambda m, x: F.linear(m.fc(x), m.fc.weight) + m.halved(x) + x @ m.free.weight.t(),
        fc=nn.Linear(4, 4),
        halved=Halved(4, 4),
        free=weight_norm(nn.Linear(4, 4)),
    ).double()
    x = torch.randn(6, 3, 4).double()
    calibration = networks.calibrate(model, [x])
    rows, y = x.reshape(-1, 4), model.get_submodule("fc")(x).detach().reshape(-1, 4)
    for name, read in (("fc", torch.cat([rows, y])), ("halved", rows / 2), ("free", rows)):
        expected = InputMoments.from_samples(read.numpy())
        np.testing.assert_allclose(second(calibration[f"{name}.weight"]), second(expected))


def test_a_memory_limit_makes_several_passes() -> None:
    """With the same result; batches must then start anew, and what does not fit at all is refused."""
    model, batches = block(), [torch.randn(2, 3, 6), torch.randn(1, 5, 6)]
    whole = networks.calibrate(model, batches)
    seen: list[tuple[int, int]] = []
    parts = networks.calibrate(model, batches, memory_limit=2 * 36 * 12, progress=lambda *done: seen.append(done))
    assert seen == [(done, 6) for done in range(1, 7)]
    for name, moments in whole.items():
        np.testing.assert_array_equal(second(parts[name]), second(moments))
    np.testing.assert_array_equal(
        second(networks.calibrate(model, iter(batches))["o.weight"]), second(whole["o.weight"])
    )
    with pytest.raises(InvalidOptionError, match=r"3 passes .* read only once"):
        networks.calibrate(model, iter(batches), memory_limit=2 * 36 * 12)
    with pytest.raises(MemoryLimitError, match=r"432 bytes that q\.weight needs alone") as refused:
        networks.calibrate(model, batches, memory_limit=100)
    assert str(pickle.loads(pickle.dumps(refused.value))) == str(refused.value)


def test_moments_on_disk(tmp_path: Path) -> None:
    """They are the same, in a file that no one sees; what is made of them is, too, and no room is an error."""
    model, batches = block(), [torch.randn(2, 3, 6), torch.randn(1, 5, 6)]
    whole = networks.calibrate(model, batches)
    found = networks.calibrate(model, batches, spool=tmp_path)
    assert not list(tmp_path.iterdir())
    for name, moments in whole.items():
        spooled = second(found[name])
        assert isinstance(spooled, np.memmap)
        np.testing.assert_array_equal(spooled, second(moments))
        np.testing.assert_array_equal(found[name].inverse_diagonal(), moments.inverse_diagonal())
    found.save(tmp_path / "moments.safetensors")
    again = networks.Calibration.load(tmp_path / "moments.safetensors")
    np.testing.assert_array_equal(second(again["o.weight"]), second(whole["o.weight"]))
    with pytest.raises(FileNotFoundError):
        networks.calibrate(model, batches, spool=tmp_path / "none")


class Failing(nn.Module):
    """Has layers in several modes, counts its calls, and may raise after some of them."""

    calls: Tensor
    last: Tensor

    def __init__(self) -> None:
        super().__init__()
        self.fc, self.norm = nn.Linear(4, 4), nn.BatchNorm1d(4)
        self.register_buffer("calls", torch.zeros(()))
        self.register_buffer("last", torch.zeros(3, 4))
        self.fails = False

    def forward(self, x: Tensor) -> Tensor:
        """Through both."""
        assert not self.training
        assert self.calls == 0
        self.calls += 1
        self.last = x
        out: Tensor = self.norm(self.fc(x))
        if self.fails:
            raise RuntimeError("no")
        return out


@pytest.mark.parametrize("fails", [False, True])
def test_the_model_is_as_it_was(fails: bool) -> None:
    """Modes, hooks, tensors and gradients, also after an error of the model."""
    torch.manual_seed(0)
    model = Failing()
    model.norm.eval()
    model.fc.register_forward_pre_hook(lambda _, args: None)
    state = deepcopy(model.state_dict())
    model.fails = fails
    parameters = list(model.parameters())
    if fails:
        with pytest.raises(InvalidNetworkError, match=r"batch 1 \(RuntimeError: no\)"):
            networks.calibrate(model, [torch.randn(3, 4)], device="cpu")
    else:
        networks.calibrate(model, [torch.randn(3, 4)], device="cpu")
    assert model.training
    assert model.fc.training
    assert not model.norm.training
    assert len(model.fc._forward_pre_hooks) == 1
    assert not model.fc._forward_hooks
    assert all(torch.equal(tensor, state[name]) for name, tensor in model.state_dict().items())
    assert all(one is other for one, other in zip(parameters, model.parameters(), strict=True))
    assert torch.backends.mha.get_fastpath_enabled()


@pytest.mark.parametrize("value", [float("nan"), float("inf")])
@pytest.mark.parametrize("moments", ["full", "diagonal"])
def test_nan_is_refused_by_name(value: float, moments: str) -> None:
    """The layer that reads it first is named."""
    model = nn.Sequential(nn.Linear(4, 4), nn.Linear(4, 4))
    with pytest.raises(InvalidNetworkError, match=r"0\.weight reads NaN or infinity in batch 1"):
        networks.calibrate(model, [torch.full((2, 4), value)], moments=moments)


def test_every_form_of_batch() -> None:
    """A tensor, arguments by place or by name, nested ones; half precision is summed up in float32."""
    torch.manual_seed(0)
    x = torch.randn(2, 3, 4)
    model = net(lambda m, x, scale=None: m.fc(x["a"] if isinstance(x, dict) else x), fc=nn.Linear(4, 2))
    first = second(networks.calibrate(model, [x])["fc.weight"])
    assert first.dtype == np.float32
    for batch in ((x,), [x, None], {"x": x, "scale": 1.0}, {"x": {"a": x}}):
        np.testing.assert_array_equal(second(networks.calibrate(model, [batch])["fc.weight"]), first)
    half = networks.calibrate(model.to(torch.bfloat16), [x.to(torch.bfloat16)])["fc.weight"]
    expected = InputMoments.from_samples(x.to(torch.bfloat16).double().reshape(-1, 4).numpy())
    np.testing.assert_allclose(second(half), second(expected), rtol=1e-5, atol=1e-6)


def _nothing() -> Iterator[Tensor]:
    yield from ()


@pytest.mark.parametrize(
    ("batches", "options", "message"),
    [
        (torch.ones(2, 4), {}, "a single one into a list"),
        ({"x": 1}, {}, "a single one into a list"),
        (3, {}, "iterable of batches"),
        (["abc"], {}, "a batch is a tensor"),
        ([], {}, "at least one"),
        (_nothing(), {}, "at least one"),
        ([torch.ones(2, 4)], {"moments": "all"}, "'full' or 'diagonal'"),
        ([torch.ones(2, 4)], {"include": "nope"}, "matches no"),
    ],
)
def test_what_cannot_be_used_is_refused(batches: Any, options: dict[str, Any], message: str) -> None:
    """In one sentence."""
    with pytest.raises(InvalidOptionError, match=message):
        networks.calibrate(nn.Linear(4, 4), batches, **options)


@pytest.mark.parametrize(
    ("batches", "message"),
    [
        ([torch.ones(2, 4), torch.ones(2, 5)], "with batch 2 .RuntimeError: mat1 and mat2 shapes"),
        ([[torch.ones(2, 4), torch.ones(2)]], "with batch 1 .TypeError: .*such as labels"),
        ([{"inputs": torch.ones(2, 4)}], "with batch 1 .TypeError: .*'inputs'"),
        ([torch.ones(())], "with batch 1 .RuntimeError: "),
    ],
)
def test_batches_that_the_model_does_not_take(batches: list[Any], message: str) -> None:
    """By number, with what the model said; pruning layer by layer says the same."""
    layer = nn.Linear(4, 4)
    model = nn.Sequential(layer)
    with pytest.raises(InvalidNetworkError, match=message) as caught:
        networks.calibrate(model, batches)
    assert isinstance(caught.value.__cause__, RuntimeError | TypeError)
    before = layer.weight.detach().clone()
    for update in (None, "obs"):
        with pytest.raises(InvalidNetworkError, match=message):
            networks.prune_(model, batches=batches, update=update)
    assert torch.equal(layer.weight, before)


def test_a_model_without_values_is_refused() -> None:
    """Wherever the batches are."""
    model = nn.Linear(4, 4, device="meta")
    for x in (torch.ones(2, 4), torch.ones(2, 4, device="meta")):
        with pytest.raises(InvalidNetworkError, match=r"weight reads from the meta device.*load the weights first"):
            networks.calibrate(model, [x])


def test_a_model_without_layers_is_refused() -> None:
    """As prune_ refuses it."""
    with pytest.raises(InvalidNetworkError, match="no layer with a weight"):
        networks.calibrate(nn.ReLU(), [torch.ones(1)])
