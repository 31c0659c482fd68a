"""The calls that a checkpoint's model is traced and verified with."""

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor
from torch.utils import _pytree as pytree
from torch.utils._python_dispatch import TorchDispatchMode

from permsolve.errors import InvalidNetworkError, UntraceableError
from permsolve.networks.checkpoints.calibration_data import read_call
from permsolve.networks.checkpoints.foreign import calling_package
from permsolve.networks.checkpoints.inputs import Call, made_calls
from permsolve.networks.checkpoints.loading import Loaded
from permsolve.networks.checkpoints.outputs import Outputs
from permsolve.networks.trace.export import described

# Names of parameters that a message lists.
_NAMED = 4
_GIVE = "give the arguments of a call, by name, with --inputs FILE.npz, which may be repeated"
_MEND = "mend the arguments"


@dataclass(frozen=True, slots=True)
class Examples:
    """Calls of a model.

    Attributes
    ----------
    calls : list of dict of str to Tensor
        Arguments by name.
    unreached : tuple of str
        Parameters that none of the calls reads, so that they stay as they are, and all that they may share.
    """

    calls: list[Call]
    unreached: tuple[str, ...]

    def remark(self) -> str | None:
        """What a user should know of parameters that are not reached; None where all are."""
        if not self.unreached:
            return None
        more = f" and {len(self.unreached) - _NAMED} more" if len(self.unreached) > _NAMED else ""
        return (
            f"no example reaches {', '.join(self.unreached[:_NAMED])}{more}: they are as they were, and so is "
            f"every axis that they may share; to permute these, too, {_GIVE}"
        )


def example_calls(
    model: Outputs, loaded: Loaded, given: Sequence[Path] | None = None, first: Call | None = None
) -> Examples:
    """Calls that together reach as many parameters of a model as can be.

    Parameters
    ----------
    model : Outputs
        The model.
    loaded : Loaded
        Where it comes from.
    given : sequence of Path, optional
        Files of arguments (.npz); without them, calls are made after the configuration.
    first : dict of str to Tensor, optional
        A call that the model takes, and that comes first.

    Raises
    ------
    FileFormatError
        When a file cannot be read, or the model cannot be called with it.
    InvalidNetworkError
        When no call is known.
    """
    calls = [] if first is None else [first]
    missing = _parameters(model).difference(*(_reached(model, call) for call in calls))
    for path in given or ():
        calls.append(read_call(path, model.whole))
        with calling_package(path, f"{type(model.whole).__name__} cannot be called with it", _MEND):
            missing -= _reached(model, calls[-1])
    failure: Exception | None = None
    if not given and missing:
        made, missing, failure = _made(model, loaded, missing)
        calls += made
    if not calls:
        raised = f" ({described(failure)})" if failure is not None else ""
        raise InvalidNetworkError(
            f"{type(model.whole).__name__} reads {model.whole.main_input_name}, for which no example is known{raised}: "
            f"{_GIVE}"
        )
    return Examples(calls, tuple(sorted(missing)))


@contextmanager
def tracing(source: Path, on_remark: Callable[[str], None] | None, examples: Examples) -> Iterator[None]:
    """Say of a model that cannot be traced what helps with a checkpoint, and afterwards what was not reached.

    Raises
    ------
    UntraceableError
        With a remedy of the commands for checkpoints.
    """
    try:
        yield
    except UntraceableError as error:
        said = str(error).partition("). Make ")[0] + ")"
        raise UntraceableError(
            f"{source}: {said}: give a call that can be traced with --inputs FILE.npz; what it does not reach stays as "
            "it is"
        ) from error
    remark = examples.remark()
    if remark is not None and on_remark is not None:
        on_remark(remark)


def _made(model: Outputs, loaded: Loaded, missing: set[str]) -> tuple[list[Call], set[str], Exception | None]:
    """Calls made after the configuration, what none of them reaches, and what the model raised first, if anything.

    Besides those that reach what others do not, one with tokens alone, where the model takes it: another of its ways.
    """
    calls: list[Call] = []
    failure: Exception | None = None
    tried: set[frozenset[str]] = set()
    for call in made_calls(model.whole, loaded.folder):
        if not missing and (call.keys() != {"input_ids"} or frozenset(call) in tried):
            continue
        try:
            new = missing & _reached(model, call)
        except Exception as error:  # of a call that may not suit the model, whose code raises what it likes
            failure = failure or error
            continue
        if new or (call.keys() == {"input_ids"} and frozenset(call) not in tried):
            calls.append(call)
            missing = missing - new
            tried.add(frozenset(call))
    return calls, missing, failure


def _parameters(model: Outputs) -> set[str]:
    """Names of the parameters that could be out of step."""
    return {name for name, parameter in model.named_parameters(remove_duplicate=False) if parameter.numel() > 1}


def _reached(model: Outputs, call: Call) -> set[str]:
    """Names of the parameters that a call reads."""
    with torch.random.fork_rng(), torch.no_grad(), _Reading() as reading:
        model(**call)
    return {
        name
        for name, parameter in model.named_parameters(remove_duplicate=False)
        if parameter.untyped_storage().data_ptr() in reading.storages
    }


class _Reading(TorchDispatchMode):
    """Notes the memory of all tensors that operators read."""

    def __init__(self) -> None:
        super().__init__()
        self.storages: set[int] = set()

    def __torch_dispatch__(
        self, func: Any, types: Any, args: tuple[Any, ...] = (), kwargs: dict[str, Any] | None = None
    ) -> Any:
        """Note the arguments of an operator, and run it."""
        for leaf in pytree.tree_leaves((args, kwargs)):
            if isinstance(leaf, Tensor):
                self.storages.add(leaf.untyped_storage().data_ptr())
        return func(*args, **(kwargs or {}))
