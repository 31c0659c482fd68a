"""What a mask hides does not count: texts give the same moments as they are and padded."""

from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from permsolve import networks
from permsolve.errors import InvalidOptionError

# Texts of 4 tokens, as they are and padded to LENGTH, on the right or on the left.
TEXTS, SHORT, LENGTH, WIDTH = 6, 4, 11, 8


class Block(nn.Module):
    """Embedding, attention, a part of its own kind, and a head."""

    def __init__(self, part: nn.Module) -> None:
        super().__init__()
        self.embedding = nn.Embedding(50, WIDTH)
        self.q, self.k, self.v, self.o = (nn.Linear(WIDTH, WIDTH) for _ in range(4))
        self.norm, self.part, self.head = nn.LayerNorm(WIDTH), part, nn.Linear(WIDTH, 5)

    def forward(self, input_ids: Tensor, attention_mask: Tensor) -> Tensor:
        hidden = self.embedding(input_ids)
        seen = attention_mask.bool()[:, None, :]
        scores = self.q(hidden) @ self.k(hidden).transpose(1, 2) / WIDTH**0.5
        hidden = hidden + self.o(scores.masked_fill(~seen, -1e9).softmax(-1) @ self.v(hidden))
        hidden = hidden + self.part(self.norm(hidden))
        weights = attention_mask[..., None].to(hidden.dtype)
        outputs: Tensor = self.head((hidden * weights).sum(1) / weights.sum(1))
        return outputs


class Flattened(nn.Module):
    """Reads all positions as one axis: of the batch first, or of the sequence."""

    def __init__(self, sequence_first: bool) -> None:
        super().__init__()
        self.sequence_first = sequence_first
        self.up, self.down = nn.Linear(WIDTH, 12), nn.Linear(12, WIDTH)

    def forward(self, x: Tensor) -> Tensor:
        rows: Tensor = (x.transpose(0, 1) if self.sequence_first else x).reshape(-1, WIDTH)
        rows = self.down(F.silu(self.up(rows)))
        if not self.sequence_first:
            return rows.reshape(x.shape)
        return rows.reshape(x.shape[1], x.shape[0], WIDTH).transpose(0, 1)


class Experts(nn.Module):
    """Gathers the tokens of each expert, as mixtures do."""

    def __init__(self) -> None:
        super().__init__()
        self.gate = nn.Linear(WIDTH, 3)
        self.experts = nn.ModuleList(
            nn.Sequential(nn.Linear(WIDTH, 12), nn.ReLU(), nn.Linear(12, WIDTH)) for _ in range(3)
        )

    def forward(self, x: Tensor) -> Tensor:
        rows = x.reshape(-1, WIDTH)
        weights, chosen = self.gate(rows).softmax(-1).topk(2, dim=-1)
        result = torch.zeros_like(rows)
        for number, expert in enumerate(self.experts):
            places, slots = torch.where(chosen == number)
            result.index_add_(0, places, expert(rows[places]) * weights[places, slots, None])
        return result.reshape(x.shape)


class SequenceFirst(nn.Module):
    """Swaps batch and sequence."""

    def __init__(self) -> None:
        super().__init__()
        self.one, self.other = nn.Linear(WIDTH, 12), nn.Linear(12, WIDTH)

    def forward(self, x: Tensor) -> Tensor:
        outputs: Tensor = self.other(torch.tanh(self.one(x.transpose(0, 1)))).transpose(0, 1)
        return outputs


