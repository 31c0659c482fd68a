"""A multi-layer perceptron for images of clothes: 784-1024-1024-10."""

from torch import Tensor, nn
from torch.nn import functional


class FashionMlp(nn.Module):
    """Two hidden layers of 1024 units, ReLU."""

    def __init__(self) -> None:
        super().__init__()
        self.fc1 = nn.Linear(784, 1024)
        self.fc2 = nn.Linear(1024, 1024)
        self.fc3 = nn.Linear(1024, 10)

    def forward(self, pixels: Tensor) -> Tensor:
        """Logits, shape (batch, 10), of images, shape (batch, 784)."""
        hidden = functional.relu(self.fc1(pixels))
        hidden = functional.relu(self.fc2(hidden))
        logits: Tensor = self.fc3(hidden)
        return logits
