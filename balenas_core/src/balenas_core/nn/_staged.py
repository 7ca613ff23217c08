"""What a network can offer beside its logits: features by stage, and helps in training."""

from __future__ import annotations

import itertools
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator

import torch
from torch import Tensor, nn
from torch.nn import functional
from torch.utils.checkpoint import checkpoint

from balenas_core.nn._layers import global_average
from balenas_core.nn._memory import preferred_memory


class StagedNetwork(nn.Module, ABC):
    """A classifier made of blocks in stages, whose features can be taken out.

    A stage ends where the next block shrinks the image. The features of the last block go
    through ``last_features``, are averaged over the image and classified by a linear layer.

    Networks of a search space may be one; ``balenas_timm`` then offers their features, another
    pooling, or another classifier.
    """

    dropout: float = 0.0
    """Dropout of the averaged features in training."""

    is_checkpointed: bool = False
    """Whether blocks are computed again in the backward pass, to save memory.

    Batch normalisation then counts each batch twice in its running averages.
    """

    @property
    @abstractmethod
    def stages(self) -> tuple[tuple[str, ...], ...]:
        """Dotted names of the blocks of each stage, in order; the first stage is the stem."""

    @property
    @abstractmethod
    def classifier_name(self) -> str:
        """Dotted name of the linear layer that maps averaged features to logits."""

    @abstractmethod
    def forward_blocks(self, x: Tensor) -> Iterator[Tensor]:
        """Yield the features after each block, in the order of ``stages``.

        What is not asked for is not computed.

        Args:
            x: `batch x channels x height x width`-dim images.
        """

    @abstractmethod
    def last_features(self, x: Tensor) -> Tensor:
        """Map the features of the last block to those that are averaged."""

    @property
    def block_names(self) -> tuple[str, ...]:
        """Dotted names of all blocks, in order."""
        return tuple(itertools.chain(*self.stages))

    def forward(self, x: Tensor) -> Tensor:
        """Map `batch x channels x height x width`-dim images to `batch x classes`-dim logits."""
        features = x
        for features in self.forward_blocks(x):  # noqa: B007 (only the last is needed)
            pass
        return self.classify(features)

    def classify(self, features: Tensor) -> Tensor:
        """Map the features of the last block to logits."""
        averaged = global_average(self.last_features(features))
        dropped = functional.dropout(averaged, self.dropout, self.training)
        logits: Tensor = self.get_submodule(self.classifier_name)(dropped)
        return logits

    def run_block(self, block: Callable[..., Tensor], *inputs: object) -> Tensor:
        """Call a block, so that it is computed again in the backward pass if need be."""
        if self.is_checkpointed and torch.is_grad_enabled():
            features: Tensor = checkpoint(block, *inputs, use_reentrant=False)
            return features
        return block(*inputs)

    def run_in_order(self, x: Tensor) -> Iterator[Tensor]:
        """Yield the features after each block, where each takes those of the one before."""
        x = preferred_memory(x)
        for name in self.block_names:
            x = self.run_block(self.get_submodule(name), x)
            yield x


class RegularizedNetwork(nn.Module, ABC):
    """A network with the two helps of DARTS in training: drop path and an auxiliary head.

    References:
        Liu et al. 2019, "DARTS", ICLR, appendix A.2.1; Larsson et al. 2017, "FractalNet", ICLR.
    """

    drop_path_prob: float | Tensor
    """Chance, for each sample, that an operation is left out in training; may be set at any time.

    It is 0 in a new network. A training of a compiled one sets a 0-dim tensor, which is not 0 at
    the same time: ask for ``drops_paths`` instead of comparing.
    """

    auxiliary: nn.Module | None
    """The auxiliary head, if there is one; ``forward`` leaves it out."""

    @property
    def drops_paths(self) -> bool:
        """Whether operations are left out now."""
        probability = self.drop_path_prob
        return self.training and (isinstance(probability, Tensor) or probability > 0)

    @abstractmethod
    def forward_with_auxiliary(self, x: Tensor) -> tuple[Tensor, Tensor | None]:
        """Return the logits and those of the auxiliary head, None if there is none.

        Args:
            x: `batch x channels x height x width`-dim images.
        """
