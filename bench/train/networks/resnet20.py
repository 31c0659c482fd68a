"""The residual network of 20 layers for 32 x 32 colour images (He et al. 2016, section 4.2)."""

from torch import Tensor, nn
from torch.nn import functional

# Channels and blocks of each stage; the first convolution of a stage after the first halves the image.
STAGES = ((16, 3), (32, 3), (64, 3))


class Block(nn.Module):
    """Two 3 x 3 convolutions and a shortcut: a projection (their option B) where the shape changes."""

    def __init__(self, before: int, channels: int, stride: int) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(before, channels, 3, stride=stride, padding=1, bias=False)
        self.norm1 = nn.BatchNorm2d(channels)
        self.conv2 = nn.Conv2d(channels, channels, 3, padding=1, bias=False)
        self.norm2 = nn.BatchNorm2d(channels)
        self.shortcut = (
            nn.Identity()
            if before == channels
            else nn.Sequential(nn.Conv2d(before, channels, 1, stride=stride, bias=False), nn.BatchNorm2d(channels))
        )

    def forward(self, stream: Tensor) -> Tensor:
        """Next state of the residual stream, shape (batch, channels, height, width)."""
        hidden = functional.relu(self.norm1(self.conv1(stream)))
        return functional.relu(self.norm2(self.conv2(hidden)) + self.shortcut(stream))


class ResNet20(nn.Module):
    """A convolution, nine blocks, mean over the image, linear head."""

    def __init__(self) -> None:
        super().__init__()
        before = STAGES[0][0]
        self.conv = nn.Conv2d(3, before, 3, padding=1, bias=False)
        self.norm = nn.BatchNorm2d(before)
        blocks = []
        for stage, (channels, count) in enumerate(STAGES):
            for number in range(count):
                blocks.append(Block(before, channels, 2 if stage and not number else 1))
                before = channels
        self.blocks = nn.Sequential(*blocks)
        self.head = nn.Linear(before, 10)

    def forward(self, pixels: Tensor) -> Tensor:
        """Logits, shape (batch, 10), of images, shape (batch, 3, 32, 32)."""
        hidden = self.blocks(functional.relu(self.norm(self.conv(pixels))))
        logits: Tensor = self.head(hidden.mean(dim=(2, 3)))
        return logits
