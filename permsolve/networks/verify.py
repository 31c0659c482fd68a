"""Run a model before and after, and compare what comes out.

Everything runs on copies, in float64 where the model allows: there a legitimate permutation moves the outputs by some
1e-15, so that a wrong one cannot hide in rounding. Where a model computes in a shorter
type inside, the comparison is coarser.
"""

from collections.abc import Callable, Mapping, Sequence
from contextlib import nullcontext
from dataclasses import dataclass, replace
from functools import partial
from typing import Any

import torch
from torch import nn
from torch.nn import functional as F
from torch.overrides import TorchFunctionMode
from torch.utils import _pytree as pytree
from torch.utils._python_dispatch import TorchDispatchMode

from permsolve.errors import InvalidNetworkError, PermsolveError, VerificationError
from permsolve.networks.copying import copied
from permsolve.networks.differences import comparable, difference, leaves, reordered
from permsolve.networks.keeping import kept
from permsolve.networks.spec import output_place
from permsolve.networks.trace.calls import Call, ExampleInputs, calls_of
from permsolve.networks.trace.export import described, mode

TOLERANCE = 1e-9
# Of models that compute in a shorter type inside, whatever type their parameters have, by its number of bytes.
COARSE_TOLERANCES = {4: 2e-5, 2: 5e-2, 1: 5e-2}
SCALES = (1.0, 0.1, 10.0)
_WHY = "be verified (permute_ with verify=False does without)"
_NOTHING = "the model returned no finite numbers that could be compared, so that outputs are not known to be as before"
# Torch takes so many different seeds.
_SEEDS = 1 << 63

_DROPOUTS = (
    F.dropout, F.dropout1d, F.dropout2d, F.dropout3d, F.alpha_dropout, F.feature_alpha_dropout, torch.dropout,
)  # fmt: skip


@dataclass
class _Run:
    """What one call gave."""

    outputs: list[torch.Tensor | None]
    state: dict[str, torch.Tensor]