class Heads(nn.Module):
    """A layer that reads each head by itself, and one that reads channels before positions."""

    def __init__(self) -> None:
        super().__init__()
        self.each, self.conv = nn.Linear(WIDTH // 2, WIDTH // 2), nn.Conv1d(WIDTH, WIDTH, 1)

    def forward(self, x: Tensor) -> Tensor:
        heads = self.each(x.unflatten(-1, (2, -1)).transpose(1, 2)).transpose(1, 2).flatten(2)
        outputs: Tensor = self.conv(heads.transpose(1, 2)).transpose(1, 2)
        return outputs


PARTS: dict[str, Callable[[], nn.Module]] = {
    "rows": lambda: nn.Sequential(nn.Linear(WIDTH, 12), nn.GELU(), nn.Linear(12, WIDTH)),
    "flattened": lambda: Flattened(sequence_first=False),
    "flattened, sequence first": lambda: Flattened(sequence_first=True),
    "sequence first": SequenceFirst,
    "experts": Experts,
    "heads": Heads,
}


def texts(length: int = LENGTH, left: bool = False, number: int = TEXTS) -> tuple[dict[str, Tensor], dict[str, Tensor]]:
    """A batch as it is, and padded."""
    ids = torch.randint(1, 50, (number, SHORT), generator=torch.Generator().manual_seed(0))
    padded, mask = torch.zeros(2, number, length, dtype=torch.long)
    places = slice(length - SHORT, length) if left else slice(SHORT)
    padded[:, places], mask[:, places] = ids, 1
    return {"input_ids": ids, "attention_mask": torch.ones_like(ids)}, {"input_ids": padded, "attention_mask": mask}


def same(one: Mapping[str, Any], other: Mapping[str, Any]) -> None:
    """As many samples, with the same moments."""
    assert set(one) == set(other)
    for name, moments in one.items():
        assert moments.samples == other[name].samples, name
        np.testing.assert_allclose(other[name].second_moment, moments.second_moment, rtol=1e-3, atol=1e-5)


def block(part: str) -> nn.Module:
    """A block with one of the parts."""
    torch.manual_seed(0)
    return Block(PARTS[part]()).eval()


@pytest.mark.parametrize("left", [False, True])
@pytest.mark.parametrize("length", [LENGTH, TEXTS])
@pytest.mark.parametrize("part", PARTS)
def test_texts_as_they_are_and_padded(part: str, length: int, left: bool) -> None:
    """However positions are arranged; also where there are as many texts as positions."""
    model, (plain, padded) = block(part), texts(length, left)
    found = networks.calibrate(model, [padded])
    same(networks.calibrate(model, [plain]), found)
    assert not found.notes
    assert networks.calibrate(model, [padded], mask=None)["q.weight"].samples == TEXTS * length


@pytest.mark.parametrize("part", ["rows", "experts"])
def test_pruning_in_order_goes_the_same_way(part: str) -> None:
    """Masks and values are those of the texts as they are, and so are those of compress_."""
    plain, padded = texts()
    found = []
    for batch in (plain, padded):
        model = block(part)
        networks.prune_(model, saliency="obs", update="obs", batches=[batch])
        networks.finalize_(model)
        found.append(model.state_dict())
    for name, tensor in found[0].items():
        torch.testing.assert_close(found[1][name], tensor, rtol=1e-2, atol=1e-3)


def test_a_mask_that_is_given() -> None:
    """The name of an entry, or a function of any batch."""
    torch.manual_seed(0)
    model = nn.Sequential(nn.Linear(4, 8), nn.ReLU(), nn.Linear(8, 3))
    x, real = torch.randn(5, 7, 4), torch.rand(5, 7) < 0.5
    expected = networks.calibrate(model, [x[real]])
    same(expected, networks.calibrate(model, [x], mask=lambda batch: real))
    same(expected, networks.calibrate(model, [(x,)], mask=lambda batch: real.to(batch[0].dtype)))

    class Named(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.part = model

        def forward(self, x: Tensor, keep: Tensor) -> Tensor:
            outputs: Tensor = self.part(x)
            return outputs

    found = networks.calibrate(Named(), [{"x": x, "keep": real}], mask="keep")
    same({f"part.{name}": moments for name, moments in expected.items()}, found)
    assert networks.calibrate(model, [x], mask=lambda batch: None)["0.weight"].samples == 35


@pytest.mark.parametrize("mask", ["keep", lambda batch: torch.ones(3, 3), lambda batch: [True], 3])
def test_a_mask_that_cannot_be_used(mask: Any) -> None:
    """One sentence that names it."""
    with pytest.raises(InvalidOptionError, match=r"^mask"):
        networks.calibrate(nn.Linear(4, 4), [torch.ones(5, 7, 4)], mask=mask)


def test_what_cannot_be_matched_is_named() -> None:
    """A layer whose input torch does not follow counts whole, and the notes say so; so does a mask of other kind."""

    class Opaque(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.first, self.second = nn.Linear(4, 4), nn.Linear(4, 4)

        def forward(self, x: Tensor, attention_mask: Tensor) -> Tensor:
            hidden = torch.tensor(self.first(x).tolist()).reshape(-1, 4)
            outputs: Tensor = self.second(hidden)
            return outputs

    mask = torch.tensor([[1, 1, 0], [1, 0, 0]])
    found = networks.calibrate(Opaque(), [{"x": torch.randn(2, 3, 4), "attention_mask": mask}])
    assert list(found.notes) == ["second.weight"]
    assert "padding mask" in found.notes["second.weight"]
    assert (found["first.weight"].samples, found["second.weight"].samples) == (3, 6)
    for other in (mask[:, None, None], mask - 1e4 * (1 - mask).float(), mask[:, :2]):
        found = networks.calibrate(Opaque(), [{"x": torch.randn(2, 3, 4), "attention_mask": other}])
        assert list(found.notes) == ["attention_mask"]


def test_torch_transformer_with_its_own_mask() -> None:
    """``src_key_padding_mask``, True where it is padding, with the batch second."""
    torch.manual_seed(0)
    layer = nn.TransformerEncoderLayer(8, 2, 12, batch_first=False).eval()
    model = nn.TransformerEncoder(layer, 2, enable_nested_tensor=False)
    x, hidden = torch.randn(9, 5, 8), (torch.arange(9) >= 4).expand(5, 9)
    plain = networks.calibrate(model, [{"src": x[:4]}])
    found = networks.calibrate(model, [{"src": x, "src_key_padding_mask": hidden}])
    assert not found.notes
    same(plain, found)
    square = networks.calibrate(
        model, [{"src": torch.randn(9, 9, 8), "src_key_padding_mask": hidden[:1].expand(9, 9)}]
    )  # fmt: skip
    assert list(square.notes) == ["src_key_padding_mask"]  # which axis is that of the batch?


def test_frames_of_a_convolution() -> None:
    """A place counts when its window holds something that does."""
    torch.manual_seed(0)
    model = nn.Sequential(nn.Conv1d(3, 4, 3, stride=2, padding=1), nn.GELU(), nn.Conv1d(4, 4, 3, padding=1))
    x, real = torch.randn(2, 3, 16), (torch.arange(16) < 6).expand(2, 16)
    x[:, :, 6:] = 0
    found = networks.calibrate(model, [x], mask=lambda batch: real)
    assert (found["0.weight"].samples, found["2.weight"].samples) == (2 * 4, 2 * 5)


def test_encoder_and_decoder_have_masks_of_their_own() -> None:
    """Each hides positions of its own tokens."""

    class Both(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.embedding, self.encoder, self.decoder = nn.Embedding(9, 4), nn.Linear(4, 4), nn.Linear(4, 4)

        def forward(self, input_ids: Tensor, decoder_input_ids: Tensor, **masks: Tensor) -> Tensor:
            memory = self.encoder(self.embedding(input_ids)).mean(1, keepdim=True)
            outputs: Tensor = self.decoder(self.embedding(decoder_input_ids) + memory)
            return outputs

    ids, one, other = torch.ones(2, 6, dtype=torch.long), torch.ones(2, 6), torch.ones(2, 6)
    one[:, 2:], other[:, 5:] = 0, 0
    batch = {"input_ids": ids, "decoder_input_ids": ids.clone(), "attention_mask": one, "decoder_attention_mask": other}
    found = networks.calibrate(Both(), [batch])
    assert (found["encoder.weight"].samples, found["decoder.weight"].samples) == (4, 10)
    same_ids = networks.calibrate(Both(), [batch | {"decoder_input_ids": ids}])
    assert (same_ids["encoder.weight"].samples, same_ids["decoder.weight"].samples) == (10, 10)
    del batch["decoder_attention_mask"]
    assert networks.calibrate(Both(), [batch])["decoder.weight"].samples == 12


def test_masks_of_arguments_by_position_or_inside_of_others() -> None:
    """What a mask hides does not depend on how the model is called with it."""
    one, padded = texts()
    model = block("rows")
    plain = networks.calibrate(model, [one])
    same(plain, networks.calibrate(model, [tuple(padded.values())]))
    same(plain, networks.calibrate(model, [tuple(padded.values())], mask="attention_mask"))

    class Inner(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.text = model

        def forward(self, text: dict[str, Tensor]) -> Tensor:
            outputs: Tensor = self.text(**text)
            return outputs

    expected = {f"text.{name}": moments for name, moments in plain.items()}
    same(expected, networks.calibrate(Inner(), [{"text": padded}]))
    same(expected, networks.calibrate(Inner(), [(padded,)]))


def test_masks_of_other_names() -> None:
    """Those that torch adds to scores hide where they are -inf; one that nobody knows is named."""

    class Masked(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.layer = nn.Linear(4, 4)

        def forward(self, x: Tensor, **masks: Tensor) -> Tensor:
            outputs: Tensor = self.layer(x)
            return outputs

    x, real = torch.randn(2, 3, 4), torch.tensor([[1, 1, 0], [1, 0, 0]])
    added = torch.where(real == 0, -torch.inf, 0.0)
    assert networks.calibrate(Masked(), [{"x": x, "src_key_padding_mask": added}])["layer.weight"].samples == 3
    found = networks.calibrate(Masked(), [{"x": x, "padding_mask": real}])
    assert found["layer.weight"].samples == 6
    assert "mask='padding_mask'" in found.notes["padding_mask"]
    both = networks.calibrate(Masked(), [{"x": x, "global_attention_mask": 1 - real, "attention_mask": real}])
    assert (both["layer.weight"].samples, both.notes) == (3, {})


def test_a_layer_that_reads_padding_alone() -> None:
    """It is missing, for the true reason."""
    _, padded = texts()
    found = networks.calibrate(block("rows"), [padded | {"attention_mask": torch.zeros_like(padded["input_ids"])}])
    assert "padding" in found.missing["q.weight"]
