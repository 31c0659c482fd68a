"""One topology of the zoo: how it is built and fed, and what a careful person would permute by hand."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from itertools import pairwise
from typing import Any, Literal

import torch
from torch import Tensor, nn

from permsolve.networks.matrices import Matrices

Expectation = Literal["permuted", "refused", "untraceable"]
Inputs = tuple[Tensor, ...] | dict[str, Tensor]


@dataclass(frozen=True)
class Case:
    """One topology.

    Attributes
    ----------
    name : str
        Its name, unique in the zoo.
    build : callable
        Makes the model with random weights.
    inputs : callable
        Makes example inputs, float64 where they are real.
    permuted : tuple of str or mapping of str to float
        Layers whose input axis can be permuted to some gain; with a share where only part of their columns can.
    note : str
        Why, where it is not obvious.
    expect : str
        ``refused``: nothing can be permuted; ``untraceable``: a clean error is due.
    train : bool
        Whether outputs in train mode can be compared (False with dropout).
    """

    name: str
    build: Callable[[], nn.Module]
    inputs: Callable[[], Inputs]
    permuted: tuple[str, ...] | Mapping[str, float] = ()
    note: str = ""
    train: bool = True
    untraceable: bool = False

    @property
    def shares(self) -> dict[str, float]:
        """Share of the columns that can be permuted, by layer."""
        return dict(self.permuted) if isinstance(self.permuted, Mapping) else dict.fromkeys(self.permuted, 1.0)

    @property
    def expect(self) -> Expectation:
        """What is expected of ``permute_``."""
        if self.untraceable:
            return "untraceable"
        return "permuted" if self.permuted else "refused"

    def coverage(self, model: nn.Module) -> float:
        """Least share of the elements of all matrices that can be permuted, by the layers that are named."""
        matrices = Matrices.of(model)
        weights = {weight.module_name: weight for weight in matrices.weights if weight.attribute == "weight"}
        named = sum(share * weights[name].tensor.numel() for name, share in self.shares.items())
        return named / max(1, matrices.multiplied)


class Net(nn.Module):
    """A model made of named parts and a function that runs them."""

    def __init__(self, run: Callable[..., Any], parts: Mapping[str, Any]) -> None:
        super().__init__()
        self.run = run
        for name, part in parts.items():
            if isinstance(part, Tensor) and not isinstance(part, nn.Parameter):
                self.register_buffer(name, part)
            else:
                setattr(self, name, part)

    def forward(self, *arguments: Any, **keywords: Any) -> Any:
        """Run the parts."""
        return self.run(self, *arguments, **keywords)


def net(run: Callable[..., Any], **parts: Any) -> Net:
    """A model of ``parts`` (modules, parameters, buffers); ``run`` gets it and its inputs."""
    return Net(run, parts)


def weight(*shape: int) -> nn.Parameter:
    """A random parameter."""
    return nn.Parameter(torch.randn(*shape) * 0.3)


def vectors(features: int, batch: int = 3, count: int = 1) -> Callable[[], Inputs]:
    """Inputs of shape (batch, features)."""
    return lambda: tuple(torch.randn(batch, features, dtype=torch.float64) for _ in range(count))


def sequences(features: int, length: int = 5, batch: int = 2, count: int = 1) -> Callable[[], Inputs]:
    """Inputs of shape (batch, length, features)."""
    return lambda: tuple(torch.randn(batch, length, features, dtype=torch.float64) for _ in range(count))


def images(channels: int, size: int = 6, batch: int = 2, dimensions: int = 2) -> Callable[[], Inputs]:
    """Inputs of shape (batch, channels, size, ...)."""
    return lambda: (torch.randn(batch, channels, *[size] * dimensions, dtype=torch.float64),)


def tokens(vocabulary: int, length: int = 5, batch: int = 2) -> Callable[[], Inputs]:
    """Token ids, shape (batch, length)."""
    return lambda: (torch.randint(0, vocabulary, (batch, length)),)


def linear(*sizes: int) -> list[nn.Linear]:
    """Linear layers from each size to the next."""
    return [nn.Linear(a, b) for a, b in pairwise(sizes)]
