"""Put permutations into the parameters of a model, or take them out again."""

from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from os import PathLike

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn

from permsolve.checks import require
from permsolve.errors import InvalidSpecError
from permsolve.networks.gathering import NAME as GATHER
from permsolve.networks.gathering import insert_, remove_
from permsolve.networks.optimizer_state import OptimizerState, check_optimizer
from permsolve.networks.report import Report
from permsolve.networks.spec import AxisUse, Spec
from permsolve.networks.surroundings import undisturbed
from permsolve.networks.trace.export import as_module
from permsolve.networks.transaction import Transaction, all_or_nothing, transaction
from permsolve.networks.writing import check_writable, writing


def permute_tensors(
    model: nn.Module,
    spec: Spec,
    permutations: Mapping[str, NDArray[np.int64]],
    state: OptimizerState | None = None,
) -> None:
    """Re-order in place every axis that carries one of the named groups.

    Parameters
    ----------
    model : Module
        The model; it must have the parameters and buffers of the spec, in their shapes.
    spec : Spec
        The groups.
    permutations : mapping of str to ndarray
        Group -> permutation: channel ``j`` becomes what channel ``permutation[j]`` was.
    state : OptimizerState, optional
        What an optimizer knows about the parameters, which follows them.

    Raises
    ------
    InvalidSpecError
        When a tensor is missing or has another shape, or state of the optimizer cannot follow.
    InvalidNetworkError
        When a tensor cannot be written to. Nothing is changed then, as after all that ends this early.

    Notes
    -----
    Gradients that are there follow, too.
    """
    moves = _moves(model, spec, permutations, state or OptimizerState(None, model))
    with transaction() as changes:
        for move in moves:
            _reordered(changes, move)


def check_movable(model: nn.Module, spec: Spec) -> None:
    """Refuse a model of which a tensor that some group orders cannot be re-ordered, as :func:`permute_tensors` does."""
    other = {group.name: np.arange(group.size)[::-1] for group in spec.groups}
    _moves(model, spec, other, OptimizerState(None, model))


@dataclass(frozen=True, slots=True)
class _Move:
    """One axis of one tensor that is to be re-ordered."""

    name: str
    tensor: torch.Tensor
    use: AxisUse
    permutation: NDArray[np.int64]


def _moves(
    model: nn.Module, spec: Spec, permutations: Mapping[str, NDArray[np.int64]], state: OptimizerState
) -> list[_Move]:
    """All that follows some permutations, each memory once; refuses what cannot."""
    tensors = _tensors(model)
    check_tensors(model, spec, spec.shapes)
    done: set[tuple[object, ...]] = set()
    moves: list[_Move] = []
    names: dict[str, list[str]] = {}
    for alias, owner in spec.aliases.items():
        names.setdefault(owner, []).append(alias)
    for group in spec.groups:
        permutation = permutations.get(group.name)
        if permutation is None or (np.diff(permutation) == 1).all():
            continue
        for use in group.uses:
            for name in [use.name, *names.get(use.name, [])]:
                tensor = tensors.get(name)
                if tensor is None:
                    continue  # a free output
                for what, one, axis in [(name, tensor, use), *state.followers(name, tensor, use)]:
                    key = (_memory(one), group.name, axis.axis, axis.rows, axis.values)
                    if key not in done:
                        done.add(key)
                        moves.append(_Move(what, one, axis, permutation))
    state.check_moved([id(move.tensor) for move in moves])
    check_writable((move.name, move.tensor) for move in moves)
    return moves


def _reordered(changes: Transaction, move: _Move) -> None:
    """Re-order one axis of one tensor in place."""
    tensor, use, permutation = move.tensor, move.use, move.permutation
    with writing(tensor):
        part = tensor if use.rows is None else tensor[use.rows[0] : use.rows[1]]
    changes.write(part, partial(_taken, use, permutation), partial(_taken, use, np.argsort(permutation)))


def _taken(use: AxisUse, permutation: NDArray[np.int64], tensor: torch.Tensor) -> torch.Tensor:
    """A tensor with the entries of one axis in another order."""
    order = torch.from_numpy(use.order(permutation, tensor.shape[use.axis])).to(tensor.device)
    if use.values:  # what stood at order[j] stands at j now
        return order.argsort()[tensor]
    return tensor.index_select(use.axis, order)


