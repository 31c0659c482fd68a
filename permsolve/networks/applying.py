"""Put permutations into the parameters of a model, or take them out again."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
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
from permsolve.networks.report import Report
from permsolve.networks.spec import AxisUse, Spec
from permsolve.networks.trace.export import as_module
from permsolve.networks.transaction import Transaction, transaction
from permsolve.networks.writing import check_writable, writing


def permute_tensors(
    model: nn.Module,
    spec: Spec,
    permutations: Mapping[str, NDArray[np.int64]],
    optimizer: torch.optim.Optimizer | None = None,
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
    optimizer : Optimizer, optional
        Its state follows the parameters: tensors of their shape, or of length 1 along some axes (factored moments).

    Raises
    ------
    InvalidSpecError
        When a tensor is missing or has another shape, or state of the optimizer cannot follow; nothing is changed then.

    Notes
    -----
    Gradients that are there follow, too.
    """
    tensors = _tensors(model)
    check_tensors(model, spec, spec.shapes)
    done: set[tuple[object, ...]] = set()
    moves: list[tuple[str, torch.Tensor, AxisUse, NDArray[np.int64]]] = []
    names: dict[str, list[str]] = {}
    for alias, owner in spec.aliases.items():
        names.setdefault(owner, []).append(alias)
    for group in spec.groups:
        permutation = permutations.get(group.name)
        if permutation is None or (np.diff(permutation) == 1).all():
            continue
        for use in group.uses:
            if use.name not in tensors:
                continue  # a free output
            for name in [use.name, *names.get(use.name, [])]:
                tensor = tensors.get(name)
                key = (_memory(tensor), group.name, use.axis, use.rows, use.values) if tensor is not None else None
                if tensor is None or key in done:
                    continue
                done.add(key)  # type: ignore[arg-type]
                moves.append((name, tensor, use, permutation))
                moves += [(kind, one, use, permutation) for kind, one in _followers(name, tensor, use, optimizer)]
    check_writable((name, tensor) for name, tensor, _, _ in moves)
    with transaction() as changes:
        for _, tensor, use, permutation in moves:
            _reordered(changes, tensor, use, permutation)


def _reordered(changes: Transaction, tensor: torch.Tensor, use: AxisUse, permutation: NDArray[np.int64]) -> None:
    """Re-order one axis of one tensor in place."""
    with writing(tensor):
        part = tensor if use.rows is None else tensor[use.rows[0] : use.rows[1]]
    changes.write(part, partial(_taken, use, permutation), partial(_taken, use, np.argsort(permutation)))


def _taken(use: AxisUse, permutation: NDArray[np.int64], tensor: torch.Tensor) -> torch.Tensor:
    """A tensor with the entries of one axis in another order."""
    order = torch.from_numpy(use.order(permutation, tensor.shape[use.axis])).to(tensor.device)
    if use.values:  # what stood at order[j] stands at j now
        return order.argsort()[tensor]
    return tensor.index_select(use.axis, order)


def apply_(
    model: nn.Module, report: Report | str | PathLike[str], optimizer: torch.optim.Optimizer | None = None
) -> nn.Module:
    """Repeat a permutation on another copy of the model: a checkpoint, averaged weights, a model in training.

    Parameters
    ----------
    model : Module
        Changed in place.
    report : Report or path
        What :func:`permute_` returned, or the file that it was saved to. Where it has gathers, these are inserted, too.
    optimizer : Optimizer, optional
        Its moment buffers follow their parameters, factored ones (Adafactor) too; state of other shapes is refused.

    Returns
    -------
    Module
        ``model``.

    Raises
    ------
    InvalidSpecError
        When the model lacks a parameter, or has it in another shape, or state of the optimizer cannot follow.
    FileFormatError
        When the file is no report.
    InvalidNetworkError, InvalidOptionError
        When an argument is of another kind.
    """
    loaded = _loaded(model, report, optimizer)
    with transaction(model):
        put_(model, loaded.spec, loaded.permutations(), tuple(loaded.gathered), optimizer)
    return model


def invert_(
    model: nn.Module, report: Report | str | PathLike[str], optimizer: torch.optim.Optimizer | None = None
) -> nn.Module:
    """Undo a permutation, bit for bit; see :func:`apply_`."""
    loaded = _loaded(model, report, optimizer)
    with transaction(model):
        take_(model, loaded.spec, loaded.permutations(), tuple(loaded.gathered), optimizer)
    return model


def _loaded(model: object, report: Report | str | PathLike[str], optimizer: torch.optim.Optimizer | None) -> Report:
    """The report, read if need be; refuses arguments of other kinds."""
    as_module(model)
    stateful = isinstance(getattr(optimizer, "state", None), Mapping)
    require(optimizer is None or stateful, "optimizer", "a torch.optim.Optimizer", optimizer)
    if isinstance(report, Report):
        return report
    require(isinstance(report, str | PathLike), "report", "what permute_ returned, or the path of its file", report)
    return Report.load(report)


def put_(
    model: nn.Module,
    spec: Spec,
    permutations: Mapping[str, NDArray[np.int64]],
    gathered: Sequence[str] = (),
    optimizer: torch.optim.Optimizer | None = None,
) -> None:
    """Insert the gathers of the named weights, and permute."""
    check_tensors(model, spec, [name for name in spec.shapes if not name.endswith(f"{GATHER}.index")])
    insert_(model, spec, gathered)
    permute_tensors(model, spec, permutations, optimizer)


def take_(
    model: nn.Module,
    spec: Spec,
    permutations: Mapping[str, NDArray[np.int64]],
    gathered: Sequence[str] = (),
    optimizer: torch.optim.Optimizer | None = None,
) -> None:
    """Undo :func:`put_`, bit for bit."""
    inverse = {name: np.argsort(permutation) for name, permutation in permutations.items()}
    permute_tensors(model, spec, inverse, optimizer)
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


def _followers(
    name: str, tensor: torch.Tensor, use: AxisUse, optimizer: torch.optim.Optimizer | None
) -> Iterator[tuple[str, torch.Tensor]]:
    """The gradient of a parameter, and what an optimizer knows about each of its entries, rows or columns."""
    known = dict(optimizer.state.get(tensor, {})) if optimizer is not None else {}
    if tensor.grad is not None:
        known["grad"] = tensor.grad
    for kind, one in known.items():
        if not isinstance(one, torch.Tensor) or one.numel() == 1:
            continue
        whole = one.shape == tensor.shape
        factor = use.rows is None and one.ndim == tensor.ndim
        factor = factor and all(a in (1, b) for a, b in zip(one.shape, tensor.shape, strict=True))
        if one.layout != torch.strided or not (whole or factor):
            raise InvalidSpecError(
                f"{kind!r} of {name!r}, of shape {tuple(one.shape)} ({one.layout}), cannot follow a parameter of shape "
                f"{tuple(tensor.shape)}: clear it first (zero_grad, or a new optimizer)"
            )
        if one.shape[use.axis] == tensor.shape[use.axis]:
            yield f"{kind} of {name}", one
