"""What no example reaches stays, and all that it reads comes as before."""

from collections.abc import Callable
from copy import deepcopy
from dataclasses import dataclass
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from permsolve import networks
from permsolve.errors import InvalidOptionError, InvalidSpecError
from permsolve.networks.claims import Claims
from tests.networks.running import BRIEF, randomised, relative_error, tensors

FAST: dict[str, Any] = {**BRIEF, "solver": "random"}


class Block(nn.Module):
    """Reads 16 channels and gives 16, with 32 of its own between."""

    def __init__(self) -> None:
        super().__init__()
        self.up, self.down = nn.Linear(16, 32), nn.Linear(32, 16)

    def forward(self, x: Tensor) -> Tensor:
        down: Tensor = self.down(torch.relu(self.up(x)))
        return down


class Base(nn.Module):
    """A trunk of two blocks, and a head; ``aux`` is for the second path that subclasses have."""

    def __init__(self, aux: nn.Module | None = None) -> None:
        super().__init__()
        self.stem, self.one, self.two, self.head = nn.Linear(12, 16), Block(), Block(), nn.Linear(16, 3)
        if aux is not None:
            self.aux = aux

    def trunk(self, x: Tensor) -> Tensor:
        """What the head reads."""
        return self.two(torch.tanh(self.one(torch.tanh(self.stem(x)))))  # type: ignore[no-any-return]

    def forward(self, x: Tensor) -> Tensor:
        """The first path."""
        return self.head(self.trunk(x))  # type: ignore[no-any-return]

    def second(self, x: Tensor) -> Tensor:
        """The path that no example takes."""
        return self.aux(self.trunk(x))  # type: ignore[no-any-return]


class Joined(Base):
    """Reads the trunk beside something else, so that no length fits."""

    def second(self, x: Tensor) -> Tensor:
        return self.aux(torch.cat([x[:, :5], self.trunk(x)], -1))  # type: ignore[no-any-return]


class Sliced(Base):
    """Reads a part of the trunk that does not divide it."""

    def second(self, x: Tensor) -> Tensor:
        return self.aux(self.trunk(x)[:, :7])  # type: ignore[no-any-return]


class Partial(Base):
    """Runs some parts of a container."""

    def __init__(self) -> None:
        super().__init__(nn.Linear(32, 4))
        self.body = nn.Sequential(nn.Linear(16, 32), nn.ReLU(), nn.Linear(32, 16))

    def forward(self, x: Tensor) -> Tensor:
        return self.head(self.body(self.trunk(x)))  # type: ignore[no-any-return]

    def second(self, x: Tensor) -> Tensor:
        return self.aux(self.body[:2](self.trunk(x)))  # type: ignore[no-any-return]


class Adapted(Base):
    """One of the blocks has an adapter, which is switched off."""

    def __init__(self) -> None:
        super().__init__()
        self.one.adapter = nn.Linear(32, 32)
        self.on = False
        self.one.forward = self._adapted  # type: ignore[method-assign]

    def _adapted(self, x: Tensor) -> Tensor:
        hidden = torch.relu(self.one.up(x))
        down: Tensor = self.one.down(self.one.get_submodule("adapter")(hidden) if self.on else hidden)
        return down

    def __deepcopy__(self, memo: dict[int, Any]) -> "Adapted":
        copy = Adapted()
        copy.load_state_dict(self.state_dict())
        return copy.to(self.stem.weight.dtype)

    def second(self, x: Tensor) -> Tensor:
        self.on = True
        try:
            return self.head(self.trunk(x))  # type: ignore[no-any-return]
        finally:
            self.on = False


class Keeping(Block):
    """Keeps what it computes inside."""

    kept: Tensor

    def forward(self, x: Tensor) -> Tensor:
        self.kept = torch.relu(self.up(x))
        return self.down(self.kept)  # type: ignore[no-any-return]


class Kept(Base):
    """Reads what a block has kept."""

    def __init__(self) -> None:
        super().__init__(nn.Linear(32, 4))
        self.two = Keeping()

    def second(self, x: Tensor) -> Tensor:
        self.trunk(x)
        return self.aux(self.two.kept)  # type: ignore[no-any-return]


