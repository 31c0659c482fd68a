"""What Python objects hold, looked at without calling any code of theirs."""

from collections import UserDict, deque
from types import FunctionType, MemberDescriptorType, ModuleType
from typing import Any

import torch

ATOMS = (str, bytes, int, float, complex, type(None), torch.dtype, torch.device)
# What stands for an attribute that is not there.
MISSING = object()


def attributes_of(one: object) -> dict[str, Any] | None:
    """The attributes of an object, without a call of its own code."""
    try:
        found = object.__getattribute__(one, "__dict__")
    except AttributeError:
        return None
    return found if isinstance(found, dict) else None


def slots_of(kind: type) -> list[MemberDescriptorType]:
    """What a class itself, not one that it is made from, keeps beside the attributes of its objects."""
    if "__slots__" not in vars(kind):  # members of Python's own types lead to frames, and from there to everything
        return []
    return [slot for slot in vars(kind).values() if isinstance(slot, MemberDescriptorType)]


def in_slot(one: object, slot: MemberDescriptorType) -> object:
    try:
        return slot.__get__(one)
    except AttributeError:  # it is empty
        return MISSING


def holds_tensor(value: object) -> bool:
    """Whether a value is a tensor, or leads to one."""
    seen: dict[int, object] = {}
    waiting = [value]
    while waiting:
        one = waiting.pop()
        if isinstance(one, torch.Tensor):
            return True
        if isinstance(one, ATOMS) or id(one) in seen or isinstance(one, ModuleType | FunctionType | type):
            continue
        seen[id(one)] = one
        if isinstance(one, dict | UserDict):
            waiting += one.values()
        elif isinstance(one, list | tuple | set | frozenset | deque):
            waiting += one
        else:
            waiting.append(attributes_of(one))
            waiting += [in_slot(one, slot) for base in type(one).__mro__ for slot in slots_of(base)]
    return False
