"""The outputs of a model of `transformers` whose order matters."""

import inspect
from typing import Any

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


class Outputs(nn.Module):
    """A model of `transformers` that returns what a caller reads: no caches, and no inner states unless these are read.

    Its parts are those of the model, under the same names, so that reports name what the checkpoint has.

    Parameters
    ----------
    model : PreTrainedModel
        The model.
    states : bool, default False
        Whether somebody reads its inner states. What its configuration says that it returns is always read.
    """

    def __init__(self, model: Any, *, states: bool = False) -> None:
        super().__init__()
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
        output = self.whole(**inputs, **self.fixed, return_dict=True)
        read = {name: part for name, part in output.items() if name not in self.inner}
        return tuple(leaf for leaf in pytree.tree_leaves(read) if isinstance(leaf, Tensor))