class Caught(Base):
    """Reads what a hook caught."""

    def __init__(self) -> None:
        super().__init__(nn.Linear(32, 4))
        self.two.up.register_forward_hook(self.catch)
        self.caught: list[Tensor] = []

    def catch(self, layer: nn.Module, args: Any, output: Tensor) -> None:
        """Called by the layer."""
        self.caught = [output]

    def second(self, x: Tensor) -> Tensor:
        self.trunk(x)
        return self.aux(self.caught[0])  # type: ignore[no-any-return]


class Returning(Block):
    """Returns what is inside, too."""

    def forward(self, x: Tensor) -> Any:
        hidden = torch.relu(self.up(x))
        return self.down(hidden), {"hidden": hidden}


class Ignored(Base):
    """Reads what a block returns, and the first path does not look at."""

    def __init__(self) -> None:
        super().__init__(nn.Linear(32, 4))
        self.two = Returning()

    def trunk(self, x: Tensor) -> Tensor:
        return self.two(self.one(self.stem(x)))[0]  # type: ignore[no-any-return]

    def second(self, x: Tensor) -> Tensor:
        _, more = self.two(self.one(self.stem(x)))
        return self.aux(more["hidden"])  # type: ignore[no-any-return]


class Ordered(Base):
    """Has no layer for its second path, but an order."""

    def __init__(self) -> None:
        super().__init__()
        self.register_buffer("aux", torch.randperm(16)[:3])

    def second(self, x: Tensor) -> Tensor:
        return self.trunk(x)[:, self.aux]  # type: ignore[index]


class Scaled(Base):
    """Has no layer for its second path, but a bare parameter."""

    def __init__(self) -> None:
        super().__init__()
        self.aux = nn.ParameterList([torch.rand(16)])

    def second(self, x: Tensor) -> Tensor:
        return self.head(self.trunk(x) * self.aux.get_parameter("0"))  # type: ignore[no-any-return]


class Tied(Base):
    """The second head has the weight of the first, and reads another axis with it."""

    def __init__(self) -> None:
        super().__init__(nn.Linear(16, 3, bias=False))
        self.aux.weight = self.head.weight

    def second(self, x: Tensor) -> Tensor:
        return self.aux(self.one(self.stem(x)))  # type: ignore[no-any-return]


class Held(Base):
    """Another module holds a part of a block as its own."""

    def __init__(self) -> None:
        super().__init__(nn.Linear(32, 4))
        self.view = nn.ModuleList([self.two.up])

    def second(self, x: Tensor) -> Tensor:
        return self.aux(self.view.get_submodule("0")(x[:, :8].repeat(1, 2)))  # type: ignore[no-any-return]


class Flat(nn.Module):
    """Maps, and a second head that reads them flattened."""

    def __init__(self) -> None:
        super().__init__()
        self.stem, self.head, self.aux = nn.Conv2d(3, 8, 1), nn.Conv2d(8, 4, 1), nn.Linear(128, 4)

    def forward(self, x: Tensor) -> Tensor:
        """The first path."""
        return self.head(self.stem(x))  # type: ignore[no-any-return]

    def second(self, x: Tensor) -> Tensor:
        """The path that no example takes."""
        return self.aux(self.stem(x).flatten(1))  # type: ignore[no-any-return]


class Gan(nn.Module):
    """Two networks, and only one of them is called."""

    def __init__(self) -> None:
        super().__init__()
        self.generator = nn.Sequential(nn.Linear(12, 16), Block(), nn.Linear(16, 12))
        self.aux = nn.Sequential(nn.Linear(12, 32), nn.ReLU(), nn.Linear(32, 2))

    def forward(self, x: Tensor) -> Tensor:
        """The first path."""
        return self.generator(x)  # type: ignore[no-any-return]

    def second(self, x: Tensor) -> Tensor:
        """The path that no example takes."""
        return self.aux(x)  # type: ignore[no-any-return]


class Scorer:
    """An object that is no module, with a layer in a list."""

    def __init__(self) -> None:
        self.layers = [nn.Linear(16, 4).double()]


