"""One training step after the other."""

from __future__ import annotations

import math
import warnings
from collections.abc import Iterable
from contextlib import nullcontext
from dataclasses import dataclass
from typing import Any

import torch
from timm.loss import LabelSmoothingCrossEntropy, SoftTargetCrossEntropy
from timm.optim import create_optimizer_v2
from timm.scheduler import create_scheduler_v2
from timm.scheduler.scheduler import Scheduler
from timm.utils import ModelEmaV3
from torch import Tensor, nn
from torch.nn import functional
from torch.nn.parallel import DistributedDataParallel
from torch.optim import Optimizer

from balenas_core.engine.bilevel import Running
from balenas_core.engine.processes import Processes
from balenas_core.errors import DivergenceError, UsageError, is_out_of_memory
from balenas_core.interfaces.proxy import Batch
from balenas_core.nn import RegularizedNetwork
from balenas_core.random import derive_seed
from balenas_timm.recipes import TrainingRecipe
from balenas_timm.training._augmentation import mixed, mixing
from balenas_timm.training._network import TwoHeads

_DTYPES = {
    "float32": torch.float32,
    "bfloat16": torch.bfloat16,
    "float16": torch.float16,
}


@dataclass(frozen=True, slots=True)
class Step:
    """What one step saw, over all processes.

    Args:
        loss: Mean loss.
        correct: Images whose largest logit is their (largest) label.
        images: Number of images.
        is_stop_requested: Whether a process was asked to stop.
    """

    loss: float
    correct: int
    images: int
    is_stop_requested: bool


