"""Pruned networks in files: safetensors with 2:4 weights packed, and a manifest that says how."""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from os import PathLike
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from safetensors import safe_open
from safetensors.torch import save
from torch import Tensor, nn

from permsolve.errors import FileFormatError, InvalidNetworkError, InvalidOptionError
from permsolve.io.reading import reading
from permsolve.io.writing import atomic_write
from permsolve.masks import nm_violations
from permsolve.networks.prunable import WEIGHT, all_weights
from permsolve.networks.pruning.mask import NMMask
from permsolve.networks.report import Report
from permsolve.networks.sparse.forms import dense_shape, is_sparse
from permsolve.networks.sparse.hardware import Cuda, Hardware
from permsolve.networks.sparse.packing import PackedWeight, pack, unpack
from permsolve.networks.surroundings import undisturbed
from permsolve.networks.transaction import all_or_nothing, transaction
from permsolve.networks.writing import check_writable
from permsolve.pattern import Pattern
from permsolve.permutation import check_permutation
from permsolve.versions import versions
from permsolve.weights import as_weight

FORMAT = "permsolve-sparse-network"
FORMAT_VERSION = 1
_KEY = "permsolve"  # of the manifest in the metadata of the file
_VALUES, _PLACES, _PERMUTATION = ".2to4-values", ".2to4-places", "permutation:"
_PACKABLE = Pattern(2, 4)


@dataclass(frozen=True, eq=False, slots=True)
class Manifest:
    """What a file of :func:`save_sparse` says about itself.

    Attributes
    ----------
    pattern : Pattern
        The pattern of the sparse weights.
    sparse : dict of str to str
        Sparse weight -> how it is stored: ``packed`` (two values of four, and their places) or ``masked`` (zeros
        included).
    permutations : dict of str to ndarray of int64
        Axis group -> permutation that was folded in, as of the report that was given.
    axes : dict of str to list of (str, int)
        Axis group -> the (parameter, axis) pairs that follow it.
    versions : dict of str to str
        Of permsolve and torch, when it was written.
    """

    pattern: Pattern
    sparse: dict[str, str]
    permutations: dict[str, NDArray[np.int64]]
    axes: dict[str, list[tuple[str, int]]]
    versions: dict[str, str]


@undisturbed
def save_sparse(
    model: nn.Module,
    path: str | PathLike[str],
    *,
    pattern: str | Pattern = "2:4",
    packed: bool = True,
    report: Report | None = None,
    hardware: Hardware | None = None,
) -> Manifest:
    """Write a pruned network to a .safetensors file, sparse or dense as it is, on any machine.

    Parameters
    ----------
    model : Module
        A pruned model without masks, before or after :func:`.sparsify_`.
    path : path_like
        Ends in ``.safetensors``; the file appears whole or not at all.
    pattern : Pattern or str, default "2:4"
        The pattern of its weights.
    packed : bool, default True
        Store 2:4 weights whose input channels are a multiple of 4 without their zeros: about 9/16 of the space for 16
        bits, 5/8 for 8. Otherwise all is stored as any other checkpoint.
    report : Report, optional
        Of :func:`permsolve.networks.permute_`, for the manifest: which permutations were folded in.
    hardware : Hardware, optional
        What unpacks the weights of a model that is sparse already; the GPU that torch sees when not given.

    Returns
    -------
    Manifest
        What the file says about itself.

    Raises
    ------
    InvalidNetworkError
        When the model is under masks, no weight follows the pattern, or its state holds more than tensors.
    InvalidOptionError
        When another pattern than 2:4 is to be packed.
    FileFormatError
        When the name has another ending.
    """
    parsed, target = Pattern.parse(pattern), Path(path)
    if packed and parsed != _PACKABLE:
        raise InvalidOptionError(f"only {_PACKABLE} can be packed, not {parsed}: pass packed=False")
    if target.suffix != ".safetensors":
        raise FileFormatError(f"cannot write a network to {target.name!r}: name it .safetensors")
    state, aliases = _state(model, hardware or Cuda())
    sparse: dict[str, str] = {}
    for weight in all_weights(model):
        name = aliases.get(weight.name, weight.name)  # each tensor is there once
        if name in state and nm_violations(as_weight(weight.layout.matrix(state[name])), parsed).size == 0:
            whole = packed and weight.layout.plain and state[name].shape[1] % parsed.m == 0
            sparse[name] = "packed" if whole else "masked"
    if not sparse:
        raise InvalidNetworkError(
            f"no weight of {type(model).__name__} is {parsed}: prune it first (networks.prune_ and finalize_)"
        )
    shapes: dict[str, list[int]] = {}
    for name in [name for name, how in sparse.items() if how == "packed"]:
        tensor = state.pop(name)
        shapes[name] = list(tensor.shape)
        parts = pack(tensor.movedim(1, -1).reshape(-1, tensor.shape[1]))
        state[name + _VALUES], state[name + _PLACES] = parts.values, parts.places
    permutations = {} if report is None else report.permutations()
    for group, permutation in permutations.items():
        state[_PERMUTATION + group] = torch.from_numpy(permutation.copy())
    axes = {} if report is None else {group.name: group.parameters for group in report.groups}
    manifest = Manifest(parsed, sparse, permutations, axes, versions("permsolve", "torch"))
    document = {
        "format": FORMAT,
        "format_version": FORMAT_VERSION,
        "pattern": str(parsed),
        "sparse": sparse,
        "shapes": shapes,
        "aliases": aliases,
        "axes": axes,
        "versions": manifest.versions,
    }
    data = save({name: part.contiguous() for name, part in state.items()}, {_KEY: json.dumps(document)})
    atomic_write(target, lambda stream: stream.write(data))
    return manifest


