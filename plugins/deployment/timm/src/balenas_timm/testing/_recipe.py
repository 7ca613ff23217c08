"""Checks of recipes."""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import suppress
from typing import Any, ClassVar

import numpy as np
import torch
from torch import Tensor, nn

from balenas_core import Plugin, Registry
from balenas_core.config import load_settings
from balenas_core.data import Normalization
from balenas_core.errors import BalenasError, SearchInterrupted
from balenas_core.interfaces.dataset import ImageDataset
from balenas_core.interfaces.events import StepEnded
from balenas_core.interfaces.space import Task
from balenas_core.nn import RegularizedNetwork
from balenas_core.testing import SettingsConformance, ToyArchitecture, ToySpace
from balenas_timm.recipes import TrainingJob, TrainingRecipe
from balenas_timm.training import Event, Training

_FAST = {"workers": 0, "compile": False}
"""Says how a machine trains, not what is learned."""


class RecipeConformance(SettingsConformance):
    """A recipe is a part of a training that can be used as it is."""

    kind = "recipe"
    keys_are_shown_by = "balenas train RUN --dry-run"

    of_one_run = (*SettingsConformance.of_one_run, "architecture", "preset")
    completion: ClassVar[Mapping[str, Any]] = {"space": "nb201"}

    def configuration(self) -> TrainingJob:
        """Return a training by the recipe."""
        known = {"architecture": "any", **self.open_parts()}
        return load_settings(
            TrainingJob, bases=(("", known), ("the recipe", self.make())), registry=self.registry()
        )

    def test_a_step_is_trained_by_it(self) -> None:
        recipe = self.configuration().training.model_copy(update=_FAST)
        registry = _toys(recipe)
        job = TrainingJob.model_validate(
            {"architecture": "conv-conv", "space": "toy", "data": "toy", "device": "cpu"}
            | {"training": recipe, "threads": torch.get_num_threads()},
            context={"registry": registry},
        )
        losses = []

        def stop(event: Event) -> None:
            if isinstance(event, StepEnded):
                losses.append(event.train_loss)
                training.request_stop()

        training = Training(job, registry=registry, listeners=[stop])
        try:
            with suppress(SearchInterrupted):
                training.run()
        except BalenasError as error:
            raise AssertionError(f"no step can be trained by this recipe: {error}") from error
        assert losses, "no step was made by this recipe"


class _Images:
    """Noise that is made when it is read: a recipe may ask for batches of any size."""

    def __init__(self, count: int, side: int) -> None:
        self._side = side
        self.labels = np.arange(count, dtype=np.int64) % 2

    def __len__(self) -> int:
        return len(self.labels)

    def __getitem__(self, index: int) -> Tensor:
        source = torch.Generator().manual_seed(index)
        size = (3, self._side, self._side)
        return torch.randint(256, size, generator=source, dtype=torch.uint8)


class _Network(RegularizedNetwork):
    """A toy network with what recipes can ask of one."""

    def __init__(self, network: nn.Module, task: Task, *, has_head: bool) -> None:
        super().__init__()
        self.drop_path_prob = 0.0
        self.network = network
        channels, classes = task.input_shape[0], task.num_classes
        self.auxiliary = nn.Linear(channels, classes) if has_head else None

    def forward(self, x: Tensor) -> Tensor:
        logits: Tensor = self.network(x)
        return logits

    def forward_with_auxiliary(self, x: Tensor) -> tuple[Tensor, Tensor | None]:
        head = self.auxiliary
        return self(x), None if head is None else head(x.mean((2, 3)))


def _toys(recipe: TrainingRecipe) -> Registry:
    """Return a space and a data set that a recipe of any sizes goes with."""
    side = max(32, 2 * recipe.cutout)

    class Space(ToySpace):
        def network(self, architecture: ToyArchitecture, task: Task) -> nn.Module:  # type: ignore[override]
            network = super().network(architecture, task)
            return _Network(network, task, has_head=recipe.auxiliary_weight > 0)

    def data() -> ImageDataset:
        normalize = Normalization((0.5,) * 3, (0.25,) * 3)
        train, test = _Images(recipe.batch_size, side), _Images(2, side)
        return ImageDataset(
            "toy", train, test, normalize, normalize, (3, side, side), ("even", "odd")
        )

    registry = Registry(use_entry_points=False)
    for kind, made in (("space", Space), ("dataset", data)):
        registry.add("toy", Plugin(kind=kind, summary="toy", api_version=1, implementation=made))
    return registry
