"""Found networks with the methods that timm's users expect."""

from __future__ import annotations

import itertools
import re
from collections.abc import Iterator
from typing import Any, NoReturn

from timm.layers import SelectAdaptivePool2d, create_classifier
from timm.models._features import feature_take_indices
from torch import Tensor, nn
from torch.nn import functional

from balenas_core.errors import UsageError
from balenas_core.nn import StagedNetwork
from balenas_timm.models._shapes import feature_shapes

NETWORK = "network"
"""Name of the search space's network in the models below."""


class FoundClassifier(nn.Module):
    """A network of which only its logits are known.

    Args:
        network: The search space's network.
        in_chans: Channels of an image.
        num_classes: Number of classes.
    """

    def __init__(self, network: nn.Module, *, in_chans: int, num_classes: int) -> None:
        super().__init__()
        self.network = network
        self.in_chans = in_chans
        self.num_classes = num_classes
        self.register_load_state_dict_pre_hook(_accept_keys_of_network)  # type: ignore[no-untyped-call]

    def forward(self, x: Tensor) -> Tensor:
        """Map `batch x channels x height x width`-dim images to `batch x classes`-dim logits."""
        logits: Tensor = self.network(x)
        return logits

    def refuse(self, *_args: object, **_keywords: object) -> NoReturn:
        """Say why there are no features.

        Raises:
            UsageError: Always.
        """
        raise UsageError(
            f"{type(self.network).__name__} is a classifier only: its features cannot be taken out "
            "nor its classifier changed. Derive it from balenas_core.nn.StagedNetwork."
        )

    forward_features = forward_head = forward_intermediates = refuse
    prune_intermediate_layers = reset_classifier = get_classifier = refuse
    feature_info = property(refuse)


