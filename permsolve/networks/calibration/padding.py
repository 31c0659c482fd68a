"""Which positions of a batch are padding, and which of those that a layer reads are."""

import inspect
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor, nn
from torch.utils import _pytree as pytree

from permsolve.checks import require
from permsolve.errors import InvalidOptionError
from permsolve.networks.calibration.hidden import HiddenPositions, small

AUTO = "auto"
# "auto", the name of an entry of a batch, what makes a mask of a batch, or nothing.
Mask = str | Callable[[Any], Tensor | None] | None

# What the first part of the name of an argument tells of what it belongs to.
_FAMILIES = {
    "decoder_": "decoder", "tgt": "decoder", "encoder_": "encoder", "memory": "encoder", "pixel_": "pixel",
    "feature": "feature", "input_features": "feature", "input_values": "feature",
}  # fmt: skip
# Arguments in these families have masks of their own, or none.
_SEPARATE = ("decoder", "encoder", "pixel")
# These hide nothing: they say which positions see more than others do, or weigh heads.
_OTHER_MASKS = ("global_attention_mask", "head_mask")


class Padding:
    """What is padding in batches.

    Parameters
    ----------
    mask : str, callable or None
        See :func:`permsolve.networks.calibrate`.

    Attributes
    ----------
    mask : str, callable or None
        As it was given.
    notes : dict of str to str
        Weight, or mask -> why padding was counted there.
    """

    def __init__(self, mask: Mask = AUTO) -> None:
        good = mask is None or isinstance(mask, str) or callable(mask)
        require(good, "mask", "the name of an entry of a batch, a function of a batch, 'auto' or None", mask)
        self.mask = mask
        self.notes: dict[str, str] = {}
        self._hidden: list[Tensor] = []
        self._number = 0
        self._positions: HiddenPositions | None = None

    @contextmanager
    def followed(self, model: nn.Module, batch: Any, moved: Any, number: int) -> Iterator[None]:
        """Follow what is padding in a batch, which was moved to the device of the model, while it is called."""
        if self.mask == AUTO:
            seeds = [seed for scope in _scopes(named_arguments(model, moved)) for seed in self._seeds_by_name(scope)]
        else:
            seeds = [] if self.mask is None else self._seeds_of_mask(model, batch, moved, number)
        if not any(bool(hidden.any()) for _, hidden in seeds):
            yield
            return
        self._number, self._hidden = number, [hidden for _, hidden in seeds if bool(hidden.any())]
        self._positions = HiddenPositions(seeds)
        try:
            with self._positions:
                yield
        finally:
            self._positions, self._hidden = None, []

    @contextmanager
    def apart(self) -> Iterator[None]:
        """Do what is no part of the model."""
        if self._positions is None:
            yield
            return
        self._positions.paused, before = True, self._positions.paused
        try:
            yield
        finally:
            self._positions.paused = before

    def hidden(self, name: str, x: Tensor, by_rows: bool) -> Tensor | None:
        """Which entries of what a weight reads are padding; None for none, or where nobody knows, which is noted.

        Parameters
        ----------
        name : str
            The weight.
        x : Tensor
            What it reads.
        by_rows : bool
            Whether the last axis is that of the features.
        """
        if self._positions is None:
            return None
        state = self._positions.of(x)
        if isinstance(state, Tensor):
            return state
        found = self._by_shape(x) if by_rows else None
        if found is None:
            self.notes.setdefault(
                name,
                f"its inputs, of shape {tuple(x.shape)} in batch {self._number}, could not be matched to the padding "
                "mask: all of them count",
            )
        return found

    def _by_shape(self, x: Tensor) -> Tensor | None:
        """The one mask whose positions are the leading axes of rows, where no other order has this shape, too."""
        found: list[Tensor] = []
        for hidden in self._hidden:
            mask = small(hidden)
            while mask.ndim > 2 and mask.shape[-1] == 1:
                mask = mask[..., 0]
            if mask.ndim != 2 or mask.shape[0] == mask.shape[1]:
                return None
            for one in (mask, mask.T):
                if one.shape == x.shape[:2] and x.ndim > 2 and not any(torch.equal(one, other) for other in found):
                    found.append(one)
        return found[0][(..., *[None] * (x.ndim - 2))].expand(x.shape) if len(found) == 1 else None

    def _seeds_by_name(self, batch: Mapping[str, Any]) -> list[tuple[Tensor, Tensor]]:
        masks: dict[str, dict[str, Tensor]] = {}
        for name, value in batch.items():
            if isinstance(value, Tensor) and isinstance(name, str):
                hidden = self._hidden_by(name, value)
                if hidden is not None:
                    masks.setdefault(_family(name), {})[name] = hidden
        if not any(bool(one.any()) for family in masks.values() for one in family.values()):
            return []
        seeds, used = [], set[str]()
        for name, value in batch.items():
            if not isinstance(name, str) or _is_mask(name):
                continue
            family = _family(name)
            fitting = masks.get(family, {} if family in _SEPARATE else masks.get("", {}))
            for tensor in pytree.tree_leaves(value):
                if family in _SEPARATE and not fitting and isinstance(tensor, Tensor):
                    seeds.append((tensor, torch.zeros(tensor.shape, dtype=torch.bool, device=tensor.device)))
                for mask, hidden in fitting.items():
                    fitted = _fitted(hidden, tensor, mask) if isinstance(tensor, Tensor) else None
                    if fitted is not None:
                        seeds.append((tensor, fitted))
                        used.add(mask)
                        break
        for members in masks.values():
            for name, hidden in members.items():
                if name not in used and bool(hidden.any()):
                    self.notes.setdefault(
                        name,
                        f"no argument of the batch has positions of its shape {tuple(hidden.shape)}: it hides none",
                    )
        return seeds

    def _hidden_by(self, name: str, value: Tensor) -> Tensor | None:
        """What a mask of transformers, or of torch, hides."""
        if value.is_meta:
            return None
        if name.endswith("key_padding_mask"):  # torch adds it to the scores when it is no bool
            return value if value.dtype == torch.bool else value.isneginf()
        if not _is_mask(name):
            self._note_look(name, value)
            return None
        if _family(name) != "pixel" and value.ndim > 2:
            self.notes.setdefault(
                name, f"a mask of shape {tuple(value.shape)} does not tell what is padding: all counts"
            )
            return None
        if value.is_floating_point() and not bool(((value == 0) | (value == 1)).all()):
            self.notes.setdefault(name, "its values are not 0 and 1, so that what is padding is not known: all counts")
            return None
        return value == 0

    def _note_look(self, name: str, value: Tensor) -> None:
        """Say of what may be a mask that nobody knows what it hides."""
        looks = name.endswith("mask") and not name.endswith(_OTHER_MASKS) and value.ndim == 2 and 0 not in value.shape
        if looks and bool(((value == 0) | (value == 1)).all()) and bool((value != value.reshape(-1)[0]).any()):
            self.notes.setdefault(
                name,
                f"it may be a mask, but what it hides is not known: all counts; if it is True or 1 where a position "
                f"counts, give mask={name!r}",
            )

    def _seeds_of_mask(self, model: nn.Module, batch: Any, moved: Any, number: int) -> list[tuple[Tensor, Tensor]]:
        if isinstance(self.mask, str):
            named = named_arguments(model, batch)
            if self.mask not in named:
                raise InvalidOptionError(f"mask={self.mask!r}: batch {number} has no entry of this name")
            mask = named[self.mask]
        else:
            assert self.mask is not None
            mask = self.mask(batch)
        if mask is None:
            return []
        if not isinstance(mask, Tensor) or mask.ndim == 0 or mask.is_complex():
            raise InvalidOptionError(
                f"mask= gives a tensor of positions, True or 1 where they count, and gave {type(mask).__name__} for "
                f"batch {number}"
            )
        seeds = []
        for tensor in pytree.tree_leaves(moved):
            if isinstance(tensor, Tensor):
                fitted = _fitted((mask == 0).to(tensor.device), tensor)
                if fitted is not None:
                    seeds.append((tensor, fitted))
        if not seeds:
            raise InvalidOptionError(
                f"mask= gives a mask of shape {tuple(mask.shape)} for batch {number}, and none of its tensors begins "
                "with these axes"
            )
        return seeds


