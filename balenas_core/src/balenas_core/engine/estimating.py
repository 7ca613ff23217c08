"""What a search will take, from a few of its steps: memory, operations, seconds, traffic."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack
from dataclasses import asdict, dataclass, replace
from typing import Any, Final

import torch
from torch import nn

from balenas_core.config import InformedPriorConfig, SearchConfig
from balenas_core.engine._checking import check
from balenas_core.engine._choosing import Choosing
from balenas_core.engine._learning import Learning
from balenas_core.engine._measuring import RECALIBRATION_BATCHES
from balenas_core.engine.bilevel import Precision
from balenas_core.engine.components import DTYPES, build_components
from balenas_core.engine.device import cpu_threads, find_device, use_default_threads
from balenas_core.engine.processes import Processes
from balenas_core.interfaces.architecture import Architecture
from balenas_core.interfaces.proxy import Batch
from balenas_core.interfaces.selection import Division, SelectionContext
from balenas_core.plugins.registry import Registry, default_registry
from balenas_core.random import derive_seed, seeded

_WARM_UP: Final = 2
_FEWEST: Final = 3
_MOST: Final = 12
_ENOUGH: Final = 1.0
"""Candidates of each stage are really measured until they have taken so many seconds."""
_BATCHES: Final = 4
"""Batches of a candidate's training, or evaluation, that are really computed."""
_NUMBER: Final = 4
_STATES: Final = 3
"""A weight, its gradient and its momentum."""

Clock = Callable[[], float]


@dataclass(frozen=True, slots=True)
class StageCost:
    """What one kind of measurement of a selection takes.

    Args:
        name: The selector's name, ``size`` or ``latency`` for costs, ``inherited`` for the choice
            with the supernet's weights, or ``check``.
        candidates: How many are measured.
        seconds_each: Mean of the few that were tried.
    """

    name: str
    candidates: int
    seconds_each: float

    @property
    def seconds(self) -> float:
        """Seconds of all of them on one device."""
        return self.candidates * self.seconds_each