class Listed(Base):
    """Its second head is in an object, so that it is not registered."""

    def __init__(self) -> None:
        super().__init__()
        self.scorer = {"one": Scorer()}

    def second(self, x: Tensor) -> Tensor:
        return self.scorer["one"].layers[0](self.trunk(x))  # type: ignore[no-any-return]


class Tabled(Base):
    """Its second path reads a plain tensor."""

    def __init__(self) -> None:
        super().__init__()
        self.mean = torch.arange(16.0)

    def second(self, x: Tensor) -> Tensor:
        return self.head(self.trunk(x) * self.mean)  # type: ignore[no-any-return]


@dataclass
class Case:
    """A model; the second path that its example does not take; what moves all the same."""

    build: Callable[[], Any]
    unreached: str
    moving: tuple[str, ...] = ("one.down.weight", "two.down.weight")
    shape: tuple[int, ...] = (5, 12)


CASES = {
    "head": Case(lambda: Base(nn.Linear(16, 4)), "aux (2 tensors)"),
    "joined": Case(lambda: Joined(nn.Linear(21, 4)), "aux (2 tensors)"),
    "sliced": Case(lambda: Sliced(nn.Linear(7, 4)), "aux (2 tensors)"),
    "part of a container": Case(Partial, "aux (2 tensors)"),
    "adapter": Case(Adapted, "one.adapter (2 tensors)", ("two.down.weight",)),
    "kept": Case(Kept, "aux (2 tensors)", ("one.down.weight",)),
    "caught": Case(Caught, "aux (2 tensors)", ("one.down.weight",)),
    "ignored": Case(Ignored, "aux (2 tensors)", ("one.down.weight",)),
    "order": Case(Ordered, "aux"),
    "bare": Case(Scaled, "aux.0"),
    "not registered": Case(Listed, "scorer (2 tensors)"),
    "tied": Case(Tied, "aux.weight"),
    "held": Case(Held, "aux (2 tensors)", ("one.down.weight",)),
    "flat": Case(Flat, "aux (2 tensors)", (), (5, 3, 4, 4)),
    "two networks": Case(Gan, "aux (4 tensors)", ("generator.1.down.weight",)),
}


def _both(model: Any, x: Tensor) -> list[Tensor]:
    with torch.no_grad():
        return [model(x).clone(), model.second(x).clone()]


def test_a_plain_tensor_holds_axes_of_its_length() -> None:
    """No report names it: it may be a constant, or what a call has left."""
    model = randomised(Tabled()).eval()
    x = torch.randn(5, 12, dtype=torch.float64)
    before = _both(model, x)
    report = networks.permute_(model, (x,), "1:2", **FAST)
    assert relative_error(_both(model, x), before) < 1e-9
    assert report.permuted_inputs == ("one.down.weight", "two.down.weight")


@pytest.mark.parametrize("name", CASES)
def test_other_paths_compute_what_they_did(name: str) -> None:
    """The report names what was not reached, and only axes that nobody else can see have moved."""
    case = CASES[name]
    torch.manual_seed(0)
    model: Any = randomised(case.build()).eval()
    x = torch.randn(case.shape, dtype=torch.float64)
    before, state = _both(model, x), deepcopy(model.state_dict())
    report = networks.permute_(model, (x,), "1:2", **FAST)
    assert relative_error(_both(model, x), before) < 1e-9, report.table()
    assert report.permuted_inputs == case.moving
    assert case.unreached in report.notes["not reached"]
    assert "several examples" in report.notes["not reached"]
    for one in state.keys() & set(report.spec.unreached):
        assert torch.equal(state[one], model.state_dict()[one])
        if one.endswith("weight") and name != "tied":
            assert report.skipped[one] == "held by the example inputs, which do not reach it"


