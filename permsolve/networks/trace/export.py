"""From a module to a functional ATen graph."""

import logging
import warnings
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass, replace
from typing import Any

import torch
from torch import nn
from torch.nn.parameter import is_lazy
from torch.utils import _pytree as pytree

from permsolve.errors import InvalidNetworkError, PermsolveError, UntraceableError
from permsolve.networks.copying import copied
from permsolve.networks.keeping import kept
from permsolve.networks.trace.calls import Call, ExampleInputs, calls_of, plain
from permsolve.networks.trace.observing import Observer

# What torch says where it speaks of its own inner workings only -> what it is about.
_MEANINGS = {
    "fake tensor in the exported program constant's list": "the forward computes gradients itself (torch.autograd), or "
    "reads a tensor that it kept from an earlier call",
}


def _on_meta(model: nn.Module) -> bool:
    """Whether a model has no values at all."""
    tensors = [*model.parameters(), *model.buffers()]
    return bool(tensors) and all(tensor.is_meta for tensor in tensors)


def _placed(model: nn.Module, call: Call) -> Call:
    """A call with its arguments on the meta device where the whole model is."""
    if not _on_meta(model):
        return call
    args, kwargs = pytree.tree_map_only(torch.Tensor, lambda tensor: tensor.to("meta"), (call.args, call.kwargs))
    return replace(call, args=args, kwargs=kwargs)


@contextmanager
def mode(model: nn.Module, training: bool) -> Iterator[None]:
    """Put the whole module into training or evaluation mode, and every part back into its own afterwards."""
    before = [(part, part.training) for part in model.modules()]
    model.train(training)
    try:
        yield
    finally:
        for part, was in before:
            part.training = was


def as_module(model: object) -> nn.Module:
    """The model as it is.

    Raises
    ------
    InvalidNetworkError
        When it is no module.
    """
    if not isinstance(model, nn.Module):
        raise InvalidNetworkError(f"the model must be a torch.nn.Module, got {type(model).__name__}")
    return model


def check_module(model: object) -> None:
    """Refuse what is no module, or has parameters without a shape.

    Raises
    ------
    InvalidNetworkError
        With the remedy.
    """
    model = as_module(model)
    for name, parameter in model.named_parameters():
        if is_lazy(parameter):
            raise InvalidNetworkError(f"{name} has no shape yet: run the model once first")


def check_traceable(model: nn.Module) -> None:
    """Refuse modules whose code is no longer Python: nobody can follow what they do with their weights.

    Raises
    ------
    UntraceableError
        With the name of the first one.
    """
    for name, module in model.named_modules():
        if isinstance(module, torch.jit.ScriptModule):
            raise UntraceableError(
                f"{name or 'the model'} is compiled by torch.jit, which leaves no Python code to trace: permute the "
                "module that it was made from, and compile that again"
            )


def described(error: BaseException) -> str:
    """An error of a model or of torch in one line, which is not too long."""
    said = " ".join(str(error).split())
    return f"{type(error).__name__}: {said[:300]}".removesuffix(": ")


@contextmanager
def calling(what: str, remedy: str) -> Iterator[None]:
    """Say of an error in a call of a model what it was called with; what the model raised is the cause.

    Raises
    ------
    InvalidNetworkError
        In place of all errors but those of this package.
    """
    try:
        yield
    except PermsolveError:
        raise
    except Exception as error:  # a model is somebody's code: whatever it raises
        raise InvalidNetworkError(f"the model cannot be called with {what} ({described(error)}): {remedy}") from error


def called(model: nn.Module, example_inputs: ExampleInputs) -> Any:
    """Output of a model in evaluation mode; a list of them for several calls.

    Raises
    ------
    InvalidNetworkError
        When it cannot be called with the example.
    """
    calls = [_placed(model, call) for call in calls_of(example_inputs)]
    remedy = "mend the inputs, or load the model, which is on the meta device" if _on_meta(model) else "mend the inputs"
    with kept(model, entries=True), mode(model, False), torch.no_grad(), calling("the example inputs", remedy):
        outputs = [call.of(model) for call in calls]
    return outputs if len(outputs) > 1 else outputs[0]


def check_example(model: nn.Module, example_inputs: ExampleInputs) -> None:
    """Refuse an example that a model cannot be called with.

    Raises
    ------
    InvalidNetworkError
        With what the model raised.
    """
    try:
        copy = copied(model, "be tried")  # whose state may advance
    except InvalidNetworkError:  # then nobody knows
        return
    with torch.random.fork_rng():
        called(copy, example_inputs)


