"""Which entries of a tensor belong to positions that a mask hides, carried through the operators of a model.

An entry is hidden when all that it is made from is padding, as far as its position goes: a row of a product is where
the row of its first factor is, whatever it is multiplied by; what attention gives to a position is hidden where the
query is. Where an operator is not known, what it returns is :data:`LOST`, and so is all that is made from it alone.
"""

from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional as F
from torch.utils import _pytree as pytree
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils.weak import WeakTensorKeyDictionary

_ATEN = torch.ops.aten


class _Lost:
    """Nobody knows."""


LOST = _Lost()
# Shape of the tensor, entries that are the same along an axis stored once.
State = Tensor | _Lost


def small(hidden: Tensor) -> Tensor:
    """One entry along each axis that stores one for all of its length."""
    for axis, (length, stride) in enumerate(zip(hidden.shape, hidden.stride(), strict=True)):
        if stride == 0 and length > 1:
            hidden = hidden.narrow(axis, 0, 1)
    return hidden


class HiddenPositions(TorchDispatchMode):
    """Follows hidden positions while it is active.

    Parameters
    ----------
    seeds : sequence of (Tensor, Tensor of bool)
        Tensors that a model is called with, and which of their entries are hidden.
    """

    def __init__(self, seeds: Sequence[tuple[Tensor, Tensor]]) -> None:
        super().__init__()
        self._states: Any = WeakTensorKeyDictionary()
        self.paused = False
        for tensor, hidden in seeds:
            known = self._states.get(tensor)  # one tensor may be two arguments, with a mask each
            self._states[tensor] = hidden.expand(tensor.shape) if known is None else known & hidden

    def of(self, x: Tensor) -> State | None:
        """Which entries of a tensor are hidden, None where it is made from nothing that was followed."""
        state: State | None = self._states.get(x)
        return state

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        output = func(*args, **(kwargs or {}))
        if not self.paused:
            self.paused = True
            try:
                self._follow(func, args, kwargs or {}, output)
            finally:
                self.paused = False
        return output

    def _follow(self, func: Any, args: Sequence[Any], kwargs: dict[str, Any], output: Any) -> None:
        tensors = [leaf for leaf in pytree.tree_leaves((args, kwargs)) if isinstance(leaf, Tensor)]
        if not any(tensor in self._states for tensor in tensors):
            return
        outputs = [leaf for leaf in pytree.tree_leaves(output) if isinstance(leaf, Tensor)]
        name = func.overloadpacket.__name__
        in_place = name.endswith("_") and not name.endswith("__")
        try:
            states = _states(func, name.removesuffix("_") if in_place else name, args, kwargs, outputs, self.of)
        except (RuntimeError, IndexError, TypeError, ValueError):  # arguments that its rule does not know
            states = [LOST] * len(outputs)
        for one, state in zip(outputs, states, strict=True):
            if isinstance(state, Tensor):
                state = state.expand(one.shape) if _fits(state, one) else LOST
            if state is not None:
                self._states[one] = state
            elif one in self._states:
                del self._states[one]
            if in_place and one._base is not None:  # what else is made of this memory
                self._states[one._base] = LOST


def _fits(state: Tensor, tensor: Tensor) -> bool:
    return state.ndim == tensor.ndim and all(a in (1, b) for a, b in zip(state.shape, tensor.shape, strict=True))


def _states(
    func: Any, name: str, args: Sequence[Any], kwargs: dict[str, Any], outputs: list[Tensor],
    of: Callable[[Tensor], State | None],
) -> list[State | None]:  # fmt: skip
    """The states of what an operator returns."""
    first = args[0] if args and isinstance(args[0], Tensor) else None
    known = None if first is None else of(first)
    if name.endswith("_like") or name.startswith("new_") or name in ("zero", "fill"):
        return [None] * len(outputs)
    if name in _JOINS:
        parts = [of(part) for part in args[0]]
        if any(part is LOST for part in parts):
            return [LOST]
        hidden = [
            torch.zeros_like(tensor, dtype=torch.bool) if part is None else part
            for tensor, part in zip(args[0], parts, strict=True)
        ]
        return [func(hidden, *args[1:], **kwargs)]
    if name == "embedding" or (name == "index" and known is None and len(args[1]) == 1):
        ids = of(args[1] if name == "embedding" else args[1][0])
        extra = outputs[0].ndim - (args[1] if name == "embedding" else args[1][0]).ndim
        return [ids[(..., *[None] * extra)] if isinstance(ids, Tensor) else ids]
    if name in _COPIES:
        return [known]
    if name in _MOVES or _is_view(func):
        return _moved(func, name, known, args, kwargs, outputs)
    if name in _PRODUCTS:
        x, y = (args[place] for place in _PRODUCTS[name])
        return [_product(of(x), of(y))]
    if name.startswith("_scaled_dot_product") or name == "scaled_dot_product_attention":
        rows = small(known).all(-1, keepdim=True) if isinstance(known, Tensor) else known
        return [rows, *[LOST] * (len(outputs) - 1)]
    if name in _ALONG:
        return _along(name, known, args, kwargs, outputs)
    if name in ("index_add", "index_put", "copy"):
        return [_written(name, first, known, args, of)]
    if name == "convolution":
        return [_convolved(known, args) if isinstance(known, Tensor) else known]
    if torch.Tag.pointwise in func.tags or name in _POINTWISE:
        states = [of(leaf) for leaf in pytree.tree_leaves((args, kwargs)) if isinstance(leaf, Tensor)]
        return [_either(states)] * len(outputs)
    return [LOST] * len(outputs)