class Several(Base):
    """A model with a flag, a method and a part that is a network of its own."""

    def __init__(self) -> None:
        super().__init__(nn.Linear(16, 4))
        self.judge = nn.Sequential(nn.Linear(12, 24), nn.ReLU(), nn.Linear(24, 2))

    def forward(self, x: Tensor, aux: bool = False) -> Any:
        """One path or the other."""
        hidden = self.trunk(x)
        return {"aux": self.aux(hidden)} if aux else {"out": self.head(hidden)}

    def embed(self, x: Tensor) -> Tensor:
        """A part of the trunk."""
        return self.one(self.stem(x))  # type: ignore[no-any-return]

    def everything(self, x: Tensor) -> list[Tensor]:
        """All that there is."""
        with torch.no_grad():
            return list(tensors([self(x), self(x, aux=True), self.embed(x), self.judge(x)]))


def test_the_union_of_several_calls() -> None:
    """What any of them reaches moves, what any of them demands holds; all are verified."""
    torch.manual_seed(0)
    model = randomised(Several()).eval()
    x = torch.randn(5, 12, dtype=torch.float64)
    before = model.everything(x)  # type: ignore[operator]
    calls = [(x,), {"x": x, "aux": True}, networks.Call((x,), method="embed"), networks.Call((x,), method="judge")]
    report = networks.permute_(model, calls, "1:2", **FAST)
    assert relative_error(model.everything(x), before) < 1e-9  # type: ignore[operator]
    assert not report.spec.unreached
    assert "not reached" not in report.notes
    parts = ("one.up", "one.down", "two.down", "head", "aux", "judge.2")  # what embed returns is not two's to order
    assert report.permuted_inputs == tuple(f"{part}.weight" for part in parts)
    assert networks.Spec.from_dict(report.spec.to_dict()).unreached == ()
    alone = networks.trace(model, (x,))
    assert networks.Spec.from_dict(alone.to_dict()).unreached == alone.unreached
    assert {name.partition(".")[0] for name in alone.unreached} == {"aux", "judge"}


def test_free_outputs_of_several_calls() -> None:
    """Each call that has the output gives it in an order that the report states."""
    torch.manual_seed(0)
    model = randomised(Several()).eval()
    x = torch.randn(5, 12, dtype=torch.float64)
    model.head, model.aux = Block().double(), Block().double()
    calls = [networks.Call((x,), method="embed"), (x,), {"x": x, "aux": True}]
    before = model.everything(x)  # type: ignore[operator]
    report = networks.permute_(model, calls, "1:2", free_outputs=["aux", 0], **FAST)
    assert report.max_relative_error is not None
    assert set(report.outputs) <= {"output:0", "output:1.0", "output:2.0"}
    after = model.everything(x)  # type: ignore[operator]
    for name, place in (("output:1.0", 0), ("output:2.0", 1), ("output:0", 2)):
        order = report.outputs.get(name, {}).get(1, list(range(16)))
        assert relative_error([after[place]], [before[place][:, order]]) < 1e-9
    with pytest.raises(InvalidOptionError, match=r"names 'none', but the outputs are 0 .. 0; .'out'.; .'aux'."):
        networks.trace(model, calls, free_outputs=["none"])


def test_every_call_is_verified() -> None:
    """A wrong spec that only the second call shows; the model stays as it was."""
    torch.manual_seed(0)
    model = randomised(Several()).eval()
    x = torch.randn(5, 12, dtype=torch.float64)
    calls = [(x,), (x, True), networks.Call((x,), method="judge")]
    right, state = networks.trace(model, calls), deepcopy(model.state_dict())
    groups = tuple(
        networks.AxisGroup(g.name, g.size, tuple(use for use in g.uses if use.name != "aux.weight"))
        for g in right.groups
    )
    spec = networks.Spec(groups, right.shapes)
    networks.permute_(deepcopy(model), (x,), "1:2", spec=spec, **FAST)
    with pytest.raises(networks.VerificationError, match="computes something else"):
        networks.permute_(model, calls, "1:2", spec=spec, **FAST)
    assert all(torch.equal(state[name], tensor) for name, tensor in model.state_dict().items())


