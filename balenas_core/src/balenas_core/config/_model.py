"""The configuration of one search."""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any, Literal, Self

from pydantic import (
    AfterValidator,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    ValidationError,
    ValidationInfo,
    field_validator,
    model_validator,
)

from balenas_core.config._checkpoint import CheckpointConfig
from balenas_core.config._compatibility import incompatibilities, lacking
from balenas_core.config._modifiers import ModifiersConfig
from balenas_core.config._plugins import PluginsConfig
from balenas_core.config._problems import Problem, fail, problems_of, shown
from balenas_core.config._processes import ProcessesConfig
from balenas_core.config._proxies import AUTO_PROXIES, recommended_proxies
from balenas_core.config._sections import (
    PluginSection,
    choices,
    find_plugin,
    registry_of,
    resolve_section,
    section_validator,
)
from balenas_core.config._selector import AUTO_SELECTOR, resolve_selector

DEFAULT_DATASET = "digits"
DEFAULT_EXECUTOR = "local"
MOST_THREADS = 4096

# Defaults that a validator replaces; typed so that the field keeps its own type.
_FROM_DEFAULT: Any = None

_LR_MIN = 0.001
_DEVICE = re.compile(r"auto|cpu|mps|cuda(:\d{1,3})?")


def _none_for_text(value: Any) -> Any:
    return None if value == "none" else value  # TOML has no null


def _device(value: str) -> str:
    if not _DEVICE.fullmatch(value):
        fail([Problem((), f"must be auto, cpu, cuda, cuda:N or mps (got {shown(value)})")])
    return value


def _output(value: Path | None) -> Path | None:
    if value is not None and value == Path():
        fail([Problem((), "must name a directory of its own (got the current directory)")])
    return value


def _default_lr_min(data: dict[str, Any]) -> float:
    lr: float = data.get("lr", _LR_MIN)
    return min(_LR_MIN, lr)  # the default must not forbid a small lr


DeviceName = Annotated[str, AfterValidator(_device)]
OutputPath = Annotated[Path | None, AfterValidator(_output)]
Seed = Annotated[
    int, Field(ge=0, lt=2**63, strict=True, description="Seed of every random number.")
]
Threads = Annotated[
    int | None,
    Field(
        ge=1,
        le=MOST_THREADS,
        strict=True,
        description="CPU threads of torch; null for one with images of up to 16x16 pixels, and "
        "the cores of this process with larger ones.",
    ),
]


class TrainingConfig(BaseModel):
    """Training of the supernet's weights.

    The defaults are those of DARTS in its own space.

    References:
        Liu et al. 2019, "DARTS", ICLR, appendix A.1.1.
    """

    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False)

    epochs: int = Field(default=50, ge=1, strict=True, description="Passes over the training part.")
    batch_size: int = Field(
        default=64, ge=1, strict=True, description="Images per step, of each part."
    )
    lr: float = Field(
        default=0.025, gt=0, strict=True, description="Learning rate of SGD at the start."
    )
    lr_min: float = Field(
        default_factory=_default_lr_min,
        ge=0,
        strict=True,
        description="Learning rate at the end of the cosine; by default 0.001, or lr if less.",
    )
    schedule: Literal["cosine", "constant"] = Field(
        default="cosine", description="How the learning rate falls."
    )
    momentum: float = Field(default=0.9, ge=0, lt=1, strict=True, description="Momentum of SGD.")
    nesterov: bool = Field(default=False, strict=True, description="Nesterov's form of momentum.")
    weight_decay: float = Field(
        default=3e-4, ge=0, strict=True, description="L2 penalty of the weights."
    )
    clip: Annotated[
        float | None,
        BeforeValidator(
            _none_for_text,
            json_schema_input_type=Annotated[float, Field(gt=0)] | Literal["none"] | None,
        ),
    ] = Field(
        default=5.0,
        gt=0,
        strict=True,
        description="Largest norm of the weights' gradient; null, or 'none', for no limit.",
    )
    validation_fraction: float = Field(
        default=0.5,
        gt=0,
        lt=1,
        strict=True,
        description="Share of the training images that train the architecture.",
    )
    weights_at: Literal["mean", "sample"] = Field(
        default="sample",
        description="Architecture at which the weights are trained: the mean of the distribution, "
        "or another draw in every step. At the mean, weights are worth little to one architecture.",
    )
    warmup_epochs: int | None = Field(
        default=None,
        ge=0,
        strict=True,
        description="First epochs that train the weights only; null for a share of all.",
    )
    warmup_share: float = Field(
        default=0.0,
        ge=0,
        lt=1,
        description="Share of the epochs that trains the weights only, if warmup_epochs is null.",
    )
    checkpoint_cells: bool = Field(
        default=False,
        strict=True,
        description="Compute cells again in the backward pass instead of keeping their inside: "
        "a fraction of the memory, about a third more time, the same numbers.",
    )
    compile: Literal["none", "cells"] = Field(
        default="none",
        description="What torch.compile compiles: the cells, in their first steps, which takes "
        "minutes and needs a C++ compiler; results change by round-off.",
    )
    augment_on_device: bool = Field(
        default=False,
        strict=True,
        description="Transform images where the supernet is, for a GPU that waits for them: they "
        "travel there as bytes, and workers only read and decode.",
    )
    workers: int = Field(
        default=0, ge=0, le=256, strict=True, description="Processes that load images; 0 for none."
    )

    @field_validator("lr_min")
    @classmethod
    def _at_most_lr(cls, lr_min: float, info: ValidationInfo) -> float:
        lr = info.data.get("lr", lr_min)
        if lr_min > lr:
            fail([Problem((), f"must be at most lr, {lr} (got {lr_min})")])
        return lr_min

    @field_validator("nesterov")
    @classmethod
    def _with_momentum(cls, nesterov: bool, info: ValidationInfo) -> bool:
        if nesterov and info.data.get("momentum") == 0:
            fail([Problem((), "needs a momentum greater than 0 (got momentum 0.0)")])
        return nesterov

    @field_validator("warmup_epochs")
    @classmethod
    def _at_most_epochs(cls, warmup_epochs: int | None, info: ValidationInfo) -> int | None:
        epochs: int | None = info.data.get("epochs")
        if warmup_epochs is not None and epochs is not None and warmup_epochs > epochs:
            fail([Problem((), f"must be at most epochs, {epochs} (got {warmup_epochs})")])
        return warmup_epochs

    @property
    def weights_only_epochs(self) -> int:
        """First epochs that train the weights only."""
        if self.warmup_epochs is not None:
            return self.warmup_epochs
        return round(self.warmup_share * self.epochs)


