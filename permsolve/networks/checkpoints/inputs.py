"""Calls of a model of `transformers` that reach all its parts, made after its configuration."""

import json
from collections.abc import Iterator
from typing import Any

import torch
from torch import Tensor

from permsolve.networks.checkpoints.folder import CheckpointFolder

Call = dict[str, Tensor]

SEED, LENGTH = 0, 8
# Samples of a call; fewer where a model cannot tell samples of different lengths apart.
BATCHES = (2, 1)
_SIDE = 224
# Frames that the convolutions of a model for sound waves leave.
_FRAMES = 6
# Names, in configurations, of the token in whose places the features of a picture or a sound are put.
_IMAGE = ("image_token_id", "image_token_index")
_AUDIO = ("audio_token_id", "audio_token_index")
_SPECIAL = (*_IMAGE, *_AUDIO, "video_token_id", "video_token_index")
_PREPROCESSING = ("preprocessor_config.json", "processor_config.json")
# Placeholders of the first try, which shows how many features there are.
_TRIED = 2


def made_calls(model: Any, folder: CheckpointFolder) -> Iterator[Call]:
    """Random calls of the sizes that a model's configuration states, the fullest first; some may not suit the model.

    Parameters
    ----------
    model : PreTrainedModel
        A model of `transformers`.
    folder : CheckpointFolder
        Where it comes from: the settings of its processor count where the configuration says nothing.
    """
    for batch in BATCHES:
        maker = _Maker(model, folder, batch)
        yield from maker.with_features()
        yield from maker.plain()


