"""Normalisations, over channels, over pixels and over groups, built in and written by hand."""

from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from tests.networks.zoo.case import Case, images, net, sequences, vectors, weight


def _conv_norm(norm: Any, size: int = 6) -> Any:
    """conv 4 -> 16, norm, ReLU, conv 16 -> 16, norm, ReLU, 1 x 1 -> 8."""
    return lambda: nn.Sequential(
        nn.Conv2d(4, 16, 3, padding=1),
        norm(),
        nn.ReLU(),
        nn.Conv2d(16, 16, 3, padding=1),
        norm(),
        nn.ReLU(),
        nn.Conv2d(16, 8, 1),
    )


def _linear_norm(norm: Any) -> Any:
    return lambda: nn.Sequential(nn.Linear(12, 16), norm(), nn.SiLU(), nn.Linear(16, 16), norm(), nn.Linear(16, 10))


class _HandRms(nn.Module):
    """Root mean square normalisation as language models write it."""

    def __init__(self, offset: float = 0.0) -> None:
        super().__init__()
        self.weight, self.offset = weight(16), offset

    def forward(self, x: Tensor) -> Tensor:
        scale = torch.rsqrt(x.pow(2).mean(-1, keepdim=True) + 1e-6)
        return (self.weight + self.offset) * (x * scale).to(x.dtype)


class _HandChannelNorm(nn.Module):
    """Layer normalisation over the channels of an image, as ConvNeXt writes it."""

    def __init__(self) -> None:
        super().__init__()
        self.weight, self.bias = weight(16), weight(16)

    def forward(self, x: Tensor) -> Tensor:
        mean = x.mean(1, keepdim=True)
        spread = (x - mean).pow(2).mean(1, keepdim=True)
        return self.weight[:, None, None] * ((x - mean) / torch.sqrt(spread + 1e-6)) + self.bias[:, None, None]


class _HandBatchNorm(nn.Module):
    """Batch normalisation whose statistics are buffers of its own, updated in place."""

    mean: Tensor
    spread: Tensor

    def __init__(self) -> None:
        super().__init__()
        self.weight = weight(16)
        self.register_buffer("mean", torch.randn(16))
        self.register_buffer("spread", torch.rand(16) + 0.5)

    def forward(self, x: Tensor) -> Tensor:
        if self.training:
            mean, spread = x.mean((0, 2, 3)), x.var((0, 2, 3))
            self.mean.lerp_(mean.detach().to(self.mean.dtype), 0.1)
            self.spread.lerp_(spread.detach().to(self.spread.dtype), 0.1)
        else:
            mean, spread = self.mean, self.spread
        scaled = (x - mean.view(1, -1, 1, 1)) * torch.rsqrt(spread + 1e-5).view(1, -1, 1, 1)
        return scaled * self.weight.view(1, -1, 1, 1)


class _StandardizedConv(nn.Conv2d):
    """A convolution that standardises its weight in every call."""

    def forward(self, x: Tensor) -> Tensor:
        standard = self.weight - self.weight.mean((1, 2, 3), keepdim=True)
        standard = standard / standard.std((1, 2, 3), keepdim=True)
        return F.conv2d(x, standard, self.bias, padding=1)


class _GlobalResponse(nn.Module):
    """Global response normalisation (ConvNeXt V2), channels last."""

    def __init__(self) -> None:
        super().__init__()
        self.gamma, self.beta = weight(16), weight(16)

    def forward(self, x: Tensor) -> Tensor:
        size = torch.norm(x, p=2, dim=1, keepdim=True)
        out: Tensor = self.gamma * (x * (size / (size.mean(-1, keepdim=True) + 1e-6))) + self.beta + x
        return out


_CONVS, _LINEARS = ("3", "6"), ("3", "5")

