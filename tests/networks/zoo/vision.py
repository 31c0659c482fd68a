"""Blocks of well-known image networks."""

from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from tests.networks.zoo.case import Case, images, net, weight


def _conv(before: int, after: int, size: int = 3, **options: Any) -> nn.Conv2d:
    return nn.Conv2d(before, after, size, padding=size // 2, **options)


class _Basic(nn.Module):
    """A residual block with batch normalisation; a projection where the shape changes."""

    def __init__(self, before: int, after: int, stride: int = 1) -> None:
        super().__init__()
        self.a, self.norm_a = _conv(before, after, stride=stride, bias=False), nn.BatchNorm2d(after)
        self.b, self.norm_b = _conv(after, after, bias=False), nn.BatchNorm2d(after)
        changed = stride != 1 or before != after
        self.skip = nn.Conv2d(before, after, 1, stride, bias=False) if changed else nn.Identity()

    def forward(self, x: Tensor) -> Tensor:
        h = F.relu(self.norm_a(self.a(x)))
        return F.relu(self.norm_b(self.b(h)) + self.skip(x))


class _ResNet(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.stem = _conv(3, 16)
        self.blocks = nn.Sequential(_Basic(16, 16), _Basic(16, 24, 2), _Basic(24, 24))
        self.head = nn.Linear(24, 10)

    def forward(self, x: Tensor) -> Tensor:
        out: Tensor = self.head(self.blocks(F.relu(self.stem(x))).mean((2, 3)))
        return out


class _UNet(nn.Module):
    """Two levels, skips by concatenation, transposed convolution up."""

    def __init__(self) -> None:
        super().__init__()
        self.down1, self.down2, self.middle = _conv(3, 16), _conv(16, 24), _conv(24, 32)
        self.up2, self.up1 = nn.ConvTranspose2d(32, 24, 2, 2), nn.ConvTranspose2d(24, 16, 2, 2)
        self.join2, self.join1, self.out = _conv(48, 24), _conv(32, 16), nn.Conv2d(16, 2, 1)

    def forward(self, x: Tensor) -> Tensor:
        one = F.relu(self.down1(x))
        two = F.relu(self.down2(F.max_pool2d(one, 2)))
        deep = F.relu(self.middle(F.max_pool2d(two, 2)))
        two = F.relu(self.join2(torch.cat([self.up2(deep), two], 1)))
        one = F.relu(self.join1(torch.cat([self.up1(two), one], 1)))
        out: Tensor = self.out(one)
        return out


class _DenseNet(nn.Module):
    """Every layer reads all before it; batch normalisation over the concatenation."""

    def __init__(self) -> None:
        super().__init__()
        self.stem = _conv(3, 16)
        self.norms = nn.ModuleList(nn.BatchNorm2d(16 + 8 * n) for n in range(3))
        self.convs = nn.ModuleList(_conv(16 + 8 * n, 8) for n in range(3))
        self.norm, self.head = nn.BatchNorm2d(40), nn.Linear(40, 10)

    def forward(self, x: Tensor) -> Tensor:
        seen = [self.stem(x)]
        for norm, conv in zip(self.norms, self.convs, strict=True):
            seen.append(conv(F.relu(norm(torch.cat(seen, 1)))))
        out: Tensor = self.head(F.relu(self.norm(torch.cat(seen, 1))).mean((2, 3)))
        return out


def _shuffle(x: Tensor, groups: int) -> Tensor:
    batch, channels, height, width = x.shape
    return x.view(batch, groups, channels // groups, height, width).transpose(1, 2).reshape(x.shape)


class _ShuffleV2(nn.Module):
    """Half of the channels pass, the other half is worked on, then all are shuffled."""

    def __init__(self) -> None:
        super().__init__()
        self.stem = _conv(3, 32)
        self.a, self.depth, self.b = nn.Conv2d(16, 16, 1), _conv(16, 16, groups=16), nn.Conv2d(16, 16, 1)
        self.out = nn.Conv2d(32, 8, 1)

    def forward(self, x: Tensor) -> Tensor:
        left, right = F.relu(self.stem(x)).chunk(2, 1)
        right = F.relu(self.b(self.depth(F.relu(self.a(right)))))
        out: Tensor = self.out(_shuffle(torch.cat([left, right], 1), 2))
        return out


class _ShuffleV2Stage(nn.Module):
    """Both branches are worked on at half the resolution, then twice one half of the shuffled channels."""

    def __init__(self) -> None:
        super().__init__()
        self.stem = _conv(3, 16)
        self.pool, self.side = _conv(16, 16, groups=16), nn.Conv2d(16, 16, 1)
        self.up = nn.ModuleList(nn.Conv2d(16, 16, 1) for _ in range(3))
        self.depth = nn.ModuleList(_conv(16, 16, groups=16) for _ in range(3))
        self.down = nn.ModuleList(nn.Conv2d(16, 16, 1) for _ in range(3))
        self.norm, self.out = nn.BatchNorm2d(32), nn.Conv2d(32, 8, 1)

    def _branch(self, number: int, x: Tensor) -> Tensor:
        return F.relu(self.down[number](self.depth[number](F.relu(self.up[number](x)))))

    def forward(self, x: Tensor) -> Tensor:
        x = F.relu(self.stem(x))
        small = F.max_pool2d(x, 3, 2, 1)
        x = _shuffle(torch.cat([F.relu(self.side(self.pool(small))), self._branch(0, small)], 1), 2)
        for number in (1, 2):
            left, right = x.chunk(2, 1)
            x = _shuffle(torch.cat([left, self._branch(number, right)], 1), 2)
        out: Tensor = self.out(self.norm(x))
        return out


class _ShuffleV1Stage(nn.Module):
    """Grouped convolutions with a shuffle between; beside a shortcut that is pooled, and one that is not."""

    def __init__(self) -> None:
        super().__init__()
        self.stem = _conv(3, 24)
        self.a = nn.ModuleList([nn.Conv2d(24, 24, 1), nn.Conv2d(48, 24, 1, groups=3)])
        self.depth = nn.ModuleList([_conv(24, 24, groups=24), _conv(24, 24, groups=24)])
        self.b = nn.ModuleList([nn.Conv2d(24, 24, 1, groups=3), nn.Conv2d(24, 48, 1, groups=3)])
        self.norms = nn.ModuleList([nn.BatchNorm2d(24), nn.BatchNorm2d(48)])
        self.head = nn.Linear(48, 10)

    def _branch(self, number: int, x: Tensor) -> Tensor:
        h = F.relu(self.a[number](x))
        branch: Tensor = self.norms[number](self.b[number](self.depth[number](_shuffle(h, 3))))
        return branch

    def forward(self, x: Tensor) -> Tensor:
        x = F.relu(self.stem(x))
        x = F.relu(torch.cat([F.avg_pool2d(x, 3, 1, 1), self._branch(0, x)], 1))
        x = F.relu(x + self._branch(1, x))
        out: Tensor = self.head(x.mean((2, 3)))
        return out


class _ConvNeXt(nn.Module):
    """Depthwise 7 x 7, channels last, layer norm, two linear layers, layer scale."""

    def __init__(self) -> None:
        super().__init__()
        self.stem, self.depth, self.norm = nn.Conv2d(3, 16, 2, 2), _conv(16, 16, 7, groups=16), nn.LayerNorm(16)
        self.up, self.down, self.gamma, self.head = nn.Linear(16, 32), nn.Linear(32, 16), weight(16), nn.Linear(16, 10)

    def forward(self, x: Tensor) -> Tensor:
        stream = self.stem(x)
        h = self.norm(self.depth(stream).permute(0, 2, 3, 1))
        stream = stream + (self.gamma * self.down(F.gelu(self.up(h)))).permute(0, 3, 1, 2)
        out: Tensor = self.head(stream.mean((-2, -1)))
        return out


class _InvertedResidual(nn.Module):
    """MobileNet: expand, depthwise, squeeze-excite, project."""

    def __init__(self) -> None:
        super().__init__()
        self.stem, self.up, self.depth = _conv(3, 16), nn.Conv2d(16, 32, 1), _conv(32, 32, groups=32)
        self.squeeze, self.excite = nn.Conv2d(32, 8, 1), nn.Conv2d(8, 32, 1)
        self.down, self.out = nn.Conv2d(32, 16, 1), nn.Conv2d(16, 8, 1)
        self.norms = nn.ModuleList([nn.BatchNorm2d(16), nn.BatchNorm2d(32), nn.BatchNorm2d(32), nn.BatchNorm2d(16)])

    def forward(self, x: Tensor) -> Tensor:
        stream = F.relu6(self.norms[0](self.stem(x)))
        h = F.hardswish(self.norms[1](self.up(stream)))
        h = F.hardswish(self.norms[2](self.depth(h)))
        h = h * F.hardsigmoid(self.excite(F.relu(self.squeeze(F.adaptive_avg_pool2d(h, 1)))))
        out: Tensor = self.out(stream + self.norms[3](self.down(h)))
        return out


class _SqueezeExcite(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.conv, self.out = _conv(3, 16), nn.Conv2d(16, 8, 1)
        self.squeeze, self.excite = nn.Linear(16, 8), nn.Linear(8, 16)

    def forward(self, x: Tensor) -> Tensor:
        h = F.relu(self.conv(x))
        gate = torch.sigmoid(self.excite(F.relu(self.squeeze(h.mean((2, 3))))))
        out: Tensor = self.out(h * gate[:, :, None, None])
        return out


def _eca(m: Any, x: Tensor) -> Tensor:
    h = F.relu(m.conv(x))
    gate = m.over(h.mean((2, 3)).unsqueeze(1)).squeeze(1).sigmoid()
    out: Tensor = m.out(F.relu(m.b(h * gate[:, :, None, None])))
    return out


def _spatial_gate(m: Any, x: Tensor) -> Tensor:
    h = F.relu(m.conv(x))
    gate = m.gate(torch.cat([h.mean(1, keepdim=True), h.amax(1, keepdim=True)], 1)).sigmoid()
    out: Tensor = m.out(h * gate)
    return out


def _inception(m: Any, x: Tensor) -> Tensor:
    h = F.relu(m.stem(x))
    parts = [m.a(h), m.b2(F.relu(m.b1(h))), m.c(F.max_pool2d(h, 3, 1, 1))]
    out: Tensor = m.out(F.relu(torch.cat(parts, dim=1)))
    return out


def _fire(m: Any, x: Tensor) -> Tensor:
    h = F.relu(m.squeeze(F.relu(m.stem(x))))
    out: Tensor = m.out(torch.cat([F.relu(m.one(h)), F.relu(m.three(h))], -3))
    return out


def _channel_attention(m: Any, x: Tensor) -> Tensor:
    h = m.conv(x)
    flat = h.flatten(2)
    attention = (flat @ flat.transpose(1, 2)).softmax(-1)
    out: Tensor = m.out((attention @ flat).view_as(h) + h)
    return out


def _pyramid(m: Any, x: Tensor) -> Tensor:
    h = F.relu(m.stem(x))
    scales = [F.interpolate(m.reduce(F.adaptive_avg_pool2d(h, s)), h.shape[2:], mode="bilinear") for s in (1, 2, 3)]
    out: Tensor = m.out(torch.cat([h, *scales], 1))
    return out


def _feature_pyramid(m: Any, x: Tensor) -> Any:
    low = F.relu(m.low(x))
    high = F.relu(m.high(F.max_pool2d(low, 2)))
    top = m.lateral_high(high)
    below = m.lateral_low(low) + F.interpolate(top, scale_factor=2)
    return {"high": m.predict(F.relu(top)), "low": m.predict(F.relu(below))}


CASES = (
    Case(
        "resnet",
        _ResNet,
        images(3),
        (*(f"blocks.{n}.{part}" for n in range(3) for part in "ab"), "blocks.1.skip", "head"),
    ),
    Case("unet", _UNet, images(3, 8), ("down2", "middle", "join2", "join1", "out")),
    Case("densenet", _DenseNet, images(3), ("convs.0", "convs.1", "convs.2", "head"), "each part its own permutation"),
    Case(
        "shufflenet_v2",
        _ShuffleV2,
        images(3),
        ("a", "b", "out"),
        "in `out` two interleaved sets of channels",
    ),
    Case(
        "shufflenet_v1",
        lambda: net(
            lambda m, x: m.out(F.relu(m.b(_shuffle(F.relu(m.a(F.relu(m.stem(x)))), 2)))),
            stem=_conv(3, 16),
            a=nn.Conv2d(16, 32, 1, groups=2),
            b=nn.Conv2d(32, 32, 1, groups=2),
            out=nn.Conv2d(32, 8, 1),
        ),
        images(3),
        ("a", "b", "out"),
        "in b interleaved sets of channels",
    ),
    Case(
        "shufflenet_v2_stage",
        _ShuffleV2Stage,
        images(3),
        ("side", "out", *(f"{part}.{n}" for part in ("up", "down") for n in range(3))),
        "interleaved sets of 16, 8 and 4 channels",
    ),
    Case(
        "shufflenet_v1_stage",
        _ShuffleV1Stage,
        images(3),
        ("a.0", "a.1", "b.0", "b.1", "head"),
        "in b three interleaved sets of 2 and 3 channels in each group",
    ),
    Case(
        "cat_of_odd_widths",
        lambda: net(
            lambda m, x: m.out(F.relu(torch.cat([m.a(h := F.relu(m.stem(x))), m.b(h), m.c(h)], 1))),
            stem=_conv(3, 18),
            a=nn.Conv2d(18, 7, 1),
            b=_conv(18, 10),
            c=nn.Conv2d(18, 13, 1),
            out=nn.Conv2d(30, 8, 1),
        ),
        images(3),
        ("a", "b", "c", "out"),
        "where two parts meet, a group of M holds channels of both",
    ),
    Case(
        "channel_shuffle_op",
        lambda: net(
            lambda m, x: m.out(F.channel_shuffle(F.relu(m.stem(x)), 4)), stem=_conv(3, 16), out=nn.Conv2d(16, 8, 1)
        ),
        images(3),
        ("out",),
    ),
    Case("convnext", _ConvNeXt, images(3, 8), ("up", "down", "head")),
    Case("mobilenet", _InvertedResidual, images(3), ("up", "squeeze", "excite", "down", "out")),
    Case("squeeze_excite", _SqueezeExcite, images(3), ("squeeze", "excite", "out")),
    Case(
        "efficient_channel_attention",
        lambda: net(
            _eca, conv=_conv(3, 16), over=nn.Conv1d(1, 1, 3, padding=1), b=_conv(16, 16), out=nn.Conv2d(16, 8, 1)
        ),
        images(3),
        ("out",),
        "a convolution runs over the channels of the first layer",
    ),
    Case(
        "spatial_gate",
        lambda: net(_spatial_gate, conv=_conv(3, 16), gate=_conv(2, 1, 5), out=nn.Conv2d(16, 8, 1)),
        images(3),
        ("out",),
        "mean and maximum are roles of their own: the gate stays",
    ),
    Case(
        "inception",
        lambda: net(
            _inception,
            stem=_conv(3, 16),
            a=nn.Conv2d(16, 8, 1),
            b1=nn.Conv2d(16, 8, 1),
            b2=_conv(8, 16),
            c=nn.Conv2d(16, 8, 1),
            out=nn.Conv2d(32, 8, 1),
        ),
        images(3),
        ("a", "b1", "b2", "c", "out"),
    ),
    Case(
        "fire",
        lambda: net(
            _fire,
            stem=_conv(3, 16),
            squeeze=nn.Conv2d(16, 8, 1),
            one=nn.Conv2d(8, 16, 1),
            three=_conv(8, 16),
            out=nn.Conv2d(32, 8, 1),
        ),
        images(3),
        ("squeeze", "one", "three", "out"),
    ),
    Case(
        "cat_over_rows",
        lambda: net(
            lambda m, x: m.out(torch.cat([m.a(F.relu(m.stem(x))), m.b(F.relu(m.stem(x)))], 2)),
            stem=_conv(3, 16),
            a=nn.Conv2d(16, 16, 1),
            b=nn.Conv2d(16, 16, 1),
            out=nn.Conv2d(16, 8, 1),
        ),
        images(3),
        ("a", "b", "out"),
        "rows of pixels, not channels: both share one permutation",
    ),
    Case(
        "cat_over_batch",
        lambda: net(
            lambda m, x: m.out(torch.cat([m.a(F.relu(m.stem(x))), m.b(F.relu(m.stem(x)))])),
            stem=_conv(3, 16),
            a=nn.Conv2d(16, 16, 1),
            b=nn.Conv2d(16, 16, 1),
            out=nn.Conv2d(16, 8, 1),
        ),
        images(3),
        ("a", "b", "out"),
    ),
    Case(
        "cat_different_widths",
        lambda: net(
            lambda m, x: m.out(torch.cat([m.left(m.stem(x)), m.right(F.relu(m.stem(x)))], dim=1)),
            stem=_conv(3, 16),
            left=nn.Conv2d(16, 8, 1),
            right=nn.Conv2d(16, 24, 1),
            out=nn.Conv2d(32, 8, 1),
        ),
        images(3),
        ("left", "right", "out"),
    ),
    Case(
        "channel_attention",
        lambda: net(_channel_attention, conv=_conv(3, 16), out=nn.Conv2d(16, 8, 1)),
        images(3),
        ("out",),
        "channels are compared with one another, all alike",
    ),
    Case(
        "pyramid_pooling",
        lambda: net(_pyramid, stem=_conv(3, 16), reduce=nn.Conv2d(16, 8, 1), out=nn.Conv2d(40, 8, 1)),
        images(3),
        ("reduce", "out"),
        "three blocks of 8 alike",
    ),
    Case(
        "feature_pyramid",
        lambda: net(
            _feature_pyramid,
            low=_conv(3, 16),
            high=_conv(16, 24),
            lateral_low=nn.Conv2d(16, 16, 1),
            lateral_high=nn.Conv2d(24, 16, 1),
            predict=_conv(16, 8),
        ),
        images(3),
        ("high", "lateral_low", "lateral_high", "predict"),
        "one head for both levels",
    ),
    Case(
        "stochastic_depth",
        lambda: net(
            lambda m, x: (lambda h: m.out(h + 0.5 * F.relu(m.a(h))))(F.relu(m.stem(x))),
            stem=_conv(3, 16),
            a=_conv(16, 16),
            out=nn.Conv2d(16, 8, 1),
        ),
        images(3),
        ("a", "out"),
    ),
)