class Reference:
    """Outputs of a model before it is permuted, to be compared with those after.

    Parameters
    ----------
    model : Module
        The model as it is now; it is copied.
    example_inputs : tuple, dict, Tensor, Call, or list of these
        One call, or several (see :func:`permsolve.networks.trace`); outputs of all of them are compared.
    seed : int
        Of the further inputs that are drawn.

    Raises
    ------
    InvalidNetworkError
        When the model cannot be copied, or not be called with the example.
    """

    def __init__(self, model: nn.Module, example_inputs: ExampleInputs, seed: int) -> None:
        self._share = True
        try:
            self._run(model, example_inputs, seed)
        except _ParameterWrittenError:
            self._share = False
            self._run(model, example_inputs, seed)

    def _run(self, model: nn.Module, example_inputs: ExampleInputs, seed: int) -> None:
        """Everything that is to be compared later."""
        self.notes: dict[str, str] = {}
        first, shortest = self._first_reference(model, example_inputs, seed)
        self.tolerance = COARSE_TOLERANCES.get(shortest, TOLERANCE)
        if self.tolerance != TOLERANCE and self._double:
            self.notes["verification"] = (
                f"the model computes in a shorter type than float64 inside: compared at {self.tolerance:.0e}"
            )
        others = [self._tried(sample, training=False) for sample in self._samples[len(first) :]]
        self._eval: list[_Run | None] = [*first, *others]
        self._train = self._training_reference(self._samples[: len(first)])

    def _first_reference(
        self, model: nn.Module, example_inputs: ExampleInputs, seed: int
    ) -> tuple[list[_Run | None], int]:
        """Outputs on the example, in float64 where the model runs in it; bytes of the shortest type of real numbers.

        Operators that compile what they are given (conditions, flexible attention) may run unwatched only.
        """
        for double, watched in ((True, True), (True, False), (False, True), (False, False)):
            self._copy, self._double = _double(model) if double else (_copied(model), False)
            self._samples = _samples(example_inputs, seed, self._double)
            self._watch: _ShortTypes | nullcontext[None] = _ShortTypes() if watched else nullcontext()
            try:
                given = self._samples[: len(calls_of(example_inputs))]
                runs: list[_Run | None] = [self._called(self._copy, one, training=False) for one in given]
            except _ParameterWrittenError:
                raise
            except Exception as error:  # the model's own code, which may mix types
                failure = error
                continue
            if not self._double:
                self.notes["verification"] = "the model does not run in float64: compared in its own type"
            return runs, self._watch.shortest if isinstance(self._watch, _ShortTypes) else 4
        raise InvalidNetworkError(
            f"the model cannot be called with the example inputs ({described(failure)}): mend the inputs, or pass "
            "verify=False where a copy of the model cannot run"
        ) from failure

    def _training_reference(self, calls: Sequence[Call]) -> list[_Run]:
        """What the calls give one after the other, each in the state that those before it left, as far as they run.

        Those with outputs that depend on random numbers end it.
        """
        memory = {id(one): one for one in self._copy.parameters()} if self._share else {}
        runners = [copied(self._copy, _WHY, dict(memory)) for _ in range(2)]
        runs: list[_Run] = []
        for call in calls:
            pair = [self._tried(call, training=True, seed=seed, model=runner) for seed, runner in enumerate(runners)]
            if pair[0] is None or pair[1] is None:
                self.notes["training mode"] = "the model does not run in training mode with these inputs: not compared"
                break
            if difference(pair[0].outputs, pair[1].outputs) > self.tolerance:
                self.notes["training mode"] = "the outputs depend on random numbers in training mode: not compared"
                break
            runs.append(pair[0])
        return runs

    def _called(
        self,
        model: nn.Module,
        sample: Call,
        *,
        training: bool,
        seed: int = 0,
        advance: bool = False,
    ) -> _Run:
        """Call a copy of the model (the model itself, with ``advance``), in training without dropout."""
        call = _mapped(sample, lambda leaf: leaf.clone() if isinstance(leaf, torch.Tensor) else leaf)
        # What the calls change in the state of a copy of the copy is lost with it; parameters are not copied again.
        parameters = list(model.parameters()) if self._share else []
        runner = model if advance else copied(model, _WHY, {id(one): one for one in parameters})
        versions = [_version(one) for one in parameters]
        # In evaluation mode, permuted channels that would meet dropout are not allowed in the first place.
        dropping = _NoDropout() if training else nullcontext()
        with kept(runner, advance=advance, entries=True), torch.random.fork_rng(), mode(runner, training):
            with torch.no_grad(), dropping, self._watch:
                torch.manual_seed(seed)
                outputs = call.of(runner)
            state = _buffers(runner)
        if [_version(one) for one in parameters] != versions:
            raise _ParameterWrittenError
        return _Run(leaves(outputs), state)

    def _tried(self, sample: Call, *, training: bool, seed: int = 0, model: nn.Module | None = None) -> _Run | None:
        """Outputs of the model as it was, but None when it refuses inputs that the caller did not give.

        ``model`` is a copy of it whose state advances.
        """
        try:
            advance = model is not None
            return self._called(
                self._copy if model is None else model, sample, training=training, seed=seed, advance=advance
            )
        except _ParameterWrittenError:
            raise
        except Exception:  # the model's own code, on inputs or in a mode that nobody promised it takes
            return None

    def _worst(
        self,
        permute: Callable[[nn.Module], object],
        restore: Callable[[nn.Module], object],
        outputs: Mapping[str, Mapping[int, Sequence[int]]],
    ) -> float:
        """Permute the one copy there is, and call it as before."""
        permute(self._copy)
        worst, count = 0.0, len(self._samples) // (1 + len(SCALES))
        orders = [
            {output_place(name)[1]: axes for name, axes in outputs.items() if output_place(name)[0] == number}
            for number in range(count)
        ]
        for number, (sample, before) in enumerate(zip(self._samples, self._eval, strict=True)):
            if before is not None:
                after = self._called(self._copy, sample, training=False)
                worst = max(worst, difference(reordered(before.outputs, orders[number % count]), after.outputs))
        for sample, run, order in zip(self._samples, self._train, orders, strict=False):
            after = self._called(self._copy, sample, training=True, advance=True)
            worst = max(worst, difference(reordered(run.outputs, order), after.outputs))
        if self._train:
            restore(self._copy)
            state = self._train[-1].state
            worst = max(worst, difference(list(state.values()), list(_buffers(self._copy).values()), _scales(state)))
        return worst

    def error(
        self,
        permute: Callable[[nn.Module], object],
        restore: Callable[[nn.Module], object],
        outputs: Mapping[str, Mapping[int, Sequence[int]]],
    ) -> float | None:
        """Largest relative difference between the model and a permuted copy of it; to be asked for once.

        None, and a note, where the model returned nothing that could be compared.

        Parameters
        ----------
        permute, restore : callable
            Permute a copy of the model in place, and undo it.
        outputs : mapping
            Orders in which free outputs come out, by name.

        Raises
        ------
        VerificationError
            When the difference is larger than rounding explains.
        """
        try:
            worst = self._worst(permute, restore, outputs)
        except PermsolveError:
            raise
        except Exception as error:
            raise VerificationError(
                f"the permuted model fails ({type(error).__name__}: {error}), which it did not before. All weights "
                "are as they were"
            ) from error
        if not worst <= self.tolerance:
            raise VerificationError(
                f"the permuted model computes something else: outputs differ by {worst:.2e} of their largest entry "
                f"(allowed: {self.tolerance:.0e}). All weights are as they were. Where a hook or a replaced forward "
                "refers to the model from outside, its copies cannot be compared: verify=False. Otherwise please "
                "report this model; until then leave its layers out with exclude=, or write the axis groups "
                "by hand (spec=)"
            )
        runs = [one for one in (*self._eval, *self._train) if one is not None]
        if not any(comparable(one.outputs) for one in runs):
            said = self.notes.get("verification")
            self.notes["verification"] = f"{_NOTHING}; {said}" if said else _NOTHING
            return None
        return worst


