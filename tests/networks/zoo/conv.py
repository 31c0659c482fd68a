"""Convolutions: chains, pooling, groups, transposed, flattening; the cases of NVIDIA's own tests among them."""

from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from tests.networks.zoo.case import Case, images, net, vectors, weight


def _conv(before: int, after: int, size: int = 3, **options: Any) -> nn.Conv2d:
    return nn.Conv2d(before, after, size, padding=size // 2, **options)


def _chain(between: Any = None, depth: int = 3, width: int = 16) -> nn.Module:
    """`depth` convolutions with `between` after each, then 1 x 1 to 8."""
    parts: list[nn.Module] = []
    for number in range(depth):
        parts += [_conv(4 if number == 0 else width, width), between(width) if between else nn.ReLU()]
    return nn.Sequential(*parts, nn.Conv2d(width, 8, 1))


def _tail(run: Any, **parts: Any) -> nn.Module:
    """conv_in 4 -> 16, then `run`."""
    return net(lambda m, x: run(m, F.relu(m.conv_in(x))), conv_in=_conv(4, 16), **parts)


_DEEP = ("2", "4", "6")

CASES = (
    Case("conv_chain", _chain, images(4), _DEEP),
    Case("conv_chain_10", lambda: _chain(depth=10), images(4, 4), tuple(str(2 * n) for n in range(1, 11))),
    Case(
        "conv_1d",
        lambda: nn.Sequential(
            nn.Conv1d(4, 16, 3), nn.ReLU(), nn.Conv1d(16, 16, 3, dilation=2), nn.ReLU(), nn.Conv1d(16, 8, 1)
        ),
        images(4, 12, dimensions=1),
        ("2", "4"),
    ),
    Case(
        "conv_3d",
        lambda: nn.Sequential(
            nn.Conv3d(2, 16, 3, padding=1), nn.BatchNorm3d(16), nn.ReLU(), nn.MaxPool3d(2), nn.Conv3d(16, 8, 1)
        ),
        images(2, 4, dimensions=3),
        ("4",),
    ),
    Case(
        "conv_strided_dilated",
        lambda: nn.Sequential(
            nn.Conv2d(4, 16, 3, stride=2, padding=1),
            nn.ReLU(),
            nn.Conv2d(16, 16, 3, dilation=2, padding=2),
            nn.ReLU(),
            nn.Conv2d(16, 8, (1, 3)),
        ),
        images(4, 8),
        ("2", "4"),
    ),
    Case(
        "conv_reflect_padding",
        lambda: nn.Sequential(_conv(4, 16, padding_mode="reflect"), nn.ReLU(), _conv(16, 8, padding_mode="circular")),
        images(4),
        ("2",),
    ),
    Case(
        "pooling",
        lambda: nn.Sequential(
            _conv(4, 16),
            nn.MaxPool2d(2),
            _conv(16, 16),
            nn.AvgPool2d(2),
            _conv(16, 16),
            nn.AdaptiveAvgPool2d(1),
            nn.Flatten(),
            nn.Linear(16, 10),
        ),
        images(4, 8),
        ("2", "4", "7"),
    ),
    Case(
        "pooling_more",
        lambda: nn.Sequential(
            _conv(4, 16), nn.LPPool2d(2, 2), _conv(16, 16), nn.AdaptiveMaxPool2d(2), nn.Conv2d(16, 8, 1)
        ),
        images(4, 8),
        ("2", "4"),
    ),
    Case(
        "max_pool_unpool",
        lambda: _tail(
            lambda m, h: m.out(F.max_unpool2d(*F.max_pool2d(h, 2, return_indices=True), [2, 2])),
            out=nn.Conv2d(16, 8, 1),
        ),
        images(4),
        (),
        "the indices are data",
    ),
    Case(
        "mean_over_image", lambda: _tail(lambda m, h: m.out(h.mean((2, 3))), out=nn.Linear(16, 10)), images(4), ("out",)
    ),
    Case("dropout_2d", lambda: _chain(lambda width: nn.Dropout2d(0.2)), images(4), _DEEP, train=False),
    Case(
        "upsampled",
        lambda: _tail(
            lambda m, h: m.out(
                F.relu(m.b(F.interpolate(F.interpolate(h, scale_factor=2), size=(9, 9), mode="bilinear")))
            ),
            b=_conv(16, 16),
            out=nn.Conv2d(16, 8, 1),
        ),
        images(4),
        ("b", "out"),
    ),
    Case(
        "upsample_module",
        lambda: nn.Sequential(_conv(4, 16), nn.Upsample(scale_factor=2, mode="bicubic"), _conv(16, 8)),
        images(4),
        ("2",),
    ),
    Case(
        "transposed_conv",
        lambda: nn.Sequential(
            _conv(4, 16), nn.ReLU(), nn.ConvTranspose2d(16, 24, 2, stride=2), nn.ReLU(), nn.Conv2d(24, 8, 1)
        ),
        images(4),
        ("4",),
        "a transposed convolution is not pruned, but follows on both sides",
    ),
    Case(
        "transposed_conv_1d_grouped",
        lambda: nn.Sequential(
            nn.Conv1d(4, 16, 3), nn.ConvTranspose1d(16, 16, 2, groups=2), nn.ReLU(), nn.Conv1d(16, 8, 1)
        ),
        images(4, 8, dimensions=1),
        ("3",),
        "the outputs in two blocks",
    ),
    Case(
        "depthwise_separable",
        lambda: nn.Sequential(
            _conv(4, 16),
            _conv(16, 16, groups=16),
            nn.BatchNorm2d(16),
            nn.ReLU(),
            nn.Conv2d(16, 24, 1),
            nn.ReLU(),
            nn.Conv2d(24, 8, 1),
        ),
        images(4),
        ("4", "6"),
        "a depthwise weight has one column: nothing to permute",
    ),
    Case(
        "depthwise_multiplier",
        lambda: nn.Sequential(_conv(4, 16), _conv(16, 32, groups=16), nn.ReLU(), nn.Conv2d(32, 8, 1)),
        images(4),
        (),
        "channel c makes channels 2c and 2c + 1, which move as pairs at least",
    ),
    Case(
        "grouped",
        lambda: nn.Sequential(_conv(4, 16), nn.ReLU(), _conv(16, 16, groups=2), nn.ReLU(), nn.Conv2d(16, 8, 1)),
        images(4),
        ("2", "4"),
        "every group its own permutation",
    ),
    Case(
        "grouped_after_grouped",
        lambda: nn.Sequential(
            _conv(4, 32),
            nn.ReLU(),
            _conv(32, 32, groups=2),
            nn.ReLU(),
            _conv(32, 32, groups=4),
            nn.ReLU(),
            nn.Conv2d(32, 8, 1),
        ),
        images(4),
        ("2", "4", "6"),
        "blocks of 8 between the two",
    ),
    Case(
        "grouped_on_input",
        lambda: nn.Sequential(_conv(16, 16, groups=2), nn.ReLU(), nn.Conv2d(16, 8, 1)),
        images(16),
        ("2",),
    ),
    Case(
        "resnext_block",
        lambda: _tail(
            lambda m, h: m.out(h + m.c(F.relu(m.b(F.relu(m.a(h)))))),
            a=nn.Conv2d(16, 32, 1),
            b=_conv(32, 32, groups=4),
            c=nn.Conv2d(32, 16, 1),
            out=nn.Conv2d(16, 8, 1),
        ),
        images(4),
        ("a", "b", "c", "out"),
    ),
    # Flattening.
    Case(
        "flatten_of_pixels",
        lambda: _tail(lambda m, h: m.out(h.flatten(1)), out=nn.Linear(16 * 9, 10)),
        images(4, 3),
        (),
        "whole blocks of 9 columns move: no N:M problem of single columns",
    ),
    Case("flatten_1x1", lambda: _tail(lambda m, h: m.out(h.flatten(1)), out=nn.Linear(16, 10)), images(4, 1), ("out",)),
    Case(
        "flatten_channels_last",
        lambda: _tail(lambda m, h: m.out(h.permute(0, 2, 3, 1).flatten(1)), out=nn.Linear(16 * 9, 10)),
        images(4, 3),
        ("out",),
        "every pixel has its 16 columns, all ordered alike",
    ),
    Case(
        "flatten_beside_conv",
        lambda: _tail(
            lambda m, h: m.out(h.flatten(1)) + m.b(h).mean((2, 3)), out=nn.Linear(16 * 9, 10), b=_conv(16, 10)
        ),
        images(4, 3),
        ("b",),
        "the linear layer follows in blocks of 9",
    ),
    Case(
        "linear_to_image",
        lambda: net(
            lambda m, x: m.out(F.relu(m.b(F.relu(m.fc(x)).unflatten(1, (16, 2, 2))))),
            fc=nn.Linear(12, 64),
            b=_conv(16, 16),
            out=nn.Conv2d(16, 8, 1),
        ),
        vectors(12),
        ("b", "out"),
        "the rows of fc follow in blocks of 4",
    ),
    Case(
        "conv_1d_of_image",
        lambda: _tail(
            lambda m, h: m.out(m.line(h.view(h.shape[0], 16, -1)).view(h.shape)),
            line=nn.Conv1d(16, 16, 3, padding=1),
            out=nn.Conv2d(16, 8, 1),
        ),
        images(4),
        ("line", "out"),
    ),
    Case(
        "conv_1d_with_2d",
        lambda: _tail(
            lambda m, h: m.out(m.line(h.view(h.shape[0], 16, -1)).view(h.shape) + m.b(h)),
            line=nn.Conv1d(16, 16, 3, padding=1),
            b=_conv(16, 16),
            out=nn.Conv2d(16, 8, 1),
        ),
        images(4),
        ("line", "b", "out"),
    ),
    Case(
        "linear_on_channels_last",
        lambda: _tail(
            lambda m, h: m.out(F.gelu(m.fc(h.permute(0, 2, 3, 1))).permute(0, 3, 1, 2)),
            fc=nn.Linear(16, 24),
            out=nn.Conv2d(24, 8, 1),
        ),
        images(4),
        ("fc", "out"),
    ),
    Case(
        "unfold_linear",
        lambda: _tail(lambda m, h: m.out(F.unfold(h, 3).transpose(1, 2)), out=nn.Linear(16 * 9, 10)),
        images(4),
        (),
        "blocks of 9 columns",
    ),
    Case(
        "fold_of_unfold",
        lambda: _tail(
            lambda m, h: m.out(F.fold(F.unfold(h, 3, padding=1), h.shape[2:], 3, padding=1)), out=nn.Conv2d(16, 8, 1)
        ),
        images(4),
        ("out",),
        "channels stay channels",
    ),
    Case(
        "pixel_shuffle",
        lambda: _tail(lambda m, h: m.out(F.pixel_shuffle(m.up(h), 2)), up=_conv(16, 64), out=nn.Conv2d(16, 8, 1)),
        images(4, 4),
        ("up", "out"),
        "channel c comes from rows 4c ... 4c + 3",
    ),
    Case(
        "pixel_unshuffle",
        lambda: _tail(lambda m, h: m.out(F.pixel_unshuffle(h, 2)), out=nn.Conv2d(64, 8, 1)),
        images(4, 4),
        (),
        "groups of 4 columns move as one: nothing to gain",
    ),
    Case(
        "space_to_depth",
        lambda: _tail(
            lambda m, h: m.out(
                torch.cat([h[..., ::2, ::2], h[..., 1::2, ::2], h[..., ::2, 1::2], h[..., 1::2, 1::2]], 1)
            ),
            out=nn.Conv2d(64, 8, 1),
        ),
        images(4, 4),
        ("out",),
        "four blocks of 16 columns, ordered alike",
    ),
    Case(
        "patches_by_reshape",
        lambda: _tail(
            lambda m, h: m.out(
                h.unflatten(3, (3, 2)).unflatten(2, (3, 2)).permute(0, 2, 4, 3, 5, 1).flatten(3).flatten(1, 2)
            ),
            out=nn.Linear(64, 10),
        ),
        images(4),
        ("out",),
        "a patch of 2 x 2 pixels, channels last",
    ),
    Case(
        "fft_of_image",
        lambda: _tail(
            lambda m, h: m.out(torch.fft.irfft2(torch.fft.rfft2(h) * 0.5, s=h.shape[-2:])), out=nn.Conv2d(16, 8, 1)
        ),
        images(4),
        ("out",),
        "the transform runs over the pixels",
    ),
    Case(
        "roll_of_image",
        lambda: _tail(lambda m, h: m.out(torch.roll(h, (1, 2), (2, 3)).flip(-1)), out=nn.Conv2d(16, 8, 1)),
        images(4),
        ("out",),
    ),
    Case(
        "grid_sample",
        lambda: _tail(
            lambda m, h: m.out(
                F.grid_sample(
                    h,
                    F.affine_grid(m.theta.expand(h.shape[0], 2, 3), h.shape, align_corners=False),
                    align_corners=False,
                )
            ),
            out=nn.Conv2d(16, 8, 1),
            theta=weight(2, 3),
        ),
        images(4),
        ("out",),
        "moves pixels, not channels",
    ),
    # Parameters beside convolutions.
    Case(
        "parameter_image",
        lambda: _tail(
            lambda m, h: m.out(F.relu(m.b(h + m.image)) + m.image),
            b=_conv(16, 16),
            out=nn.Conv2d(16, 8, 1),
            image=weight(16, 6, 6),
        ),
        images(4),
        ("b", "out"),
        "the parameter ties both axes to one permutation",
    ),
    Case(
        "parameter_image_once",
        lambda: _tail(
            lambda m, h: m.out(F.relu(m.b(h + m.image.expand(h.shape[0], -1, -1, -1)))),
            b=_conv(16, 16),
            out=nn.Conv2d(16, 8, 1),
            image=weight(16, 1, 1),
        ),
        images(4),
        ("b", "out"),
    ),
    Case(
        "channel_offset",
        lambda: _tail(lambda m, h: m.out(h.add_(torch.arange(h.size(1)).view(1, -1, 1, 1))), out=nn.Conv2d(16, 8, 1)),
        images(4),
        (),
        "the offset is in the code",
    ),
    Case("prelu_conv", lambda: _chain(nn.PReLU), images(4), _DEEP),
    Case(
        "residual_from_input_conv",
        lambda: net(
            lambda m, x: m.out(F.relu(m.b(m.a(x) + x))), a=_conv(16, 16), b=_conv(16, 16), out=nn.Conv2d(16, 8, 1)
        ),
        images(16),
        ("out",),
    ),
    Case(
        "simple_forks_joins",
        lambda: net(
            lambda m, x: (lambda s: m.out(_bottle(m, "b", s) + _bottle(m, "c", s)))(
                (lambda s: s + _bottle(m, "a", s))(m.norm(m.first(m.conv_in(x))))
            ),
            conv_in=_conv(4, 16),
            first=_conv(16, 16),
            norm=nn.BatchNorm2d(16),
            out=nn.Conv2d(16, 8, 1),
            **{f"{name}{n}": _conv(*((16, 8) if n == 1 else (8, 16))) for name in "abc" for n in (1, 2)},
        ),
        images(4),
        ("first", "out", "a1", "a2", "b1", "b2", "c1", "c2"),
    ),
    Case(
        "siblings_with_groups",
        lambda: _tail(
            lambda m, h: m.out(F.relu(sum(getattr(m, f"g{g}")(h) for g in (1, 2, 4)))),
            out=nn.Conv2d(32, 8, 1),
            conv_mid=nn.Identity(),
            **{f"g{g}": _conv(16, 32, groups=g) for g in (1, 2)},
            g4=_conv(16, 32, groups=2),
        ),
        images(4),
        ("g1", "g2", "g4", "out"),
        "everything in blocks of 8",
    ),
    Case(
        "sibling_flattened",
        lambda: _tail(
            lambda m, h: m.out(m.fa(F.relu(m.a(h)).flatten(1)) + m.fb(h.flatten(1))),
            a=_conv(16, 16),
            fa=nn.Linear(144, 16),
            fb=nn.Linear(144, 16),
            out=nn.Linear(16, 10),
        ),
        images(4, 3),
        ("a", "out"),
    ),
    Case(
        "depthwise_beside_conv",
        lambda: _tail(
            lambda m, h: m.out(m.a(h) + m.b(m.depth(h))),
            a=_conv(16, 16),
            depth=_conv(16, 16, groups=16),
            b=_conv(16, 16),
            out=nn.Conv2d(16, 8, 1),
        ),
        images(4),
        ("a", "b", "out"),
    ),
    Case(
        "narrow_sibling",
        lambda: _tail(
            lambda m, h: m.out(m.a2(m.a1(h)) + m.b2(F.relu(m.b1(h)))),
            a1=nn.Conv2d(16, 3, 1),
            a2=_conv(3, 16),
            b1=_conv(16, 16),
            b2=nn.Conv2d(16, 16, 1),
            out=nn.Conv2d(16, 8, 1),
        ),
        images(4),
        ("a1", "b1", "b2", "out"),
        "three channels in between leave nothing to gain under 2:4",
    ),
)


def _bottle(m: Any, name: str, x: Tensor) -> Tensor:
    out: Tensor = m.get_submodule(f"{name}2")(F.relu(m.get_submodule(f"{name}1")(x)))
    return out