@pytest.mark.parametrize(
    ("example", "words"),
    [
        ([torch.ones(5, 12), torch.ones(5, 12)], "a list with a Tensor in it, .* one call or several: .*tuple"),
        ([(torch.ones(5, 12),), torch.ones(5, 12)], "a list with a Tensor in it"),
        ([], "an empty list: give one call at least"),
        ([3], "a tuple of arguments, a dict .* a Call, or a list of such calls, got int"),
        (3, "a tuple of arguments, a dict .* a Call, or a list of such calls, got int"),
        ({3: torch.ones(5, 12)}, "a tuple of arguments, a dict .*, got dict"),
    ],
)
def test_unclear_examples(example: Any, words: str) -> None:
    """Refused in one sentence."""
    with pytest.raises(InvalidOptionError, match=words):
        networks.trace(Base(), example)


def test_calls() -> None:
    """What is no call is none; one call may be written in many ways."""
    wrong: list[Any] = [(3,), ((), {3: 4}), ((), {}, 5)]
    for arguments in wrong:
        with pytest.raises(InvalidOptionError, match="a Call has a tuple of arguments"):
            networks.Call(*arguments)
    x = torch.ones(5, 12)
    specs = [networks.trace(Base(), one) for one in (x, [x], {"x": x})]
    assert len({str(spec.to_dict()) for spec in specs}) == 1


def test_an_unreached_number_holds_nothing() -> None:
    """It has no order; nor has a mask of bools that is not saved, nor a table of another length."""

    class Model(Base):
        def __init__(self) -> None:
            super().__init__()
            self.temperature = nn.Parameter(torch.ones(1))
            self.register_buffer("mask", torch.ones(16, 16, dtype=torch.bool), persistent=False)
            self.register_buffer("places", torch.arange(9), persistent=False)

    x = torch.ones(5, 12)
    model = Model()
    spec = networks.trace(model, (x,))
    assert len(spec.groups) == len(networks.trace(Base(), (x,)).groups) == 5
    assert "not reached" not in spec.notes
    model.register_buffer("table", torch.rand(16), persistent=False)
    assert len(networks.trace(model, (x,)).groups) == 2