def constants(program: Any) -> list[torch.Tensor]:
    """Tensors that a graph reads, but that are neither parameters nor buffers."""
    names = program.graph_signature.inputs_to_lifted_tensor_constants.values()
    return [program.constants[name] for name in names]


PREFIX = "whole."


class _ForwardError(Exception):
    """The forward of the model has failed; with the cause.

    Of a class that torch does not know: for some of its own it prints the graph to stderr.
    """


class _Whole(nn.Module):
    """The model as a part: as the whole of a graph, its names could clash with those of a graph module.

    With an observer it returns what left the parts of the model, too.
    """

    def __init__(self, model: nn.Module, method: str, observer: Observer | None) -> None:
        super().__init__()
        self.whole = model
        self.training = model.training
        self.method, self.observer = method, observer

    def forward(self, *args: Any, **kwargs: Any) -> Any:
        call = Call(args, kwargs, self.method)
        try:
            with kept(self.whole):  # torch calls it more than once, and each call must find it as it was
                if self.observer is None:
                    return _taken_apart(call.of(self.whole)), ()
                with self.observer.watching(self.whole):
                    output = _taken_apart(call.of(self.whole))
        except Exception as error:
            raise _ForwardError from error
        return output, tuple(self.observer.tensors)


def _taken_apart(output: Any) -> Any:
    """What a call returned; of a dataclass that torch does not know its fields, by name."""
    unknown = type(output) not in pytree.SUPPORTED_NODES and hasattr(output, "__dataclass_fields__")
    return plain(output) if unknown else output


@contextmanager
def _quiet_torch() -> Iterator[None]:
    """Keep torch from logging what ends up in an error, unless somebody asked it to log more, or less."""
    logger = logging.getLogger("torch")
    if logger.level != logging.WARNING:
        yield
        return
    logger.setLevel(logging.CRITICAL)
    try:
        yield
    finally:
        logger.setLevel(logging.WARNING)


@dataclass(frozen=True, eq=False)
class Exported:
    """A traced call.

    Attributes
    ----------
    program : ExportedProgram
        The functional graph. Its outputs are those of the model, then what left its parts.
    outputs : TreeSpec
        How the outputs of the model are nested.
    places : tuple of str, or None
        From where each further output was seen (see :class:`Observer`); None where nobody watched.
    ran : frozenset of str
        Names of the modules that were called.
    """

    program: Any
    outputs: Any
    places: tuple[str, ...] | None
    ran: frozenset[str]


def exported(model: nn.Module, example_inputs: ExampleInputs, *, training: bool) -> Exported:
    """One call of the module as a functional graph of ATen operators, high-level ones kept.

    Raises
    ------
    UntraceableError
        When torch cannot export it, for example because its course depends on data.
    """
    (call,) = calls_of(example_inputs)
    call = _placed(model, call)
    with kept(model), mode(model, training), _as_built(model), warnings.catch_warnings(), _quiet_torch():
        warnings.simplefilter("ignore")
        try:
            return _observed(model, call) or _exported(model, call, None)
        except Exception as error:  # the model's own code runs here: whatever it raises ends up in one clear message
            failure = error.__cause__ if isinstance(error, _ForwardError) and error.__cause__ is not None else error
            said = described(failure)
            reason = next((meaning for text, meaning in _MEANINGS.items() if text in said), said)
            raise UntraceableError(
                f"torch.export cannot trace {type(model).__name__} ({reason}). Make the forward free of data-dependent "
                "control flow and of calls of torch.autograd, or write the axis groups by hand "
                "(permsolve.networks.Spec) and pass them as spec="
            ) from failure


@contextmanager
def _as_built(model: nn.Module) -> Iterator[None]:
    """No gradients; inference mode for a model that was built in it, where torch may set what wants gradients."""
    built = any(tensor.is_inference() for tensor in (*model.parameters(), *model.buffers()))
    with torch.inference_mode() if built else nullcontext(), torch.no_grad():
        yield


def _observed(model: nn.Module, call: Call) -> Exported | None:
    """A traced call that was watched; None where what left the parts of the model cannot be returned."""
    try:
        return _exported(model, call, Observer(model))
    except _ForwardError:
        raise
    except Exception:  # torch's, on the further outputs perhaps: without them, it shows whether the model is traceable
        return None


def _exported(model: nn.Module, call: Call, observer: Observer | None) -> Exported:
    whole = _Whole(model, call.method, observer)
    program = torch.export.export(whole, call.args, dict(call.kwargs), strict=False).run_decompositions({})
    outputs = program.call_spec.out_spec.children()[0]
    if observer is None:
        return Exported(program, outputs, None, frozenset())
    return Exported(program, outputs, tuple(observer.places), frozenset(observer.ran))
