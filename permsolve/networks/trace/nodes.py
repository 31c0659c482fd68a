"""What a node of a traced graph is: its operator, its layer, the shape of its result."""

import zlib
from typing import Any

import torch
from torch.fx import Node

from permsolve.networks.trace.export import PREFIX

# Lengths that depend on data are stood for by primes: nothing moves along them, they only must be told apart.
_PRIMES = (10007, 10009, 10037, 10039, 10061, 10067, 10069, 10079, 10091, 10093, 10099, 10103, 10111, 10133, 10139)


def operator_name(node: Node) -> str:
    """Such as ``"aten.linear"``, without the overload."""
    packet = getattr(node.target, "overloadpacket", None)
    return str(packet) if packet is not None else str(node.target)


def layer_of(node: Node) -> str:
    """Qualified name of the innermost module that runs an operator, empty for the model itself."""
    stack = node.meta.get("nn_module_stack") or {}
    path = next(reversed(stack.values()))[0] if stack else ""
    return f"{path.partition('@')[0]}.".removeprefix(PREFIX).removesuffix(".")


def shape_of(value: Any) -> tuple[int, ...] | None:
    """Shape of a tensor, with a number of its own for each length that depends on data; None for anything else."""
    return tuple(_length(length) for length in value.shape) if isinstance(value, torch.Tensor) else None


def _length(length: Any) -> int:
    if isinstance(length, int):
        return length
    expression = length.node.expr
    numbers = {symbol: _PRIMES[zlib.crc32(str(symbol).encode()) % len(_PRIMES)] for symbol in expression.free_symbols}
    return int(expression.subs(numbers))