def _validate_selector(value: Any, info: ValidationInfo) -> PluginSection:
    """Resolve the section; ``auto`` is the selector that the space recommends."""
    registry = registry_of(info)
    section = {"name": value} if isinstance(value, str) else value
    if not isinstance(section, Mapping) or section.get("name") != AUTO_SELECTOR:
        return resolve_selector(value, registry)
    space = info.data.get("space")
    if space is None:  # it is invalid, which is reported already
        return PluginSection(name="")
    _, plugin = find_plugin("space", space.name, registry)
    recommended = plugin.recommends.get("selector")
    if recommended is None:
        known = choices("selector", registry)
        fail([Problem(("name",), f"space {space.name!r} recommends no selector. {known}")])
    given = {"name": recommended} if isinstance(recommended, str) else recommended
    own = {key: value for key, value in section.items() if key != "name"}
    return resolve_selector({**given, **own}, registry)


def _validate_distribution(value: Any, info: ValidationInfo) -> PluginSection:
    """Resolve the section; without a name it is the one that the optimizer asks for."""
    registry = registry_of(info)
    is_named = isinstance(value, PluginSection | str) or (
        isinstance(value, Mapping) and value.get("name") is not None
    )
    if is_named:
        return resolve_section("distribution", value, registry)
    optimizer = info.data.get("optimizer")
    if optimizer is None:  # it is invalid, which is reported already
        return PluginSection(name="")
    _, plugin = find_plugin("optimizer", optimizer.name, registry)
    default = plugin.defaults.get("distribution")
    if default is None:
        fail([Problem((), f"is missing, and optimizer {optimizer.name!r} has no default. "
                          f"{choices('distribution', registry)}")])  # fmt: skip
    return resolve_section("distribution", value, registry, default=default)