@undisturbed
@all_or_nothing
def load_sparse(model: nn.Module, path: str | PathLike[str]) -> Manifest:
    """Read a file of :func:`save_sparse` into a model of the same architecture, whose weights are dense afterwards.

    A model whose layers read through gathers needs them before (:func:`permsolve.networks.apply_` of the report).
    Pass it to :func:`.sparsify_` to run it sparse.

    Raises
    ------
    FileFormatError
        When the file is no such file, or a damaged one.
    InvalidNetworkError
        When the model has other parameters, or masks, or is sparse already, or cannot be written to. It is then as it
        was: until the end the old values are kept, too.
    """
    source = Path(path)
    if any(is_sparse(layer) for layer in model.modules()):
        raise InvalidNetworkError("the model is sparse already: load into a dense one, then sparsify_ it")
    _refuse_masks(model)
    with source.open("rb"):
        pass
    with reading(source, "a network of save_sparse"), safe_open(str(source), framework="pt") as file:
        metadata = file.metadata() or {}
        if _KEY not in metadata:
            raise FileFormatError("it has no manifest of permsolve")
        document = json.loads(metadata[_KEY])
        if (document["format"], document["format_version"]) != (FORMAT, FORMAT_VERSION):
            raise FileFormatError(f"not a network of format version {FORMAT_VERSION}")
        state = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118  (the file object is no dict)
        manifest = _unpacked(state, document)
    expected = model.state_dict()
    wrong = sorted(set(expected) ^ set(state)) or [
        name for name, tensor in state.items() if tensor.shape != expected[name].shape
    ]
    if wrong:
        raise InvalidNetworkError(
            f"{source}: {wrong[0]} is not in both the file and the model, or not of the same shape: load into the "
            "architecture that was saved (with its gathers, if it had some: networks.apply_)"
        )
    targets = {id(tensor): (name, tensor) for name, tensor in model.state_dict(keep_vars=True).items()}
    check_writable(targets.values())
    with transaction() as changes:
        for _, tensor in targets.values():
            changes.keep_entries(tensor)
        with torch.inference_mode(any(tensor.is_inference() for _, tensor in targets.values())):
            model.load_state_dict(state)
    return manifest


def _unpacked(state: dict[str, Tensor], document: Mapping[str, Any]) -> Manifest:
    """Turn what the file holds into a state dict, in place."""
    for name, extents in document["shapes"].items():
        out, columns, *kernel = extents
        matrix = unpack(PackedWeight(state.pop(name + _VALUES), state.pop(name + _PLACES)))
        state[name] = matrix.reshape(out, *kernel, columns).movedim(-1, 1).contiguous()
    permutations = {}
    for name in [name for name in state if name.startswith(_PERMUTATION)]:
        permutation = state.pop(name).numpy()
        permutations[name.removeprefix(_PERMUTATION)] = check_permutation(permutation, len(permutation))
    for alias, name in document["aliases"].items():
        state[alias] = state[name]
    axes = {group: [(str(name), int(axis)) for name, axis in uses] for group, uses in document["axes"].items()}
    versions = {str(name): str(text) for name, text in document["versions"].items()}
    return Manifest(Pattern.parse(document["pattern"]), dict(document["sparse"]), permutations, axes, versions)


def _refuse_masks(model: nn.Module) -> None:
    if any(isinstance(module, NMMask) for module in model.modules()):
        raise InvalidNetworkError("the model is under masks of prune_: make the zeros final with networks.finalize_")


def _state(model: nn.Module, hardware: Hardware) -> tuple[dict[str, Tensor], dict[str, str]]:
    """The state dict on the CPU with dense weights, each tensor once, and which names are other names of one."""
    _refuse_masks(model)
    forms = {
        f"{name}.{WEIGHT}" if name else WEIGHT: layer
        for name, layer in model.named_modules(remove_duplicate=False)  # as the state dict has it
        if is_sparse(layer)
    }
    state: dict[str, Tensor] = {}
    aliases: dict[str, str] = {}
    owners: dict[tuple[Any, ...], str] = {}
    for name, tensor in model.state_dict().items():
        if not isinstance(tensor, Tensor):
            raise InvalidNetworkError(f"{name} is no tensor but extra state, which this format does not hold")
        if name in forms:
            owner = owners.setdefault((forms[name],), name)
            if owner != name:
                aliases[name] = owner
                continue
            rows, *columns = shape = dense_shape(forms[name])
            dense = hardware.unpack(tensor)[:rows, : columns[0]]
            state[name] = dense.reshape(shape).cpu()
            continue
        identity = (tensor.device, tensor.data_ptr(), tensor.shape, tensor.stride(), tensor.dtype)
        owner = owners.setdefault(identity, name) if tensor.numel() else name
        if owner == name:
            state[name] = tensor.cpu()
        else:
            aliases[name] = owner
    return state, aliases