_JOINS = ("cat", "stack")
_COPIES = (
    "clone", "contiguous", "_to_copy", "to", "dropout", "native_dropout", "lift_fresh", "detach", "alias", "cumsum",
    "native_batch_norm", "_native_batch_norm_legit", "_native_batch_norm_legit_no_training", "native_group_norm",
    "batch_norm", "group_norm", "instance_norm", "masked_scatter",
)  # fmt: skip
_MOVES = (
    "index", "index_select", "flip", "roll", "repeat", "gather", "constant_pad_nd", "masked_select", "reshape",
    "_unsafe_view", "_reshape_copy",
)  # fmt: skip
# Operator -> places of its factors.
_PRODUCTS = {
    "mm": (0, 1), "bmm": (0, 1), "matmul": (0, 1), "addmm": (1, 2), "baddbmm": (1, 2), "linear": (0, 1), "mv": (0, 1),
    "_grouped_mm": (0, 1), "grouped_mm_fallback": (0, 1),
}  # fmt: skip
# Those that return one value along an axis, or as many as before, each made from all of them.
_ALONG = (
    "_softmax", "_safe_softmax", "_log_softmax", "softmax", "log_softmax", "native_layer_norm", "layer_norm",
    "rms_norm", "_fused_rms_norm", "mean", "sum", "amax", "amin", "argmax", "var", "std", "var_mean",
    "linalg_vector_norm", "topk", "sort", "max", "min", "all", "any", "prod", "logsumexp",
)  # fmt: skip
_POINTWISE = ("where", "masked_fill", "add", "mul", "glu")


def _is_view(func: Any) -> bool:
    returns = func._schema.returns
    return bool(returns) and all(one.alias_info is not None and not one.alias_info.is_write for one in returns)


def _moved(
    func: Any, name: str, known: State | None, args: Sequence[Any], kwargs: dict[str, Any], outputs: list[Tensor]
) -> list[State | None]:
    if not isinstance(known, Tensor):
        return [known] * len(outputs)
    if func is _ATEN.view.dtype or name in ("as_strided", "view_as_real", "view_as_complex"):
        return [LOST]
    if name in ("view", "reshape", "_unsafe_view", "_reshape_copy"):
        return [known.reshape(outputs[0].shape)]
    if name == "constant_pad_nd":
        return [F.pad(known, args[1], value=False)]
    return [leaf for leaf in pytree.tree_leaves(func(known, *args[1:], **kwargs)) if isinstance(leaf, Tensor)]


def _product(x: State | None, y: State | None) -> State | None:
    if isinstance(x, Tensor):
        return small(x).all(-1, keepdim=True) if x.ndim > 1 else LOST
    if x is None and isinstance(y, Tensor):
        return small(y).all(-2, keepdim=True) if y.ndim > 1 else LOST
    return LOST


def _along(
    name: str, known: State | None, args: Sequence[Any], kwargs: dict[str, Any], outputs: list[Tensor]
) -> list[State | None]:
    if not isinstance(known, Tensor):
        return [known] * len(outputs)
    given = args[1] if len(args) > 1 else kwargs.get("dim")
    if "norm" in name and name != "linalg_vector_norm":
        axes = [*range(known.ndim - len(args[1]), known.ndim)]
    elif name in ("topk", "sort"):
        given = args[2 if name == "topk" else 1] if len(args) > (2 if name == "topk" else 1) else kwargs.get("dim", -1)
        axes = [given]
    elif name == "linalg_vector_norm":
        axes = args[2] if len(args) > 2 and args[2] is not None else [*range(known.ndim)]
    else:
        axes = [*range(known.ndim)] if given is None or given == [] else [given] if isinstance(given, int) else given
    rows = small(known).all(dim=tuple(axes), keepdim=True)
    gone = rows.squeeze(tuple(axes))
    return [rows if one.ndim == rows.ndim else gone for one in outputs]


def _written(
    name: str, target: Any, known: State | None, args: Sequence[Any], of: Callable[[Tensor], State | None]
) -> State | None:
    """What is written into a tensor."""
    source = args[{"index_add": 3, "index_put": 2, "copy": 1}[name]]
    state = of(source)
    if name == "copy":
        return state[(None,) * (target.ndim - source.ndim)] if isinstance(state, Tensor) else state
    if not isinstance(state, Tensor) or isinstance(known, _Lost):
        return LOST if state is LOST else known  # a constant in the place of what is hidden does not make it count
    hidden = torch.zeros(target.shape, dtype=torch.bool, device=target.device) if known is None else known.clone()
    if name == "index_put":
        return hidden.contiguous().index_put_(tuple(args[1]), state)
    axis, places = args[1], args[2]
    return hidden.contiguous().index_copy_(axis, places, state | hidden.index_select(axis, places))


def _convolved(known: Tensor, args: Sequence[Any]) -> State | None:
    """A place is hidden when all that its window covers is."""
    weight, stride, padding, dilation, transposed = args[1], *args[3:7]
    spatial = weight.ndim - 2
    if transposed or known.ndim != weight.ndim or spatial > 3:
        return LOST
    real = (~small(known).all(1, keepdim=True)).expand(known.shape[0], 1, *known.shape[2:]).float()
    ones = torch.ones(1, 1, *weight.shape[2:], device=real.device)
    seen: Tensor = (F.conv1d, F.conv2d, F.conv3d)[spatial - 1](real, ones, None, stride, padding, dilation)
    return seen == 0.0


def _either(states: Sequence[State | None]) -> State | None:
    """Hidden where one of them is; those that are lost say nothing where others are known."""
    hidden = [state for state in states if isinstance(state, Tensor)]
    if not hidden:
        return LOST if any(state is LOST for state in states) else None
    widest = max(state.ndim for state in hidden)
    result = None
    for state in hidden:
        one = small(state)[(None,) * (widest - state.ndim)]
        result = one if result is None else result | one
    return result