def named_arguments(model: nn.Module, batch: Any) -> Mapping[str, Any]:
    """What a batch gives each argument of a model; nothing where it has another number of them, or of one tensor."""
    if isinstance(batch, Mapping):
        return batch
    if not isinstance(batch, tuple | list):
        return {}
    try:
        return inspect.signature(model.forward).bind_partial(*batch).arguments
    except (TypeError, ValueError):  # too many, or a function without a signature
        return {}


def _scopes(value: Any) -> Iterator[Mapping[str, Any]]:
    """A mapping of arguments, and those inside of it, which have masks of their own."""
    if isinstance(value, Mapping):
        yield value
        value = tuple(value.values())
    if isinstance(value, tuple | list):
        for part in value:
            yield from _scopes(part)


def _is_mask(name: str) -> bool:
    known = name.endswith(("attention_mask", "key_padding_mask")) or name == "pixel_mask"
    return known and not name.endswith(_OTHER_MASKS)


def _family(name: str) -> str:
    return next((family for start, family in _FAMILIES.items() if name.startswith(start)), "")


def _fitted(hidden: Tensor, tensor: Tensor, name: str = "") -> Tensor | None:
    """A mask as one of the entries of a tensor: of its leading axes, or of all but its channels.

    Those of torch are (batch, sequence), whatever the order of these axes is in what they are a mask of.
    """
    if name.endswith("key_padding_mask") and hidden.ndim == 2 and tensor.ndim > 2:
        orders = [one for one in (hidden, hidden.T) if one.shape == tensor.shape[:2]]
        if not orders or not torch.equal(orders[0], orders[-1]):
            return None
        hidden = orders[0]
    if tensor.shape[: hidden.ndim] == hidden.shape:
        return hidden[(..., *[None] * (tensor.ndim - hidden.ndim))].expand(tensor.shape)
    for axis in (-3, 1):
        if tensor.ndim == hidden.ndim + 1 >= 3 and hidden.unsqueeze(axis).shape == _without(tensor, axis):
            return hidden.unsqueeze(axis).expand(tensor.shape)
    return None


def _without(tensor: Tensor, axis: int) -> torch.Size:
    return tensor.narrow(axis, 0, min(1, tensor.shape[axis])).shape