CASES = (
    Case("batch_norm_2d", _conv_norm(lambda: nn.BatchNorm2d(16)), images(4), _CONVS),
    Case("batch_norm_no_affine", _conv_norm(lambda: nn.BatchNorm2d(16, affine=False)), images(4), _CONVS),
    Case(
        "batch_norm_no_statistics", _conv_norm(lambda: nn.BatchNorm2d(16, track_running_stats=False)), images(4), _CONVS
    ),
    Case("batch_norm_cumulative", _conv_norm(lambda: nn.BatchNorm2d(16, momentum=None)), images(4), _CONVS),
    Case("sync_batch_norm", _conv_norm(lambda: nn.SyncBatchNorm(16)), images(4), _CONVS, train=False),
    Case("batch_norm_1d", _linear_norm(lambda: nn.BatchNorm1d(16)), vectors(12), _LINEARS),
    Case(
        "batch_norm_1d_sequence",
        lambda: nn.Sequential(nn.Conv1d(4, 16, 3), nn.BatchNorm1d(16), nn.ReLU(), nn.Conv1d(16, 8, 1)),
        images(4, 8, dimensions=1),
        ("3",),
    ),
    Case("batch_norm_hand_written", _conv_norm(_HandBatchNorm), images(4), _CONVS, "the buffers follow"),
    Case("instance_norm", _conv_norm(lambda: nn.InstanceNorm2d(16, affine=True)), images(4), _CONVS),
    Case(
        "instance_norm_statistics",
        _conv_norm(lambda: nn.InstanceNorm2d(16, track_running_stats=True)),
        images(4),
        _CONVS,
    ),
    Case("group_norm_1", _conv_norm(lambda: nn.GroupNorm(1, 16)), images(4), _CONVS),
    Case("group_norm_2", _conv_norm(lambda: nn.GroupNorm(2, 16)), images(4), _CONVS, "within the groups of 8"),
    Case("group_norm_16", _conv_norm(lambda: nn.GroupNorm(16, 16)), images(4), _CONVS, "every channel for itself"),
    Case("group_norm_no_affine", _conv_norm(lambda: nn.GroupNorm(2, 16, affine=False)), images(4), _CONVS),
    Case("group_norm_vectors", _linear_norm(lambda: nn.GroupNorm(2, 16)), vectors(12), _LINEARS),
    Case("layer_norm", _linear_norm(lambda: nn.LayerNorm(16)), vectors(12), _LINEARS),
    Case(
        "layer_norm_no_affine",
        _linear_norm(lambda: nn.LayerNorm(16, elementwise_affine=False)),
        sequences(12),
        _LINEARS,
    ),
    Case("layer_norm_no_bias", _linear_norm(lambda: nn.LayerNorm(16, bias=False)), sequences(12), _LINEARS),
    Case("layer_norm_of_image", _conv_norm(lambda: nn.LayerNorm([16, 6, 6])), images(4), _CONVS),
    Case(
        "layer_norm_of_width",
        _conv_norm(lambda: nn.LayerNorm(16)),
        images(4, 16),
        _CONVS,
        "the width is 16 as the channels are, but the norm runs over the width",
    ),
    Case("layer_norm_of_pixels", _conv_norm(lambda: nn.LayerNorm([6, 6])), images(4), _CONVS),
    Case("rms_norm", _linear_norm(lambda: nn.RMSNorm(16)), sequences(12), _LINEARS),
    Case("rms_norm_hand_written", _linear_norm(_HandRms), sequences(12), _LINEARS),
    Case("rms_norm_one_plus", _linear_norm(lambda: _HandRms(1.0)), sequences(12), _LINEARS),
    Case("channel_norm_hand_written", _conv_norm(_HandChannelNorm), images(4), _CONVS),
    Case(
        "local_response_norm",
        _conv_norm(lambda: nn.LocalResponseNorm(3)),
        images(4),
        (),
        "a window slides over the channels",
    ),
    Case(
        "weight_standardized",
        lambda: nn.Sequential(
            nn.Conv2d(4, 16, 3, padding=1), nn.ReLU(), _StandardizedConv(16, 16, 3), nn.ReLU(), nn.Conv2d(16, 8, 1)
        ),
        images(4),
        ("2", "4"),
    ),
    Case(
        "global_response_norm",
        lambda: net(
            lambda m, x: m.down(m.norm(F.gelu(m.up(x)))),
            up=nn.Linear(12, 16),
            norm=_GlobalResponse(),
            down=nn.Linear(16, 10),
        ),
        sequences(12),
        ("down",),
    ),
    Case(
        "filter_response_norm",
        lambda: net(
            lambda m, x: (
                lambda h: m.out(
                    torch.maximum(
                        h * torch.rsqrt(h.square().mean((2, 3), keepdim=True) + 1e-6) * m.gamma + m.beta, m.tau
                    )
                )
            )(m.conv(x)),
            conv=nn.Conv2d(4, 16, 3),
            out=nn.Conv2d(16, 8, 1),
            gamma=weight(1, 16, 1, 1),
            beta=weight(1, 16, 1, 1),
            tau=weight(1, 16, 1, 1),
        ),
        images(4),
        ("out",),
    ),
)