class SearchConfig(BaseModel):
    """Everything that defines one search.

    A plugin's section is its name, or a mapping with ``name`` and the plugin's options.

    Example:
        >>> config = SearchConfig(space="nb201", optimizer="ngvi")  # doctest: +SKIP
        >>> config.training.epochs  # doctest: +SKIP
        50
    """

    model_config = ConfigDict(
        extra="forbid", frozen=True, validate_default=True, ser_json_inf_nan="constants"
    )

    # First: what is allowed decides what the sections of plugins may import.
    plugins: PluginsConfig = Field(
        default_factory=PluginsConfig, description="Which plugins may, and which must, be there."
    )
    space: Annotated[PluginSection, section_validator("space")] = Field(description="Search space.")
    optimizer: Annotated[PluginSection, section_validator("optimizer")] = Field(
        description="Learns the distribution over architectures."
    )
    distribution: Annotated[PluginSection, BeforeValidator(_validate_distribution)] = Field(
        default=_FROM_DEFAULT,
        description="Distribution over architectures; without it, the optimizer's own default.",
    )
    selector: Annotated[PluginSection, BeforeValidator(_validate_selector)] = Field(
        default=_FROM_DEFAULT,
        description="Chooses the final architecture: a selector, proxies joined by '+', or auto "
        "for what the space recommends.",
    )
    data: Annotated[PluginSection, section_validator("dataset", default=DEFAULT_DATASET)] = Field(
        default=_FROM_DEFAULT, description="Images."
    )
    training: TrainingConfig = Field(
        default_factory=TrainingConfig, description="Training of the supernet's weights."
    )
    modifiers: ModifiersConfig = Field(
        default_factory=ModifiersConfig,
        description="Changes that go with any space, distribution and optimizer.",
    )
    checkpoint: CheckpointConfig = Field(
        default_factory=CheckpointConfig, description="How often the state of a run is saved."
    )
    processes: ProcessesConfig = Field(
        default_factory=ProcessesConfig,
        description="Searches that several processes share, under torchrun; changes nothing in "
        "one.",
    )
    trackers: tuple[Annotated[PluginSection, section_validator("tracker")], ...] = Field(
        default=(), description="Experiment trackers that receive the search's events."
    )
    executor: Annotated[PluginSection, section_validator("executor", default=DEFAULT_EXECUTOR)] = (
        Field(
            default=_FROM_DEFAULT,
            description="Where candidates are scored, trained and measured that are independent.",
        )
    )
    check_epochs: int = Field(
        default=3,
        ge=0,
        strict=True,
        description="Epochs for which the choice, and one uniform draw beside it, are trained "
        "alone when the search is done; 0 for none.",
    )
    seed: Seed = 0
    device: DeviceName = Field(
        default="auto",
        strict=True,
        description="auto, cpu, cuda, cuda:N or mps.",
        json_schema_extra={"pattern": f"^({_DEVICE.pattern})$"},
    )
    precision: Literal["float32", "float64", "bfloat16"] = Field(
        default="float32",
        description="Floating-point type; bfloat16 keeps the weights in float32.",
    )
    threads: Threads = None
    output: OutputPath = Field(
        default=None, description="Directory of the run; null to write nothing."
    )

    @field_validator("plugins", "training", "modifiers", "checkpoint", "processes", mode="before")
    @classmethod
    def _empty_section(cls, value: Any) -> Any:
        return {} if value is None else value  # `training:` with every key commented out

    @field_validator("modifiers")
    @classmethod
    def _proxies_of_the_space(
        cls, modifiers: ModifiersConfig, info: ValidationInfo
    ) -> ModifiersConfig:
        prior, space = modifiers.informed_prior, info.data.get("space")
        if prior is None or prior.proxies != AUTO_PROXIES or space is None:
            return modifiers
        try:
            proxies = recommended_proxies(space, registry_of(info))
        except ValidationError as error:
            place = ("informed_prior", "proxies")
            problems = problems_of(error, ModifiersConfig, {})
            fail([Problem((*place, *p.path), p.message, p.load_error) for p in problems])
        named = prior.model_copy(update={"proxies": proxies})
        return modifiers.model_copy(update={"informed_prior": named})

    @field_validator("trackers", mode="before")
    @classmethod
    def _no_trackers(cls, value: Any) -> Any:
        return () if value is None else value

    @field_validator("trackers")
    @classmethod
    def _once_each(cls, trackers: tuple[PluginSection, ...]) -> tuple[PluginSection, ...]:
        names = [tracker.name for tracker in trackers]
        twice = [i for i, name in enumerate(names) if name in names[:i]]
        if twice:
            fail([Problem((i,), f"{names[i]!r} is given twice; leave one") for i in twice])
        return trackers

    @model_validator(mode="after")
    def _fits_together(self, info: ValidationInfo) -> Self:
        registry = self.plugins.restricted(registry_of(info))
        problems = incompatibilities(self._sections(), registry)
        if self.modifiers.informed_prior is not None:
            asker, path = "modifiers.informed_prior", ("modifiers", "informed_prior")
            problems += lacking("distribution", self.distribution, "offset", asker, path, registry)
        if problems:
            fail(problems)
        return self

    def _sections(self) -> list[tuple[str, PluginSection, tuple[str | int, ...]]]:
        """Return kind, section and place of every plugin that is named."""
        return [
            ("space", self.space, ("space",)),
            ("optimizer", self.optimizer, ("optimizer",)),
            ("distribution", self.distribution, ("distribution",)),
            ("dataset", self.data, ("data",)),
            ("executor", self.executor, ("executor",)),
            *(("tracker", t, ("trackers", i)) for i, t in enumerate(self.trackers)),
            ("selector", self.selector, ("selector",)),
        ]
