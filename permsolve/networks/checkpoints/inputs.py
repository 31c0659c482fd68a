"""Example inputs for a model of `transformers`, and the outputs whose order matters."""

import inspect
from typing import Any

import torch
from torch import Tensor, nn

from permsolve.errors import InvalidNetworkError

SEED, BATCH, LENGTH = 0, 2, 8
# Inner states: a permuted model makes them in another order, and it alone reads them.
_INNER = (
    "past_key_values",
    "hidden_states",
    "encoder_hidden_states",
    "decoder_hidden_states",
    "encoder_last_hidden_state",
    "attentions",
    "encoder_attentions",
    "decoder_attentions",
    "cross_attentions",
    "text_model_output",
    "vision_model_output",
    "cache_params",
)


class Outputs(nn.Module):
    """A model of `transformers` that returns what a caller reads: no caches and no inner states.

    Its parts are those of the model, under the same names, so that reports name what the checkpoint has.
    """

    def __init__(self, model: nn.Module) -> None:
        super().__init__()
        self.__dict__["_whole"] = model  # not as a part, whose name would stand in front of all others
        self._modules, self._parameters, self._buffers = model._modules, model._parameters, model._buffers
        self.fixed = {"use_cache": False} if "use_cache" in inspect.signature(model.forward).parameters else {}

    def forward(self, **inputs: Tensor) -> tuple[Tensor, ...]:
        """The outputs that are tensors and not inner states."""
        output = self.__dict__["_whole"](**inputs, **self.fixed, return_dict=True)
        return tuple(part for name, part in output.items() if name not in _INNER and isinstance(part, Tensor))


def example_inputs(model: Any) -> dict[str, Tensor]:
    """Random inputs by name, of the sizes that the model's configuration states.

    Parameters
    ----------
    model : PreTrainedModel
        A model of `transformers`.

    Raises
    ------
    InvalidNetworkError
        When it reads something else than tokens, images, or the spectrogram of a sound.
    """
    config, generator = model.config, torch.Generator().manual_seed(SEED)
    text = config.get_text_config()

    def ids(length: int) -> Tensor:
        return torch.randint(0, text.vocab_size, (BATCH, length), generator=generator)

    def noise(*shape: int) -> Tensor:
        return torch.randn(BATCH, *shape, generator=generator).to(model.dtype)

    inputs: dict[str, Tensor] = {}
    if model.main_input_name == "input_ids":
        inputs["input_ids"] = ids(LENGTH)
    elif model.main_input_name == "input_features" and hasattr(config, "num_mel_bins"):
        inputs["input_features"] = noise(config.num_mel_bins, 2 * config.max_source_positions)
    if model.main_input_name == "pixel_values" or (hasattr(config, "vision_config") and hasattr(config, "text_config")):
        vision = getattr(config, "vision_config", config)
        size = getattr(vision, "image_size", 224)
        height, width = size if isinstance(size, list | tuple) else (size, size)
        inputs["pixel_values"] = noise(getattr(vision, "num_channels", 3), height, width)
    if not inputs:
        raise InvalidNetworkError(
            f"{type(model).__name__} reads {model.main_input_name}, for which no example is known: "
            "use permsolve.networks.permute_ with inputs of your own"
        )
    if getattr(config, "is_encoder_decoder", False):
        inputs["decoder_input_ids"] = ids(LENGTH - 2)
    return inputs
