"""The end of a classifier."""

from __future__ import annotations

from torch import Tensor, nn
from torch.nn import functional

from balenas_core.nn._layers import global_average


class ClassifierHead(nn.Module):
    """Layers on the last features, their average over the image, dropout, a linear layer.

    Args:
        channels: Channels after ``layers``.
        num_classes: Number of classes.
        layers: Layers before the average, such as a 1x1 convolution; None for none.
        dropout: Dropout of the average in training, in [0, 1).
    """

    def __init__(
        self,
        channels: int,
        num_classes: int,
        *,
        layers: nn.Module | None = None,
        dropout: float = 0.0,
    ) -> None:
        super().__init__()
        self.dropout = dropout
        self.layers = nn.Identity() if layers is None else layers
        self.classifier = nn.Linear(channels, num_classes)

    def forward(self, x: Tensor) -> Tensor:
        """Map `batch x channels x height x width`-dim features to `batch x classes`-dim logits."""
        averaged = global_average(self.layers(x))
        logits: Tensor = self.classifier(functional.dropout(averaged, self.dropout, self.training))
        return logits
