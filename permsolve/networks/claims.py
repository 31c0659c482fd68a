"""What a permutation claims about the state of a model: which entries move, and that no others do.

A call that the example does not make cannot be compared. So that it is no hole in the verification, the state of the
model is: each tensor that no permuted group names, and each entry outside of the positions that a group names, must be
after the permutation what it was before, bit for bit; and no group may name what the graph did not reach.
"""

import zlib
from collections.abc import Container, Iterable

import torch
from torch import nn

from permsolve.errors import VerificationError
from permsolve.networks.spec import AxisUse, Spec
from permsolve.networks.trace.tensors import named_tensors, strange

_CHUNK = 1 << 24


class Claims:
    """The entries of a model that must stay, by their checksums.

    Parameters
    ----------
    model : Module
        The model before it is permuted.
    spec : Spec
        Its axis groups.
    names : container of str
        The groups that will be permuted.

    Raises
    ------
    VerificationError
        When a group would move what no example reached.
    """

    def __init__(self, model: nn.Module, spec: Spec, names: Container[str]) -> None:
        uses: dict[str, list[AxisUse]] = {}
        unreached = set(spec.unreached)
        same: dict[str, list[str]] = {}
        for alias, owner in spec.aliases.items():
            same.setdefault(owner, []).append(alias)
        for group in spec.groups:
            for use in group.uses if group.name in names else ():
                for name in (use.name, *same.get(use.name, ())):
                    uses.setdefault(name, []).append(use)
        beyond = next((name for name in uses if name in unreached), None)
        if beyond is not None:
            raise VerificationError(
                f"{beyond!r} would move, though the example inputs do not reach it. All weights are as they were. "
                "Please report this model; until then leave its layers out with exclude="
            )
        self._uses = uses
        self._sums = self._summed(model)

    def check(self, model: nn.Module) -> None:
        """Refuse a model in which something else has moved.

        Raises
        ------
        VerificationError
            With the name of the tensor.
        """
        after = self._summed(model)
        moved = next((name for name, before in self._sums.items() if after.get(name) != before), None)
        if moved is not None:
            raise VerificationError(
                f"entries of {moved!r} would change that belong to no axis group which the example inputs reach. "
                "All weights are as they were. Please report this model; until then leave its layers out with exclude="
            )

    def _summed(self, model: nn.Module) -> dict[str, int]:
        """A checksum of the entries of each tensor that must stay."""
        tensors = named_tensors(model)
        uses: dict[str, list[AxisUse]] = {}
        for name, own in self._uses.items():
            if name in tensors.owner:
                uses.setdefault(tensors.owner[name], []).extend(own)
        return {
            name: _checksum(_staying(tensor.detach(), uses.get(name, ())))
            for name, tensor in tensors.tensors.items()
            if strange(tensor) is None and not tensor.is_meta
        }


def _staying(tensor: torch.Tensor, uses: Iterable[AxisUse]) -> torch.Tensor:
    """The entries of a tensor that none of its uses moves."""
    moving = torch.zeros((1,) * tensor.ndim, dtype=torch.bool, device="cpu")
    for use in uses:
        if use.values:
            return tensor.new_empty(0)
        along = torch.zeros(tensor.shape[use.axis], dtype=torch.bool, device="cpu")
        along[torch.from_numpy(use.positions.ravel())] = True
        if use.rows is None and bool(along.all()):
            return tensor.new_empty(0)
        part = along.reshape([-1 if axis == use.axis else 1 for axis in range(tensor.ndim)])
        if use.rows is not None:
            rows = torch.zeros(tensor.shape[0], dtype=torch.bool, device="cpu")
            rows[slice(*use.rows)] = True
            part = part & rows.reshape(-1, *(1,) * (tensor.ndim - 1))
        moving = moving | part
    if not bool(moving.any()):
        return tensor
    return tensor[~moving.expand(tensor.shape).to(tensor.device)]


def _checksum(tensor: torch.Tensor) -> int:
    flat, total = tensor.contiguous().reshape(-1), 0
    for start in range(0, flat.numel(), _CHUNK):
        total = zlib.crc32(flat[start : start + _CHUNK].cpu().view(torch.uint8).numpy().tobytes(), total)
    return total
