"""A small convolutional network for 32 x 32 colour images."""

from torch import Tensor, nn
from torch.nn import functional

# Output channels and stride of each convolution.
CHANNELS = ((64, 2), (64, 1), (128, 2), (128, 1), (256, 2), (256, 1))


class CifarConv(nn.Module):
    """Six 3 x 3 convolutions with batch normalisation and ReLU, mean over the image, linear head."""

    def __init__(self) -> None:
        super().__init__()
        before = 3
        for number, (channels, stride) in enumerate(CHANNELS, 1):
            self.add_module(f"conv{number}", nn.Conv2d(before, channels, 3, stride=stride, padding=1, bias=False))
            self.add_module(f"norm{number}", nn.BatchNorm2d(channels))
            before = channels
        self.head = nn.Linear(before, 10)

    def forward(self, pixels: Tensor) -> Tensor:
        """Logits, shape (batch, 10), of images, shape (batch, 3, 32, 32)."""
        hidden = pixels
        for number in range(1, len(CHANNELS) + 1):
            hidden = self.get_submodule(f"conv{number}")(hidden)
            hidden = functional.relu(self.get_submodule(f"norm{number}")(hidden))
        logits: Tensor = self.head(hidden.mean(dim=(2, 3)))
        return logits
