"""The one training loop, and the one evaluation."""

import math
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn import functional

from bench.train.data.dataset import Dataset

OnStep = Callable[[int, float], None]


@dataclass(frozen=True, slots=True)
class Recipe:
    """How a network is trained: AdamW, linear warm-up, cosine decay to zero.

    Attributes
    ----------
    steps, batch : int
        Number of updates, and examples in each.
    learning_rate, weight_decay : float
        Of AdamW; matrices only are decayed.
    warmup : int
        Steps until the learning rate is reached.
    seed : int
        Of the initial weights and of the batches.
    """

    steps: int
    batch: int
    learning_rate: float
    weight_decay: float = 0.05
    warmup: int = 50
    seed: int = 0

    def rate(self, step: int) -> float:
        """The learning rate at a step, as a share of the highest."""
        if step < self.warmup:
            return (step + 1) / self.warmup
        return 0.5 * (1.0 + math.cos(math.pi * (step - self.warmup) / max(1, self.steps - self.warmup)))


@dataclass(frozen=True, slots=True)
class Score:
    """How well a network does on data that it has not seen.

    Attributes
    ----------
    loss : float
        Mean cross-entropy, in nats.
    accuracy : float
        Share of right answers.
    """

    loss: float
    accuracy: float


def _cross_entropy(logits: Tensor, targets: Tensor, reduction: str = "mean") -> Tensor:
    return functional.cross_entropy(logits.flatten(0, -2), targets.flatten(), reduction=reduction)


@contextmanager
def reproducible(seed: int) -> Iterator[None]:
    """One thread, deterministic algorithms and a seed; what was set before comes back afterwards."""
    threads, deterministic = torch.get_num_threads(), torch.are_deterministic_algorithms_enabled()
    torch.set_num_threads(1)
    torch.use_deterministic_algorithms(True)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        try:
            yield
        finally:
            torch.set_num_threads(threads)
            torch.use_deterministic_algorithms(deterministic)


def fit(network: nn.Module, data: Dataset, recipe: Recipe, on_step: OnStep | None = None) -> None:
    """Train a network in place.

    Parameters
    ----------
    network : Module
        From a batch of inputs to logits, classes last.
    data : Dataset
        Where batches come from.
    recipe : Recipe
        How to train.
    on_step : callable, optional
        Called after each step with its number and its loss.
    """
    generator = torch.Generator().manual_seed(recipe.seed)
    matrices = [parameter for parameter in network.parameters() if parameter.ndim > 1]
    vectors = [parameter for parameter in network.parameters() if parameter.ndim <= 1]
    optimizer = torch.optim.AdamW(
        [{"params": matrices, "weight_decay": recipe.weight_decay}, {"params": vectors, "weight_decay": 0.0}],
        lr=recipe.learning_rate,
        betas=(0.9, 0.98),
    )
    schedule = torch.optim.lr_scheduler.LambdaLR(optimizer, recipe.rate)
    network.train()
    for step in range(recipe.steps):
        inputs, targets = data.draw(recipe.batch, generator)
        loss = _cross_entropy(network(inputs), targets)
        optimizer.zero_grad(set_to_none=True)
        loss.backward()
        nn.utils.clip_grad_norm_(network.parameters(), 1.0)
        optimizer.step()
        schedule.step()
        if on_step is not None:
            on_step(step, float(loss.detach()))
    network.eval()


def score(network: nn.Module, data: Dataset, batch: int = 500) -> Score:
    """Judge a network by the held-out part of its data; it is left in the mode that it was in."""
    mode = network.training
    network.eval()
    loss, right, count = 0.0, 0, 0
    with torch.inference_mode():
        for inputs, targets in data.unseen(batch):
            logits = network(inputs)
            loss += float(_cross_entropy(logits, targets, "sum"))
            right += int((logits.argmax(-1) == targets).sum())
            count += targets.numel()
    network.train(mode)
    return Score(loss / count, right / count)
