"""The outputs of a model of `transformers` whose order matters."""

import inspect
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext
from typing import Any

import torch
from torch import Tensor, nn
from torch.utils import _pytree as pytree

# Inner states: a permuted model makes them in another order, and it alone reads them.
_STATES = (
    "hidden_states",
    "encoder_hidden_states",
    "decoder_hidden_states",
    "encoder_last_hidden_state",
    "text_model_output",
    "vision_model_output",
    "image_hidden_states",
    "video_hidden_states",
    "audio_hidden_states",
)
_ATTENTIONS = ("attentions", "encoder_attentions", "decoder_attentions", "cross_attentions")
_CACHES = ("past_key_values", "cache_params")
# How experts run in a graph: all of them in one product, with copies of the weights that each token chose.
BATCHED = "batched_mm"


class Outputs(nn.Module):
    """A model of `transformers` that returns what a caller reads: no caches, and no inner states unless these are read.

    Its parts are those of the model, under the same names, so that reports name what the checkpoint has.

    Parameters
    ----------
    model : PreTrainedModel
        The model.
    states : bool, default False
        Whether somebody reads its inner states. What its configuration says that it returns is always read.
    one_by_one : bool, default False
        Whether experts run one after the other, so that a calibration sees what each of them reads.
    """

    def __init__(self, model: Any, *, states: bool = False, one_by_one: bool = False) -> None:
        super().__init__()
        self.one_by_one = one_by_one
        self.__dict__["_whole"] = model  # not as a part, whose name would stand in front of all others
        self._modules, self._parameters, self._buffers = model._modules, model._parameters, model._buffers
        states = states or bool(getattr(model.config, "output_hidden_states", False))
        attentions = bool(getattr(model.config, "output_attentions", False))
        self.inner = _CACHES + (() if states else _STATES) + (() if attentions else _ATTENTIONS)
        known = inspect.signature(model.forward).parameters
        self.fixed = {"use_cache": False} if "use_cache" in known else {}
        if states and ("output_hidden_states" in known or "kwargs" in known):
            self.fixed["output_hidden_states"] = True

    @property
    def whole(self) -> Any:
        """The model itself."""
        return self.__dict__["_whole"]

    def forward(self, **inputs: Tensor) -> tuple[Tensor, ...]:
        """The outputs that are tensors, and not inner states."""
        with _experts_one_by_one(self.whole) if self.one_by_one else nullcontext():
            output = self.whole(**inputs, **self.fixed, return_dict=True)
        read = {name: part for name, part in output.items() if name not in self.inner}
        return tuple(leaf for leaf in pytree.tree_leaves(read) if isinstance(leaf, Tensor))


@contextmanager
def _experts_one_by_one(model: Any) -> Iterator[None]:
    """Run experts one after the other, whose products a calibration can see, unless a graph is made of the run."""
    chosen = dict(model.get_experts_implementation())
    if BATCHED not in chosen.values() or torch.compiler.is_exporting():
        yield
        return
    model.set_experts_implementation({name: "eager" if one == BATCHED else one for name, one in chosen.items()})
    try:
        yield
    finally:
        model.set_experts_implementation(chosen)
