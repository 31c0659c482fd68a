"""The calls that a checkpoint's model is traced and verified with."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch
from torch import Tensor
from torch.utils import _pytree as pytree
from torch.utils._python_dispatch import TorchDispatchMode

from permsolve.errors import InvalidNetworkError
from permsolve.networks.checkpoints.calibration_data import read_call
from permsolve.networks.checkpoints.foreign import calling_package
from permsolve.networks.checkpoints.inputs import Call, made_calls
from permsolve.networks.checkpoints.loading import Loaded
from permsolve.networks.checkpoints.outputs import Outputs
from permsolve.networks.trace.calls import ExampleInputs
from permsolve.networks.trace.export import described

# Names of parameters that a message lists.
_NAMED = 4
_GIVE = "give the arguments of a call that does, by name, with --inputs FILE.npz, which may be repeated"
_MEND = "mend the arguments"


def example_calls(
    model: Outputs, loaded: Loaded, given: Sequence[Path] | None = None, first: Call | None = None
) -> ExampleInputs:
    """Calls that together reach every parameter of a model.

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
        When no call is known, or a parameter is not reached.
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
    name = type(model.whole).__name__
    if not calls:
        raised = f" ({described(failure)})" if failure is not None else ""
        raise InvalidNetworkError(
            f"{name} reads {model.whole.main_input_name}, for which no example is known{raised}: {_GIVE}"
        )
    if missing:
        more = f" and {len(missing) - _NAMED} more" if len(missing) > _NAMED else ""
        raise InvalidNetworkError(
            f"{name}: no example is known that reaches {', '.join(sorted(missing)[:_NAMED])}{more}, which would not "
            f"follow what is permuted: {_GIVE}"
        )
    return calls[0] if len(calls) == 1 else calls


def _made(model: Outputs, loaded: Loaded, missing: set[str]) -> tuple[list[Call], set[str], Exception | None]:
    """Calls made after the configuration, what none of them reaches, and what the model raised first, if anything."""
    calls: list[Call] = []
    failure: Exception | None = None
    for call in made_calls(model.whole, loaded.folder):
        try:
            new = missing & _reached(model, call)
        except Exception as error:  # of a call that may not suit the model, whose code raises what it likes
            failure = failure or error
            continue
        if new:
            calls.append(call)
            missing = missing - new
        if not missing:
            break
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