def _double(model: nn.Module) -> tuple[nn.Module, bool]:
    copy = _copied(model)
    real = [t for t in (*copy.parameters(), *copy.buffers()) if t.is_floating_point()]
    if any(t.element_size() == 1 or t.layout != torch.strided for t in real):
        return copy, False
    return copy.double(), True


def _copied(model: nn.Module) -> nn.Module:
    return copied(model, _WHY)


def _version(tensor: torch.Tensor) -> int:
    """Number of the last write to a tensor; 0 in inference mode, where torch does not count."""
    return 0 if tensor.is_inference() else tensor._version


def _mapped(call: Call, function: Callable[[Any], Any]) -> Call:
    """A call with a function of each leaf of its arguments."""
    args, kwargs = pytree.tree_map(function, (call.args, call.kwargs))
    return replace(call, args=args, kwargs=kwargs)


def _samples(example_inputs: ExampleInputs, seed: int, double: bool) -> list[Call]:
    """The calls of the example, and calls with fresh inputs like theirs at several scales."""
    generator = torch.Generator().manual_seed(seed % _SEEDS)
    calls = calls_of(example_inputs)

    def converted(leaf: Any) -> Any:
        if isinstance(leaf, torch.Tensor):
            return leaf.double() if double and leaf.is_floating_point() else leaf.clone()
        return leaf

    def drawn(leaf: Any, scale: float) -> Any:
        leaf = converted(leaf)
        if not isinstance(leaf, torch.Tensor) or leaf.numel() == 0:
            return leaf
        if leaf.is_floating_point():
            noise = torch.randn(leaf.shape, generator=generator, dtype=leaf.dtype, device="cpu")
            return noise.to(leaf.device) * scale
        if leaf.dtype in (torch.int64, torch.int32) and int(leaf.max()) > 1:
            new = torch.randint(int(leaf.min()), int(leaf.max()) + 1, leaf.shape, generator=generator, device="cpu")
            return new.to(leaf.device, leaf.dtype)
        return leaf

    given = [_mapped(call, converted) for call in calls]
    return given + [_mapped(call, partial(drawn, scale=scale)) for scale in SCALES for call in calls]


def _buffers(model: nn.Module) -> dict[str, torch.Tensor]:
    return {name: buffer.detach().clone() for name, buffer in model.named_buffers()}


def _scales(state: Mapping[str, torch.Tensor]) -> list[float]:
    """What a difference of each buffer is held against at least: a mean against its standard deviation.

    Where a normalised tensor is read without an activation between, the mean of what comes out is 0 up to rounding.
    """
    spreads = {
        name.removesuffix("running_var"): float(tensor.double().max().clamp(min=0.0).sqrt())
        for name, tensor in state.items()
        if name.endswith("running_var") and tensor.numel()
    }
    return [spreads.get(name.removesuffix("running_mean"), 0.0) for name in state]


class _ParameterWrittenError(Exception):
    """A call of the model wrote to a parameter."""


class _NoDropout(TorchFunctionMode):
    """Calls of dropout return their input: permuted channels would meet other random numbers."""

    def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        kwargs = dict(kwargs or {})
        if func in _DROPOUTS:
            return args[0] if args else kwargs["input"]
        if func is F.scaled_dot_product_attention:
            if len(args) > 4:
                args = (*args[:4], 0.0, *args[5:])
            else:
                kwargs["dropout_p"] = 0.0
        return func(*args, **kwargs)


class _ShortTypes(TorchDispatchMode):
    """Notes the number of bytes of the shortest type of real numbers that an operator made."""

    supports_higher_order_operators = True

    def __init__(self) -> None:
        super().__init__()
        self.shortest = 8

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        result = func(*args, **(kwargs or {}))
        for leaf in pytree.tree_leaves(result):
            if isinstance(leaf, torch.Tensor) and leaf.is_floating_point():
                self.shortest = min(self.shortest, leaf.element_size())
        return result