class FoundNetwork(nn.Module):
    """A network in stages as a timm model: classifier, or source of features.

    The search space's own network is ``network``. State dicts with its keys are accepted as well
    as those with the keys of this module.

    Args:
        network: The search space's network; changed if the classifier or pooling differ.
        in_chans: Channels of an image.
        num_classes: Number of classes; 0 for none, so that the pooled features come out.
        image_size: Height and width of an image; larger and smaller ones can be used too.
        global_pool: timm's name of the pooling: avg, max, avgmax, catavgmax; empty for none.
        drop_rate: Dropout before the classifier; None for the network's own.
    """

    def __init__(
        self,
        network: StagedNetwork,
        *,
        in_chans: int,
        num_classes: int,
        image_size: tuple[int, int],
        global_pool: str = "avg",
        drop_rate: float | None = None,
    ) -> None:
        super().__init__()
        self.network = network
        self.in_chans = in_chans
        self.num_classes = num_classes
        self.drop_rate = network.dropout if drop_rate is None else drop_rate
        shapes = feature_shapes(network, in_chans, image_size)
        self.num_features = shapes.channels
        self.pool_size = shapes.size
        self.feature_info: list[dict[str, Any]] = [
            {"num_chs": channels, "reduction": reduction, "module": f"{NETWORK}.{names[-1]}"}
            for names, (channels, reduction) in zip(network.stages, shapes.stages, strict=True)
        ]
        self._blocks = len(network.block_names)
        self._has_last_features = True
        self.global_pool = SelectAdaptivePool2d(pool_type=global_pool, flatten=bool(global_pool))
        self.head_hidden_size = self.num_features * self.global_pool.feat_mult()  # type: ignore[no-untyped-call]
        own = self.get_classifier()
        wanted = (num_classes, self.head_hidden_size)
        if not (isinstance(own, nn.Linear) and own.weight.shape == wanted):
            self.reset_classifier(num_classes)
        self.register_load_state_dict_pre_hook(_accept_keys_of_network)  # type: ignore[no-untyped-call]

    @property
    def classifier_name(self) -> str:
        """Dotted name of the classifier."""
        return f"{NETWORK}.{self.network.classifier_name}"

    def forward(self, x: Tensor) -> Tensor:
        """Map `batch x channels x height x width`-dim images to `batch x classes`-dim logits."""
        return self.forward_head(self.forward_features(x))

    def forward_features(self, x: Tensor) -> Tensor:
        """Return the features that are pooled: `batch x num_features x height x width`."""
        features = x
        for features in self._forward_blocks(x):  # noqa: B007 (only the last is needed)
            pass
        return self._last_features(features)

    def forward_head(self, x: Tensor, pre_logits: bool = False) -> Tensor:
        """Pool the features and classify them.

        Args:
            x: What ``forward_features`` returns.
            pre_logits: Whether to return the `batch x head_hidden_size`-dim pooled features.
        """
        x = self.global_pool(x)
        x = functional.dropout(x, self.drop_rate, self.training)
        return x if pre_logits else self.get_classifier()(x)

    def forward_intermediates(
        self,
        x: Tensor,
        indices: int | list[int] | None = None,
        norm: bool = False,
        stop_early: bool = False,
        output_fmt: str = "NCHW",
        intermediates_only: bool = False,
    ) -> list[Tensor] | tuple[Tensor, list[Tensor]]:
        """Return the features after stages, and the last ones.

        Args:
            x: Images.
            indices: Stages, from 0, negative ones from the end; a number for the last so many;
                None for all.
            norm: Without effect: no normalisation is common to all stages.
            stop_early: Whether to stop after the last of them.
            output_fmt: ``NCHW``.
            intermediates_only: Whether to leave out the last features.

        Raises:
            UsageError: Another format is asked for.
        """
        if output_fmt != "NCHW":
            raise UsageError(f"output_fmt must be 'NCHW'; got {output_fmt!r}.")
        wanted, last = feature_take_indices(len(self.feature_info), indices)
        ends = self._stage_ends()
        count = ends[last] + 1 if stop_early else self._blocks
        features, taken = x, {}
        for index, features in enumerate(itertools.islice(self._forward_blocks(x), count)):
            if index in ends and ends.index(index) in wanted:
                taken[ends.index(index)] = features
        intermediates = [taken[stage] for stage in sorted(set(wanted))]
        if intermediates_only:
            return intermediates
        is_whole = count == self._blocks
        return (self._last_features(features) if is_whole else features), intermediates

    def prune_intermediate_layers(
        self, indices: int | list[int] = 1, prune_norm: bool = False, prune_head: bool = True
    ) -> list[int]:
        """Remove what is not needed for the features of some stages.

        Args:
            indices: Stages, as in ``forward_intermediates``.
            prune_norm: Whether to remove the layers between the last block and the pooling.
            prune_head: Whether to remove pooling and classifier.

        Returns:
            The stages, counted from 0.
        """
        wanted, last = feature_take_indices(len(self.feature_info), indices)
        blocks = self._stage_ends()[last] + 1
        is_cut = prune_norm or prune_head or blocks < self._blocks
        self._blocks = blocks
        if is_cut:
            self._has_last_features = False
            self._keep_only(self.network.block_names[:blocks])
            self.num_features = self.feature_info[last]["num_chs"]
            self.reset_classifier(0, "")
        return wanted

    def get_classifier(self) -> nn.Module:
        """Return the linear layer, or the identity where there is none."""
        return self.network.get_submodule(self.network.classifier_name)

    def reset_classifier(self, num_classes: int, global_pool: str | None = None) -> None:
        """Put a fresh classifier on the network.

        Args:
            num_classes: Number of classes; 0 for none.
            global_pool: timm's name of the pooling; None to keep the present one.
        """
        pool = self.global_pool.pool_type if global_pool is None else global_pool
        like = next(self.network.parameters())
        self.global_pool, classifier = create_classifier(
            self.num_features, num_classes, pool, device=like.device, dtype=like.dtype
        )
        self.num_classes = num_classes
        self.head_hidden_size = self.num_features * self.global_pool.feat_mult()  # type: ignore[no-untyped-call]
        self.network.set_submodule(self.network.classifier_name, classifier)
        self.train(self.training)

    def set_grad_checkpointing(self, enable: bool = True) -> None:
        """Compute blocks again in the backward pass, to save memory."""
        self.network.is_checkpointed = enable

    def group_matcher(self, coarse: bool = False) -> dict[str, str]:
        """Return patterns of the names of parameters, from the stem to the last block.

        Args:
            coarse: Whether to group by stage instead of by block.
        """
        stages = self.network.stages
        groups = stages if coarse else tuple((name,) for name in self.network.block_names)
        return {" ".join(names): _pattern(names) for names in groups}

    def no_weight_decay(self) -> set[str]:
        """Return the names of parameters that never decay: none."""
        return set()

    def _forward_blocks(self, x: Tensor) -> Iterator[Tensor]:
        return itertools.islice(self.network.forward_blocks(x), self._blocks)

    def _last_features(self, x: Tensor) -> Tensor:
        return self.network.last_features(x) if self._has_last_features else x

    def _stage_ends(self) -> list[int]:
        return [end - 1 for end in itertools.accumulate(map(len, self.network.stages))]

    def _keep_only(self, blocks: tuple[str, ...]) -> None:
        """Replace every layer with parameters outside of these blocks by the identity."""
        kept = re.compile(_pattern(blocks))
        names = [name for name, module in self.named_modules() if module._parameters]
        for name in reversed(names):  # what is inside of a layer comes before it
            if not kept.match(f"{name}."):
                self.set_submodule(name, nn.Identity())


def _pattern(names: tuple[str, ...]) -> str:
    return rf"{NETWORK}\.(?:{'|'.join(map(re.escape, names))})\."


def with_prefix(state: dict[str, Tensor], prefix: str = "") -> dict[str, Tensor]:
    """Return a state dict with the keys of a model, where it has those of its network."""
    inner = f"{prefix}{NETWORK}."
    if any(key.startswith(inner) for key in state):
        return state
    return {
        inner + key.removeprefix(prefix) if key.startswith(prefix) else key: tensor
        for key, tensor in state.items()
    }


def _accept_keys_of_network(
    _module: nn.Module, state: dict[str, Tensor], prefix: str, *_: object
) -> None:
    renamed = with_prefix(state, prefix)
    if renamed is not state:
        state.clear()
        state.update(renamed)
