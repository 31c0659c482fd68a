"""What an optimizer knows about the parameters of a model, and how it follows when their entries are re-ordered.

An optimizer may keep anything. What follows is what certainly has a number for each entry of a parameter, or for each
index of some of its axes:

- gradients, and state with the shape of its parameter. Of a square matrix the shape does not tell: a preconditioner of
  one axis has it, too. There the name must be one of :data:`ELEMENTWISE`, which torch and widely used optimizers give
  to such state, or one that the caller names;
- factored state: of length 1 along some axes, or without the axis that its name is known to lack (:data:`FACTORS`).

Numbers that belong to the parameter as a whole stay. All else (lists of matrices, flat histories, codes of 8 bits) is
refused by name, before anything is changed.
"""

from collections.abc import Collection, Iterator, Mapping
from dataclasses import replace
from typing import Any

import torch
from torch import Tensor, nn

from permsolve.checks import require
from permsolve.errors import InvalidSpecError
from permsolve.networks.spec import AxisUse
from permsolve.networks.trace.tensors import strange

# Names of state with a number for each entry of its parameter.
ELEMENTWISE = frozenset(
    {
        "acc_delta", "ax", "cached_params", "e_w", "ema", "exp_avg", "exp_avg_diff", "exp_avg_fast",
        "exp_avg_slow", "exp_avg_sq", "exp_avg_var", "exp_inf", "grad_avg", "hessian", "last_grad", "m",
        "master_param", "max_exp_avg_sq", "max_exp_avg_var", "momentum_buffer", "neg_pre_grad", "old_p", "p0",
        "pre_grad", "prev", "prev_grad", "previous_grad", "s", "shadow", "slow_buffer", "slow_param",
        "slow_params", "slow_weight", "slow_weights", "square_avg", "state1", "state2", "step_size", "sum",
        "swa_buffer", "v", "variance", "z",
    }
)  # fmt: skip
# Names of factored state -> the axis of the parameter, counted from the end, that it has no numbers for.
FACTORS = {"exp_avg_sq_row": -1, "exp_avg_sq_col": -2, "exp_avg_res_row": -1, "exp_avg_res_col": -2}

_PLAIN = (type(None), bool, int, float, str)
_REMEDY = "give no optimizer, and make a new one afterwards"


class OptimizerState:
    """The state of an optimizer, and of those that it wraps, by parameter.

    Parameters
    ----------
    optimizer : Optimizer or None
        Whose state is to follow.
    model : Module
        The model that it is said to be of.
    elementwise : collection of str
        Further names of state with a number for each entry.

    Raises
    ------
    InvalidSpecError
        When it is of another model, or keeps what cannot follow.
    """

    def __init__(
        self, optimizer: torch.optim.Optimizer | None, model: nn.Module, elementwise: Collection[str] = ()
    ) -> None:
        self._elementwise = ELEMENTWISE | set(elementwise)
        self._optimizers = [] if optimizer is None else _wrapped(optimizer)
        self._names = {id(one): name for name, one in model.named_parameters()}
        for one in self._optimizers:
            self._check_groups(one)
            self._check_state(one)
        for one in self._optimizers:
            self._check_attributes(one)

    def followers(self, name: str, tensor: Tensor, use: AxisUse) -> Iterator[tuple[str, Tensor, AxisUse]]:
        """What follows an axis of a parameter: what it is called, and where the axis lies there."""
        known = [] if tensor.grad is None or not tensor.is_leaf else [("grad", tensor.grad)]
        for optimizer in self._optimizers:
            state = optimizer.state.get(tensor)
            known += state.items() if isinstance(state, Mapping) else ()
        for kind, value in known:
            axes = self._axes(kind, value, tensor)
            if axes is None:
                raise _refusal(kind, value, name, tensor)
            if use.axis in axes:
                if use.rows is not None and value.shape != tensor.shape:
                    raise _refusal(kind, value, name, tensor)
                yield f"{kind!r} of {name}", value, replace(use, axis=axes.index(use.axis))

    def check_moved(self, moved: Collection[int]) -> None:
        """Refuse an optimizer of other parameters, when those with some identities move."""
        for one in self._optimizers:
            own = {id(parameter) for group in one.param_groups for parameter in group["params"]}
            left = [self._names[key] for key in moved if key in self._names and key not in own]
            if left and not own <= self._names.keys():
                raise InvalidSpecError(
                    f"the optimizer has parameters of another model, and not {left[0]!r} of this one: give the one "
                    "that was made with this model's parameters"
                )

    def _check_groups(self, optimizer: torch.optim.Optimizer) -> None:
        own = {id(parameter) for group in optimizer.param_groups for parameter in group["params"]}
        if own and not own & self._names.keys():
            raise InvalidSpecError(
                "not one parameter of the optimizer is of this model: give the one that was made with this model's "
                "parameters"
            )
        for number, group in enumerate(optimizer.param_groups):
            for key, value in group.items():
                if key != "params" and any(_has_entries(leaf) for leaf in _leaves(value)):
                    raise InvalidSpecError(
                        f"{key!r} of parameter group {number} of the optimizer holds a tensor of several numbers, "
                        "which would not follow: take it out first, or make a new optimizer"
                    )

    def _check_state(self, optimizer: torch.optim.Optimizer) -> None:
        own = {id(parameter) for group in optimizer.param_groups for parameter in group["params"]}
        for parameter, state in optimizer.state.items():
            name = self._names.get(id(parameter))
            if name is None and isinstance(parameter, Tensor) and id(parameter) not in own:
                raise InvalidSpecError(
                    "the optimizer has state of a tensor that is none of its parameters: load its state into an "
                    "optimizer that was made with this model's parameters"
                )
            if name is None and isinstance(parameter, Tensor):
                continue  # of a second model that it optimizes, too
            if name is None or not isinstance(state, Mapping):
                if any(_has_entries(leaf) for leaf in _leaves(state)):
                    raise InvalidSpecError(
                        f"state {str(parameter)[:40]!r} of the optimizer belongs to no parameter, and would not "
                        "follow: make a new optimizer"
                    )
                continue
            for kind, value in state.items():
                shaped = isinstance(value, Tensor) and value.shape == parameter.shape and strange(value) is None
                if not shaped and self._axes(kind, value, parameter) is None:
                    raise _refusal(kind, value, name, parameter)

    def _check_attributes(self, optimizer: torch.optim.Optimizer) -> None:
        """Refuse copies of the parameters that an optimizer keeps beside its state."""
        known = set(self._names)
        for one in self._optimizers:
            known |= {id(leaf) for state in one.state.values() for leaf in _leaves(state)}
            known |= {id(parameter) for group in one.param_groups for parameter in group["params"]}
        for attribute, value in vars(optimizer).items():
            if attribute in ("state", "param_groups"):
                continue
            if any(_has_entries(leaf) and id(leaf) not in known for leaf in _leaves(value)):
                raise InvalidSpecError(
                    f"the optimizer keeps tensors in {attribute!r}, beside its state, which would not follow: make a "
                    "new optimizer, or re-order without it and set them anew"
                )

    def _axes(self, kind: object, value: object, parameter: Tensor) -> list[int | None] | None:
        """Axes of a parameter that those of some state are, None for one that is none; None when nobody knows."""
        if not isinstance(value, Tensor):
            harmless = all(isinstance(leaf, _PLAIN) or not _has_entries(leaf, others=True) for leaf in _leaves(value))
            return [] if harmless else None
        if strange(value) is not None:
            return None
        if value.numel() == 1:
            return [None] * value.ndim
        axes: list[int | None] = list(range(parameter.ndim))
        if value.shape == parameter.shape:
            square = parameter.ndim in (2, 3) and parameter.shape[-1] == parameter.shape[-2]
            return axes if not square or kind == "grad" or kind in self._elementwise else None
        if value.ndim == parameter.ndim and all(a in (1, b) for a, b in zip(value.shape, parameter.shape, strict=True)):
            return [axis if value.shape[axis] > 1 else None for axis in range(parameter.ndim)]
        if kind in FACTORS and value.ndim == parameter.ndim - 1 and parameter.ndim >= -FACTORS[str(kind)]:
            del axes[FACTORS[str(kind)]]
            return axes if [parameter.shape[axis] for axis in axes if axis is not None] == list(value.shape) else None
        return None