@undisturbed
@all_or_nothing
def apply_(
    model: nn.Module,
    report: Report | str | PathLike[str],
    optimizer: torch.optim.Optimizer | None = None,
    *,
    elementwise: Collection[str] = (),
) -> nn.Module:
    """Repeat a permutation on another copy of the model: a checkpoint, averaged weights, a model in training.

    Parameters
    ----------
    model : Module
        Changed in place.
    report : Report or path
        What :func:`permute_` returned, or the file that it was saved to. Where it has gathers, these are inserted, too.
    optimizer : Optimizer, optional
        Its moment buffers follow their parameters, factored ones (Adafactor) too, and those of an optimizer that it
        wraps; state of other kinds is refused (see :mod:`permsolve.networks.optimizer_state`).
    elementwise : collection of str, optional
        Names of further optimizer state that has a number for each entry of its parameter. Needed for square weights
        only, where the shape does not tell it from a preconditioner, and for names that torch and widely used
        optimizers do not give to such state.

    Returns
    -------
    Module
        ``model``.

    Raises
    ------
    InvalidSpecError
        When the model lacks a parameter, or has it in another shape, or the optimizer is of another model, or state of
        it cannot follow.
    FileFormatError
        When the file is no report.
    InvalidNetworkError
        When a tensor that would move cannot be written to: it is on the meta device (offloaded), expanded, sparse,
        quantized, of a class of its own, or a read-only memory map.
    InvalidOptionError
        When an argument is of another kind.

    Notes
    -----
    Model and optimizer are as they were after all errors, and after Ctrl-C.
    """
    return _changed(put_, model, report, optimizer, elementwise)


@undisturbed
@all_or_nothing
def invert_(
    model: nn.Module,
    report: Report | str | PathLike[str],
    optimizer: torch.optim.Optimizer | None = None,
    *,
    elementwise: Collection[str] = (),
) -> nn.Module:
    """Undo a permutation, bit for bit; see :func:`apply_`."""
    return _changed(take_, model, report, optimizer, elementwise)


def _changed(
    change: Callable[..., None], model: nn.Module, report: object, optimizer: object, elementwise: object
) -> nn.Module:
    """The model after a change."""
    as_module(model)
    check_optimizer(optimizer, elementwise)
    loaded = _loaded(report)
    state = OptimizerState(optimizer, model, elementwise)  # type: ignore[arg-type]  # just checked
    change(model, loaded.spec, loaded.permutations(), tuple(loaded.gathered), state)
    return model


def _loaded(report: object) -> Report:
    """The report, read if need be."""
    if isinstance(report, Report):
        return report
    require(isinstance(report, str | PathLike), "report", "what permute_ returned, or the path of its file", report)
    return Report.load(report)  # type: ignore[arg-type]  # just checked


def put_(
    model: nn.Module,
    spec: Spec,
    permutations: Mapping[str, NDArray[np.int64]],
    gathered: Sequence[str] = (),
    state: OptimizerState | None = None,
) -> None:
    """Insert the gathers of the named weights, and permute."""
    check_tensors(model, spec, [name for name in spec.shapes if not name.endswith(f"{GATHER}.index")])
    insert_(model, spec, gathered)
    permute_tensors(model, spec, permutations, state)


def take_(
    model: nn.Module,
    spec: Spec,
    permutations: Mapping[str, NDArray[np.int64]],
    gathered: Sequence[str] = (),
    state: OptimizerState | None = None,
) -> None:
    """Undo :func:`put_`, bit for bit."""
    inverse = {name: np.argsort(permutation) for name, permutation in permutations.items()}
    permute_tensors(model, spec, inverse, state)
    remove_(model, spec, gathered)


def check_tensors(model: nn.Module, spec: Spec, names: Iterable[str]) -> None:
    """Refuse a model that lacks a tensor of a spec, or has it in another shape."""
    tensors = _tensors(model)
    for name in names:
        shape = spec.shapes[name]
        if name.startswith("output:"):
            continue
        if name not in tensors:
            raise InvalidSpecError(f"the model has no parameter or buffer {name!r}, which the axis groups name")
        if tuple(tensors[name].shape) != tuple(shape):
            raise InvalidSpecError(
                f"{name!r} has shape {tuple(tensors[name].shape)}, the axis groups say {tuple(shape)}"
            )


def _tensors(model: nn.Module) -> dict[str, torch.Tensor]:
    return {
        **dict(model.named_buffers(remove_duplicate=False)),
        **dict(model.named_parameters(remove_duplicate=False)),
    }


def _memory(tensor: torch.Tensor) -> int:
    return tensor.data_ptr() if tensor.layout == torch.strided and tensor.numel() and not tensor.is_meta else id(tensor)