def test_columns_that_no_operator_reads() -> None:
    """The example reads some of a weight: the others have no demands, and yet no freedom."""

    class Model(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.stem, self.last = nn.Linear(12, 16), nn.Linear(16, 3)

        def forward(self, x: Tensor, width: int = 8) -> Tensor:
            return F.linear(self.stem(x)[:, :width], self.last.weight[:, :width], self.last.bias)

    torch.manual_seed(0)
    model = randomised(Model()).eval()
    x = torch.randn(5, 12, dtype=torch.float64)
    with torch.no_grad():
        before = [model(x, width) for width in (8, 16)]
        report = networks.permute_(model, (x,), "1:2", **FAST)
        assert report.permuted_inputs == ("last.weight",)
        assert relative_error([model(x, width) for width in (8, 16)], before) < 1e-9
    assert report.skipped["last.weight"].startswith("8 of 16 columns: held by")


def test_what_only_training_reaches_is_reached() -> None:
    """Both modes are traced."""

    class Model(Base):
        def __init__(self) -> None:
            super().__init__(nn.Linear(16, 3))

        def forward(self, x: Tensor) -> Tensor:
            return self.head(self.trunk(x)) + (self.aux(self.trunk(x)) if self.training else 0.0)  # type: ignore[no-any-return]

    report = networks.permute_(Model(), (torch.randn(5, 12),), "1:2", **FAST)
    assert not report.spec.unreached
    assert "aux.weight" in report.permuted_inputs
    assert "training mode" not in report.notes


def _mlp(width: int = 24) -> nn.Sequential:
    layers = (nn.Linear(12, width), nn.ReLU(), nn.Linear(width, 16), nn.ReLU(), nn.Linear(16, 3))
    return nn.Sequential(*layers).eval()


def _foreign(change: str) -> tuple[nn.Module, networks.Spec]:
    """A model, and axis groups that are not its own."""
    model, x = _mlp(), torch.ones(5, 12)
    spec = networks.trace(_mlp(32 if change == "shape" else 24), (x,))
    if change == "name":
        model = nn.Sequential(nn.Linear(12, 24), nn.Linear(24, 3))
    if change == "tie":
        model[4].weight = model[2].weight = nn.Parameter(torch.randn(16, 24))
        shapes = {**spec.shapes, "4.weight": (16, 24)}
        uses = [networks.AxisUse(name, 1, torch.arange(24)[:, None].numpy()) for name in ("2.weight", "4.weight")]
        spec = networks.Spec(tuple(networks.AxisGroup(u.name, 24, (u,)) for u in uses), shapes)
    if change == "alias":
        spec = networks.Spec(spec.groups, spec.shapes, aliases={"4.weight": "2.weight"})
    if change == "memory":
        model[0].bias = nn.Parameter(torch.randn(1).expand(24))
    if change == "reader":
        readers = {"2.weight": networks.spec.Reader(("7",), 5)}
        spec = networks.Spec(spec.groups, spec.shapes, readers=readers)
    if change == "index":
        use = networks.AxisUse("2.bias", 0, torch.arange(16)[:, None].numpy(), values=True)
        spec = networks.Spec((networks.AxisGroup("g", 16, (use,)),), spec.shapes)
    return model, spec


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ("shape", r"'0.weight' has shape \(24, 12\), the axis groups say \(32, 12\)"),
        ("name", "no parameter or buffer '2.weight'"),
        ("tie", "'2.weight' and '4.weight' are one tensor in the model, but the axis groups move them in two ways"),
        ("alias", "say that '4.weight' is tied to '2.weight', but their shapes are"),
        ("memory", "move '0.bias', which is held by memory that it shares"),
        ("reader", "say that layer '7' reads '2.weight', but there is none"),
        ("index", "say that '2.bias' is an index whose values are positions 0 .. 15"),
    ],
)
@pytest.mark.parametrize("verify", [True, False])
def test_axis_groups_of_another_model_are_refused(change: str, words: str, verify: bool) -> None:
    """Before anything is changed."""
    model, spec = _foreign(change)
    before = deepcopy(model.state_dict())
    with pytest.raises(InvalidSpecError, match=words) as caught:
        networks.permute_(model, (torch.ones(5, 12),), spec=spec, verify=verify, **FAST)
    assert "\n" not in str(caught.value)
    assert all(torch.equal(before[name], tensor) for name, tensor in model.state_dict().items())


def _half_spec(unreached: tuple[str, ...] = ()) -> networks.Spec:
    """The first eight outputs of the first layer of :func:`_mlp`."""
    shapes = {"0.weight": (24, 12), "0.bias": (24,), "2.weight": (16, 24)}
    places = torch.arange(8)[:, None].numpy()
    uses = tuple(networks.AxisUse(name, int(name == "2.weight"), places) for name in shapes)
    return networks.Spec((networks.AxisGroup("g", 8, uses),), shapes, unreached=unreached)


@pytest.mark.parametrize(("name", "place", "claimed"), [
    ("0.weight", 7, True), ("0.bias", 7, True), ("0.weight", 8, False), ("0.bias", 8, False), ("4.weight", 0, False),
])  # fmt: skip
def test_only_what_is_claimed_moves(name: str, place: int, claimed: bool) -> None:
    """The second net: entries outside of the groups that are permuted are as they were."""
    model = _mlp()
    claims = Claims(model, _half_spec(), {"g"})
    claims.check(model)
    with torch.no_grad():
        model.get_parameter(name)[place] += 1.0
    if claimed:
        claims.check(model)
        return
    with pytest.raises(networks.VerificationError, match=f"entries of '{name}' would change that belong to no"):
        claims.check(model)


def test_a_plan_that_moves_what_was_not_reached_is_refused() -> None:
    """Whatever made it; the model is as it was."""
    model = _mlp()
    before = deepcopy(model.state_dict())
    with pytest.raises(
        networks.VerificationError, match=r"'0.weight' would move, though the example inputs do not reac"
    ):
        networks.permute_(model, (torch.ones(5, 12),), spec=_half_spec(("0.weight",)), **FAST)
    assert all(torch.equal(before[name], tensor) for name, tensor in model.state_dict().items())