def check_optimizer(optimizer: object, elementwise: object) -> None:
    """Refuse what is no optimizer, or no list of names.

    Raises
    ------
    InvalidOptionError
        With what was given.
    """
    stateful = isinstance(getattr(optimizer, "state", None), Mapping) and hasattr(optimizer, "param_groups")
    inner = isinstance(getattr(optimizer, "optimizer", None), torch.optim.Optimizer)
    wanted = "a torch.optim.Optimizer" + (", as its attribute optimizer is" if inner and not stateful else "")
    require(optimizer is None or stateful, "optimizer", wanted, optimizer)
    named = isinstance(elementwise, Collection) and not isinstance(elementwise, str)
    named = named and all(isinstance(name, str) for name in elementwise)  # type: ignore[attr-defined]
    require(named, "elementwise", "a list of names of optimizer state", elementwise)


def _wrapped(optimizer: torch.optim.Optimizer) -> list[torch.optim.Optimizer]:
    """An optimizer and those that it wraps, each state once."""
    found = [optimizer]
    for one in found:
        for value in vars(one).values():
            found += [leaf for leaf in _leaves(value) if isinstance(leaf, torch.optim.Optimizer) and leaf not in found]
    by_state = {id(one.state): one for one in reversed(found)}
    return list(by_state.values())


def _leaves(value: object) -> Iterator[object]:
    """What lists, tuples, sets and dicts hold, those inside of them too."""
    waiting, seen = [value], set()
    while waiting:
        one = waiting.pop()
        if isinstance(one, Mapping | list | tuple | set | frozenset):
            if id(one) not in seen:
                seen.add(id(one))
                waiting += one.values() if isinstance(one, Mapping) else one
        else:
            yield one


def _has_entries(leaf: object, *, others: bool = False) -> bool:
    """Whether something is a tensor of several numbers; or, with ``others``, an object that may hold some."""
    if isinstance(leaf, Tensor):
        return leaf.numel() > 1
    return others and not isinstance(leaf, (*_PLAIN, torch.dtype, torch.device))


def _refusal(kind: object, value: Any, name: str, parameter: Tensor) -> InvalidSpecError:
    shape = tuple(parameter.shape)
    if isinstance(value, Tensor) and value.shape == parameter.shape and strange(value) is None:
        return InvalidSpecError(
            f"{kind!r} of {name!r} is square like its parameter, of shape {shape}, so that nobody knows whether it has "
            f"a number for each entry or belongs to one axis: name it in elementwise= in the first case, or {_REMEDY}"
        )
    what = f"of shape {tuple(value.shape)} ({value.layout})" if isinstance(value, Tensor) else type(value).__name__
    remedy = "clear it first with zero_grad()" if value is parameter.grad else _REMEDY
    return InvalidSpecError(f"{kind!r} of {name!r}, {what}, cannot follow a parameter of shape {shape}: {remedy}")