class _Maker:
    """Makes arguments of a model."""

    def __init__(self, model: Any, folder: CheckpointFolder, batch: int) -> None:
        self._model, self._folder, self._batch = model, folder, batch
        self._config = model.config
        self._text = self._config.get_text_config()
        self._arguments = _arguments(model)
        self._generator = torch.Generator().manual_seed(SEED)

    def plain(self) -> Iterator[Call]:
        """Tokens, pictures or sounds side by side, as the model reads them."""
        main = self._model.main_input_name
        tokens = {"input_ids": self._ids(LENGTH)} if "input_ids" in self._arguments else {}
        decoded = {}
        if getattr(self._config, "is_encoder_decoder", False):
            decoded["decoder_input_ids"] = self._ids(LENGTH - 2)
        pictures = list(self._pictures()) if "pixel_values" in self._arguments else []
        sounds = list(self._sounds())
        both = [picture | sound for picture in pictures for sound in sounds]
        read = [*both, *pictures, *sounds]
        if main == "input_ids" or not read:
            read = [tokens | features for features in read] + ([tokens] if tokens else [])
        else:
            read += [tokens | features for features in read]
        for features in read:
            yield features | decoded
            if decoded:  # some models ask for as many tokens as they have read
                yield features | {"decoder_input_ids": self._ids(LENGTH)}

    def with_features(self) -> Iterator[Call]:
        """Texts with placeholders, in whose places the features of pictures and sounds are put."""
        for names, made in ((_IMAGE, self._pictures), (_AUDIO, self._sounds)):
            token = next((value for name in names if (value := getattr(self._config, name, None)) is not None), None)
            if token is None or "input_ids" not in self._arguments:
                continue
            for features in made():
                sizes = self._sizes({"input_ids": self._filled(token, _TRIED), **features})
                for count in dict.fromkeys(sizes):
                    yield {"input_ids": self._filled(token, count), **features}

    def _ids(self, length: int) -> Tensor:
        size = self._text.vocab_size
        longest = getattr(self._text, "max_position_embeddings", None) or length
        shape = (self._batch, min(length, max(longest - 2, 1)))
        ids = torch.randint(0, size, shape, generator=self._generator, device="cpu").to(self._model.device)
        special = {getattr(self._config, name, None) for name in _SPECIAL}
        for part in (self._config, self._text):
            special |= {getattr(part, name, None) for name in ("eos_token_id", "pad_token_id")}
        numbers = {number for number in special if isinstance(number, int)}
        usual = [number for number in range(min(size, len(numbers) + 1)) if number not in numbers] or [0]
        for number in numbers:
            ids[ids == number] = usual[0]
        last = getattr(self._text, "eos_token_id", None)
        if isinstance(last, int) and 0 <= last < size:
            ids[:, -1] = last  # some models read the state of this token
        return ids

    def _filled(self, token: int, count: int) -> Tensor:
        ids = self._ids(LENGTH)
        places = torch.full((self._batch, count), token, device=ids.device)
        return torch.cat([ids[:, : LENGTH // 2], places, ids[:, LENGTH // 2 :]], 1)

    def _noise(self, *shape: int) -> Tensor:
        noise = torch.randn(self._batch, *shape, generator=self._generator, dtype=torch.float32, device="cpu")
        return noise.to(self._model.device, self._model.dtype)

    def _pictures(self) -> Iterator[Call]:
        vision = getattr(self._config, "vision_config", None) or getattr(self._config, "encoder", None) or self._config
        sides = _sides(vision, self._folder)
        channels = int(getattr(vision, "num_channels", 3))
        frames = getattr(vision, "num_frames", None)
        if frames is not None:
            yield {"pixel_values": self._noise(int(frames), channels, *sides)}
        yield {"pixel_values": self._noise(channels, *sides)}

    def _sounds(self) -> Iterator[Call]:
        """Spectrograms and sound waves, by the arguments that the model has."""
        sound = getattr(self._config, "audio_config", None) or self._config
        bins = getattr(sound, "num_mel_bins", None)
        if "input_features" in self._arguments and bins is not None and hasattr(sound, "max_source_positions"):
            frames = 2 * int(sound.max_source_positions)
            yield {"input_features": self._noise(int(bins), frames), **self._masks(frames)}
        if "input_features" in self._arguments and hasattr(sound, "input_feat_per_channel"):
            yield {"input_features": self._noise(8 * LENGTH, int(sound.input_feat_per_channel))}
        if "input_values" in self._arguments and hasattr(sound, "conv_kernel"):
            length = _FRAMES
            for kernel, stride in reversed(list(zip(sound.conv_kernel, sound.conv_stride, strict=True))):
                length = (length - 1) * int(stride) + int(kernel)
            yield {"input_values": self._noise(length)}
        if "input_values" in self._arguments and bins is not None and hasattr(sound, "max_length"):
            yield {"input_values": self._noise(int(sound.max_length), int(bins))}

    def _masks(self, frames: int) -> Call:
        """A mask that keeps all frames, where the model asks for one."""
        names = ("feature_attention_mask", "input_features_mask")
        mask = torch.ones(self._batch, frames, dtype=torch.long, device=self._model.device)
        return {name: mask for name in names if name in self._arguments}

    def _sizes(self, call: Call) -> list[int]:
        """Numbers of features that a call makes for each sample, as wide as the tokens' embeddings, the last first."""
        width = self._model.get_input_embeddings().weight.shape[-1]
        found: list[int] = []

        def note(module: Any, inputs: Any, output: Any) -> None:
            if isinstance(output, Tensor) and output.shape[-1:] == (width,):
                found.append(output.numel() // width // self._batch)

        hooks = [module.register_forward_hook(note) for module in self._model.modules()]
        try:
            runs(self._model, call)
        finally:
            for hook in hooks:
                hook.remove()
        return [size for size in reversed(found) if size]


def runs(model: Any, call: Call) -> Exception | None:
    """What a model raises when it is called; None when it takes the call."""
    try:
        with torch.random.fork_rng(), torch.no_grad():
            model(**call)
    except Exception as error:  # of a call that may not suit the model, whose code raises what it likes
        return error
    return None


def _arguments(model: Any) -> frozenset[str]:
    import inspect

    return frozenset(inspect.signature(model.forward).parameters)


def _sides(vision: Any, folder: CheckpointFolder) -> tuple[int, int]:
    """Height and width of a picture, by the configuration or the processor."""
    size: Any = getattr(vision, "image_size", None)
    for name in _PREPROCESSING:
        file = folder.path / name
        if size is None and file.is_file():
            size = _preprocessed(json.loads(file.read_text(encoding="utf-8")))
    if isinstance(size, list | tuple) and len(size) == 2:
        return int(size[0]), int(size[1])
    return (int(size), int(size)) if isinstance(size, int) else (_SIDE, _SIDE)


def _preprocessed(settings: dict[str, Any]) -> Any:
    """Size of pictures that a processor makes."""
    settings = settings.get("image_processor", settings)
    for key in ("crop_size", "size"):
        size = settings.get(key)
        if isinstance(size, dict):
            if "height" in size and "width" in size:
                return [size["height"], size["width"]]
            size = size.get("shortest_edge")
        if isinstance(size, int):
            return size
    return None