@dataclass(frozen=True, slots=True)
class Estimate:
    """What a search takes.

    Args:
        devices: How many share it.
        images: Images of a step on each device.
        parameters: Weights of the supernet.
        state_bytes: Weights, gradients and momentum on a device.
        activation_bytes: What a step keeps for its backward pass on a device.
        peak_bytes: Memory of the process, or of the GPU, at its fullest in the steps tried;
            None where the system does not say.
        flops: Operations of a step on a device, two for a multiply-add.
        steps: Steps of the whole search.
        step_seconds: Of one step, without the exchange.
        evaluation_seconds: Of the evaluation after an epoch.
        traffic_bytes: What a device sends in a step.
        exchange_seconds: What that takes at ``bandwidth``.
        epochs: Epochs of the search; 0 where no supernet is trained.
        prior: What an informed prior scores before the search, at most: what several rounds draw
            is scored once. Every device does it. None without one.
        stages: What the selection and the check measure.
    """

    devices: int
    images: int
    parameters: int
    state_bytes: int
    activation_bytes: int
    peak_bytes: int | None
    flops: int
    steps: int
    step_seconds: float
    evaluation_seconds: float
    traffic_bytes: int
    exchange_seconds: float
    epochs: int
    prior: StageCost | None
    stages: tuple[StageCost, ...]

    @property
    def search_seconds(self) -> float:
        """Seconds of all steps and evaluations."""
        steps = self.steps * (self.step_seconds + self.exchange_seconds)
        return steps + self.epochs * self.evaluation_seconds

    @property
    def selection_seconds(self) -> float:
        """Seconds of selection and check, whose candidates the devices share."""
        waves = (-(-stage.candidates // self.devices) * stage.seconds_each for stage in self.stages)
        return sum(waves)

    @property
    def seconds(self) -> float:
        """Seconds of everything."""
        prior = self.prior.seconds if self.prior is not None else 0.0
        return prior + self.search_seconds + self.selection_seconds

    def to_dict(self) -> dict[str, Any]:
        """Return everything as plain data."""
        return {
            **asdict(self),
            "search_seconds": self.search_seconds,
            "selection_seconds": self.selection_seconds,
            "seconds": self.seconds,
        }


def estimate(
    config: SearchConfig,
    *,
    registry: Registry | None = None,
    devices: int = 1,
    bandwidth: float = 10e9,
    steps: int = 8,
    clock: Clock = time.perf_counter,
) -> Estimate:
    """Return what a search takes, by making a few of its steps here. Nothing is written.

    Of several devices, one is played: it gets its share of each batch. What it would send is
    counted, and the time for that is a division.

    Args:
        config: The search.
        registry: Where plugins are looked up; the process's own by default.
        devices: Processes that share the search.
        bandwidth: Bytes a second that a device sends to the others.
        steps: How many are timed, after two that are not.
        clock: What seconds are.

    Raises:
        UsageError: The configuration asks for something that cannot be done, or a batch cannot
            be divided among the devices.
    """
    registry = registry or default_registry()
    share = Processes(0, devices, torch.device("cpu")).share_of(config.training.batch_size)
    training = config.training.model_copy(update={"batch_size": share})
    config = config.model_copy(update={"trackers": (), "training": training, "output": None})
    precision = Precision(find_device(config.device), DTYPES[config.precision])
    with ExitStack() as stack:
        stack.enter_context(cpu_threads(config.threads))
        stack.enter_context(seeded(derive_seed(config.seed, "global")))
        components = build_components(config, registry)
        if config.threads is None:
            use_default_threads(components.task.input_shape)
        learning = Learning(
            config,
            components,
            precision,
            processes=Processes(0, 1, precision.device),
            emit=lambda event: None,
            is_stop_requested=lambda: False,
        )
        stack.callback(learning.close)
        prior = _prior_cost(config.modifiers.informed_prior, learning, clock)
        trial = learning.trial()
        timed = [0.0]
        evaluation = 0.0
        if trial.epochs:
            timed = [_timed(trial.step, clock) for _ in range(_WARM_UP + steps)][_WARM_UP:]
            trial.evaluate()
            evaluation = _timed(trial.evaluate, clock) * trial.evaluations
        peak = _peak_bytes(precision.device)
        flops, kept = trial.cost() if trial.epochs else (0, 0)
        parameters = sum(p.numel() for p in trial.supernet.parameters())
        learned = learning.unlearned()
        stack.callback(components.executor.close)
        choosing = Choosing(
            learned,
            components.selector,
            components.executor,
            None,
            who=f"selector {config.selector.name!r}",
            check_epochs=config.check_epochs,
            emit=lambda event: None,
            processes=Processes(0, 1, precision.device),
        )
        sampled = _Sampled(
            choosing.context(), clock, steps=trial.steps_per_epoch, evaluations=trial.evaluations
        )
        selection = components.selector.select(sampled.context)
        chosen = selection.chosen.architecture
        if trial.epochs:
            sampled.inherit(chosen)
        if config.check_epochs:
            check(chosen, config.check_epochs, sampled.context, seed=config.seed)
    gradients = parameters * _NUMBER
    return Estimate(
        devices=devices,
        images=share,
        parameters=parameters,
        state_bytes=_STATES * gradients if trial.epochs else gradients,
        activation_bytes=kept,
        peak_bytes=peak,
        flops=flops,
        # The share of each batch is smaller by as much as the batches of a device are more.
        steps=trial.epochs * (trial.steps_per_epoch // devices),
        step_seconds=sum(timed) / len(timed),
        evaluation_seconds=evaluation / devices,
        traffic_bytes=traffic(gradients, devices) if trial.epochs else 0,
        exchange_seconds=traffic(gradients, devices) / bandwidth if trial.epochs else 0.0,
        epochs=trial.epochs,
        prior=prior,
        stages=sampled.costs(),
    )


def _prior_cost(
    config: InformedPriorConfig | None, learning: Learning, clock: Clock
) -> StageCost | None:
    """Return what all architectures of a prior take, by a few random ones."""
    if config is None:
        return None
    count = min(_MOST, config.architectures)

    def score(architectures: int) -> None:
        few = config.model_copy(update={"architectures": architectures, "rounds": 1})
        learning.prior(few, lambda done, total: None)

    score(_WARM_UP)
    return StageCost("prior", config.architectures, _timed(lambda: score(count), clock) / count)


def traffic(size: int, devices: int) -> int:
    """Return the bytes that each device sends to sum ``size`` bytes over all, in a ring.

    Example:
        >>> traffic(100, 1), traffic(100, 2), traffic(100, 1000)
        (0, 100, 199)
    """
    return 2 * size * (devices - 1) // devices


def _timed(work: Callable[[], object], clock: Clock) -> float:
    start = clock()
    work()
    if torch.cuda.is_initialized():
        torch.cuda.synchronize()
    return clock() - start


def _peak_bytes(device: torch.device) -> int | None:
    if device.type == "cuda":
        return int(torch.cuda.max_memory_allocated(device))
    try:
        import resource
    except ImportError:  # not on Windows
        return None
    unit = 1 if sys.platform == "darwin" else 1024
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit


class _Sampled:
    """A context in which the first candidates of each stage are measured, and timed.

    The others get the numbers of these, so that the selector goes its whole way. Of trainings
    and evaluations a few batches are computed, and the time of the rest is a product.
    """

    def __init__(
        self, context: SelectionContext, clock: Clock, *, steps: int, evaluations: int
    ) -> None:
        self._clock = clock
        self._passes = evaluations + min(steps, RECALIBRATION_BATCHES)
        self._seconds: dict[str, list[float]] = {}
        self._spent: dict[str, float] = {}
        self._counts: dict[str, int] = {}
        self._known: dict[str, Mapping[str, float]] = {}
        self._extra = self._epoch_seconds = 0.0
        self._full = context
        batches, divide = context.training_batches, context.divide
        self.context = replace(
            context,
            remember=self._remember,
            evaluate=self._evaluate,
            evaluate_loss=None if context.evaluate_loss is None else self._evaluate,
            training_batches=None
            if batches is None
            else lambda epoch: self._some(batches(epoch), steps, epoch),
            divide=None if divide is None else self._divide,
        )

    def costs(self) -> tuple[StageCost, ...]:
        """Return what was measured, in the order of its first time."""
        return tuple(
            StageCost(name, self._counts[name], sum(seconds) / len(seconds))
            for name, seconds in self._seconds.items()
        )

    def inherit(self, chosen: Architecture) -> None:
        """Measure the choice with the supernet's weights, as is done after a selection."""
        full = self._full

        def compute() -> dict[str, float]:
            return {"accuracy": self._evaluate(full.space.inherit(full.supernet, chosen))}

        self._remember("inherited/", compute)

    def _remember(
        self, key: str, compute: Callable[[], Mapping[str, float]]
    ) -> Mapping[str, float]:
        name = key.partition("@")[0] if "@" in key else key.partition("/")[0]
        self._counts[name] = self._counts.get(name, 0) + 1
        seconds = self._seconds.setdefault(name, [])
        spent = self._spent.get(name, 0.0)
        if len(seconds) < (_MOST if spent < _ENOUGH else _FEWEST):
            self._extra = 0.0
            start = self._clock()
            self._known[name] = compute()
            taken = self._clock() - start
            self._spent[name] = spent + taken
            seconds.append(taken + self._extra)
        return self._known[name]

    def _some(self, batches: Iterator[Batch], total: int, epoch: int) -> Iterator[Batch]:
        """Yield a few batches of the first epoch; count the time that all would take."""
        if epoch > 0:
            self._extra += self._epoch_seconds
            return
        start, count = self._clock(), 0
        for batch in batches:
            yield batch
            count += 1
            if count == _BATCHES:
                break
        spent = self._clock() - start
        self._epoch_seconds = spent * total / max(count, 1)
        self._extra += self._epoch_seconds - spent

    @torch.no_grad()
    def _evaluate(self, network: nn.Module) -> float:
        """Measure a few batches; the recalibration's forward passes count as such."""
        assert self._full.validation_batches is not None, "a search has a validation half"
        network.eval()
        start, count, total, correct = self._clock(), 0, 0, 0
        for batch in self._full.validation_batches():
            correct += int((network(batch.images).argmax(-1) == batch.labels).sum())
            total += len(batch.labels)
            count += 1
            if count == _BATCHES:
                break
        spent = self._clock() - start
        self._extra += spent / count * self._passes - spent
        return 100.0 * correct / total

    def _divide(self, fraction: float, batch_size: int, seed: int) -> Division:
        assert self._full.divide is not None, "it is there"
        division = self._full.divide(fraction, batch_size, seed)
        return replace(
            division,
            training=lambda epoch: self._some(division.training(epoch), division.steps, epoch),
        )