class TrainingLoop:
    """Trains a network by a recipe.

    Every random number of a step comes from a seed of its own, so that nothing but weights and
    the optimizer has to be remembered between steps.

    Args:
        network: With fresh weights; moved to the processes' device.
        recipe: How it is trained.
        num_classes: Number of classes.
        steps_per_epoch: Number of batches in an epoch.
        precision: ``float32``, ``bfloat16`` or ``float16``.
        seed: Seed.
        processes: This process among those that share each batch.

    Raises:
        UsageError: timm refuses the optimizer's or the schedule's options, or the precision
            needs another device.
    """

    def __init__(
        self,
        network: nn.Module,
        recipe: TrainingRecipe,
        *,
        num_classes: int,
        steps_per_epoch: int,
        precision: str,
        seed: int,
        processes: Processes,
    ) -> None:
        self._recipe = recipe
        self._processes = processes
        self._device = processes.device
        self._seed = seed
        self._steps_per_epoch = steps_per_epoch
        self._memory = torch.channels_last if recipe.channels_last else torch.preserve_format
        network = network.to(self._device).to(memory_format=self._memory)
        if processes.shares_statistics(recipe.sync_batch_norm):
            network = nn.SyncBatchNorm.convert_sync_batchnorm(network)
        self._network = network
        self._ema = (
            ModelEmaV3(network, recipe.ema, use_warmup=recipe.ema_warmup) if recipe.ema else None
        )
        self._optimizer = _optimizer(network, recipe)
        self._scheduler = _scheduler(self._optimizer, recipe, steps_per_epoch)
        self._dtype = _DTYPES[precision]
        if self._dtype is torch.float16 and self._device.type == "cpu":
            raise UsageError("precision float16 needs a GPU; use --precision bfloat16 on the CPU.")
        self._overflows = 0
        self._scaler = torch.amp.GradScaler(self._device.type, enabled=self._dtype is torch.float16)
        self._mix = mixing(recipe, num_classes)
        self._criterion = criterion(recipe)
        self._model = self._wrapped()

    @property
    def tested(self) -> nn.Module:
        """The network that is tested and saved: the average of its weights, if there is one."""
        return self._network if self._ema is None else self._ema.module

    @property
    def lr(self) -> float:
        """Current learning rate."""
        return float(self._optimizer.param_groups[0]["lr"])

    @property
    def drop_path(self) -> float:
        """Current chance of an operation to be left out."""
        network = self._network
        return float(network.drop_path_prob) if isinstance(network, RegularizedNetwork) else 0.0

    def begin_epoch(self, epoch: int) -> None:
        """Move every schedule."""
        recipe = self._recipe
        self._scheduler.step(epoch)
        if isinstance(self._network, RegularizedNetwork) and recipe.drop_path:
            self._set_drop_path(self._network, recipe.drop_path * epoch / recipe.epochs)
        if self._mix is not None and recipe.mixup_off_epoch:
            self._mix.mixup_enabled = epoch < recipe.mixup_off_epoch

    def step(self, batch: Batch, epoch: int, step: int, *, stop: bool = False) -> Step:
        """Update the weights by one batch.

        Args:
            batch: This process's share of it.
            epoch: Number of the epoch, from 0.
            step: Number of the step in the epoch, from 0.
            stop: Whether this process was asked to stop; the others learn of it.

        Raises:
            DivergenceError: The loss or a gradient is not finite; no weight was changed.
        """
        total = epoch * self._steps_per_epoch + step
        # Dropout, drop path and mixing draw from the global generator.
        torch.manual_seed(derive_seed(self._seed, "step", total, self._processes.rank))
        self._scheduler.step_update(total)
        self._model.train()
        self._optimizer.zero_grad(set_to_none=True)
        images, targets = self._moved(batch)
        if self._mix is not None:
            images, targets = mixed(self._mix, images, targets)
        loss, correct = self._backward(images, targets)
        sums = torch.stack(
            (loss * len(images), correct, loss.new_tensor(len(images)), loss.new_tensor(stop))
        )
        summed_loss, correct_, images_, stop_ = self._processes.sums(sums).tolist()
        mean_loss = summed_loss / images_
        if not math.isfinite(mean_loss):
            raise DivergenceError(f"the training loss is {mean_loss}")
        self._update(total)
        return Step(mean_loss, int(correct_), int(images_), stop_ > 0)

    @torch.no_grad()
    def test(self, batches: Iterable[Batch]) -> Running:
        """Return loss and accuracy of the tested network over all processes' images."""
        network = self.tested
        network.eval()
        # Running statistics that are not shared are of each process's own images; the first
        # process's are saved.
        self._processes.unify(network.buffers())
        sums = torch.zeros(3, dtype=_sum_dtype(self._device), device=self._device)
        for batch in batches:
            images, labels = self._moved(batch)
            with self._autocast():
                logits = network(images)
            logits = logits.float()
            loss = functional.cross_entropy(logits, labels, reduction="sum")
            correct = (logits.argmax(-1) == labels).sum()
            sums += torch.stack((loss, correct, loss.new_tensor(len(labels)))).to(sums)
        loss_, correct_, images_ = self._processes.sums(sums).tolist()
        return Running(loss_, int(correct_), int(images_))

    def state_dict(self) -> dict[str, Any]:
        """Return everything that steps change, as tensors and plain data."""
        return {
            "network": self._network.state_dict(),
            "ema": None if self._ema is None else self._ema.module.state_dict(),
            "optimizer": self._optimizer.state_dict(),
            "scaler": self._scaler.state_dict(),
            "overflows": self._overflows,
        }

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Restore what ``state_dict`` returned."""
        self._network.load_state_dict(state["network"])
        if self._ema is not None:
            self._ema.module.load_state_dict(state["ema"])
        self._optimizer.load_state_dict(state["optimizer"])
        self._scaler.load_state_dict(state["scaler"])
        self._overflows = state["overflows"]

    def _wrapped(self) -> nn.Module:
        model: nn.Module = TwoHeads(self._network)
        if self._processes.count > 1:
            # The gradient of a 1x1 kernel may come in channels_last, which for it is the same.
            warnings.filterwarnings("ignore", "Grad strides do not match bucket view strides")
            devices = [self._device] if self._device.type == "cuda" else None
            model = DistributedDataParallel(model, device_ids=devices)
        if self._recipe.compile:
            model.compile()
        return model

    def _set_drop_path(self, network: RegularizedNetwork, chance: float) -> None:
        if not self._recipe.compile:
            network.drop_path_prob = chance
        elif isinstance(network.drop_path_prob, Tensor):
            network.drop_path_prob.fill_(chance)
        else:  # for a number, the network would be compiled again in each epoch
            network.drop_path_prob = torch.tensor(chance, device=self._device)

    def _autocast(self) -> torch.autocast:
        return torch.autocast(
            self._device.type, dtype=self._dtype, enabled=self._dtype is not torch.float32
        )

    def _moved(self, batch: Batch) -> tuple[Tensor, Tensor]:
        images = batch.images.to(
            self._device, torch.float32, non_blocking=True, memory_format=self._memory
        )
        return images, batch.labels.to(self._device, non_blocking=True)

    def _backward(self, images: Tensor, targets: Tensor) -> tuple[Tensor, Tensor]:
        """Accumulate gradients over the parts of a batch; return mean loss and correct images."""
        loss_sum = images.new_zeros(())
        correct = images.new_zeros(())
        parts = list(
            zip(
                images.chunk(self._recipe.accumulate),
                targets.chunk(self._recipe.accumulate),
                strict=True,
            )
        )
        for number, (part, part_targets) in enumerate(parts, start=1):
            is_last = number == len(parts)
            with nullcontext() if is_last else self._without_exchange():
                with self._autocast():
                    logits, auxiliary = self._model(part)
                loss = self._loss(logits, auxiliary, part_targets) * (len(part) / len(images))
                self._scaler.scale(loss).backward()
            loss_sum += loss.detach()
            labels = part_targets if part_targets.dim() == 1 else part_targets.argmax(-1)
            correct += (logits.detach().argmax(-1) == labels).sum()
        return loss_sum, correct

    def _loss(self, logits: Tensor, auxiliary: Tensor | None, targets: Tensor) -> Tensor:
        loss: Tensor = self._criterion(logits.float(), targets)
        if auxiliary is not None:
            loss = loss + self._recipe.auxiliary_weight * self._criterion(
                auxiliary.float(), targets
            )
        return loss

    def _without_exchange(self) -> Any:
        """Return the context in which processes keep their gradients to themselves."""
        model = self._model
        return model.no_sync() if isinstance(model, DistributedDataParallel) else nullcontext()

    def _update(self, total: int) -> None:
        clip = math.inf if self._recipe.clip is None else self._recipe.clip
        self._scaler.unscale_(self._optimizer)
        norm = nn.utils.clip_grad_norm_(self._network.parameters(), clip).item()
        if math.isfinite(norm):
            self._overflows = 0
        elif not self._scaler.is_enabled():
            raise DivergenceError(f"the gradient norm of the network's weights is {norm}")
        else:
            self._overflowed(total)
        self._scaler.step(self._optimizer)
        self._scaler.update()
        if self._ema is not None:
            self._ema.update(self._network, step=total + 1)

    def _overflowed(self, total: int) -> None:
        """Let the scaler leave the step out and lower its scale, if that can help.

        Raises:
            DivergenceError: It cannot, or it never helped up to the last step.
        """
        self._overflows += 1
        is_last = total + 1 == self._recipe.epochs * self._steps_per_epoch
        if self._scaler.get_scale() <= 1 or (is_last and self._overflows > total):
            raise DivergenceError(
                f"the gradient overflows float16, in the last {self._overflows} steps and at "
                f"every scale of the loss down to {self._scaler.get_scale():g}; --precision "
                f"bfloat16 or float32 has more range"
            )


def criterion(recipe: TrainingRecipe) -> nn.Module:
    """Return the loss of logits and labels, or of logits and mixed targets."""
    if recipe.mixes:  # which also smooths
        return SoftTargetCrossEntropy()  # type: ignore[no-untyped-call]
    if recipe.label_smoothing:
        return LabelSmoothingCrossEntropy(recipe.label_smoothing)  # type: ignore[no-untyped-call]
    return nn.CrossEntropyLoss()


def _optimizer(network: nn.Module, recipe: TrainingRecipe) -> Optimizer:
    try:
        optimizer = create_optimizer_v2(
            network,
            recipe.optimizer,
            lr=recipe.lr,
            weight_decay=recipe.weight_decay,
            momentum=recipe.momentum,
            filter_bias_and_bn=recipe.weight_decay_on == "weights",
            **recipe.optimizer_options,
        )
    except (TypeError, ValueError, AssertionError, ImportError, RuntimeError) as error:
        if is_out_of_memory(error):
            raise
        raise UsageError(
            f"timm cannot make optimizer {recipe.optimizer!r} with optimizer_options "
            f"{recipe.optimizer_options}: {error}. Change training.optimizer or "
            f"training.optimizer_options."
        ) from error
    if getattr(optimizer, "is_second_order", False):
        raise UsageError(
            f"optimizer {recipe.optimizer!r} needs second derivatives, which a training does not "
            f"compute; choose another for training.optimizer."
        )
    return optimizer


def _sum_dtype(device: torch.device) -> torch.dtype:
    return torch.float32 if device.type == "mps" else torch.float64  # which mps has not


def _scheduler(optimizer: Optimizer, recipe: TrainingRecipe, steps_per_epoch: int) -> Scheduler:
    try:
        scheduler, _ = create_scheduler_v2(
            optimizer,
            recipe.schedule,
            num_epochs=recipe.epochs,
            min_lr=recipe.lr_min,
            warmup_epochs=recipe.warmup_epochs,
            warmup_lr=recipe.warmup_lr,
            step_on_epochs=recipe.schedule_per == "epoch",
            updates_per_epoch=steps_per_epoch,
            **recipe.schedule_options,
        )
    except (TypeError, ValueError, AssertionError) as error:
        raise UsageError(
            f"timm cannot make schedule {recipe.schedule!r} with schedule_options "
            f"{recipe.schedule_options}: {error}. Change training.schedule_options."
        ) from error
    assert isinstance(scheduler, Scheduler)
    return scheduler
