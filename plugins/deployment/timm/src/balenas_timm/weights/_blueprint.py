"""What a network is, apart from its weights. Imports no torch until one is built."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Annotated, Any, Final

from pydantic import (
    BaseModel,
    ConfigDict,
    Field,
    JsonValue,
    ValidationError,
    field_validator,
    model_validator,
)

from balenas_core.config import PluginSection, section_validator
from balenas_core.errors import UsageError
from balenas_core.plugins.registry import Registry, default_registry

if TYPE_CHECKING:
    from torch import nn

    from balenas_core.interfaces.dataset import ImageDataset
    from balenas_core.interfaces.space import AnySpace, Task


_LARGEST: Final = 2**20
"""No option of a network is larger; of more classes, nobody has images."""

_LONGEST_TEXT: Final = 100_000
_LONGEST_LIST: Final = 10_000
_Channels = Annotated[int, Field(ge=1, le=4096)]
_Side = Annotated[int, Field(ge=1, le=8192)]


class Normalized(BaseModel):
    """How images were normalised: (pixel in 0..1 - mean) / std, by channel."""

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)

    mean: tuple[float, ...]
    std: tuple[Annotated[float, Field(gt=0)], ...]


class Blueprint(BaseModel):
    """Everything by which a network can be built again, and what is known about it.

    It is stored with the weights, so that a file alone suffices.

    Example:
        >>> blueprint = Blueprint(
        ...     space={"name": "nb201", "channels": 16},
        ...     architecture="|skip_connect~0|+|none~0|none~1|+|none~0|none~1|nor_conv_3x3~2|",
        ...     input_shape=(3, 32, 32),
        ...     num_classes=10,
        ... )
        >>> network = blueprint.build()
    """

    # Unknown keys are what a later version knows, not a mistake of a user.
    model_config = ConfigDict(frozen=True, extra="ignore", ser_json_inf_nan="constants")

    space: Annotated[PluginSection, section_validator("space")] = Field(
        description="Search space, with the size of the network."
    )
    architecture: str = Field(
        min_length=1,
        max_length=_LONGEST_TEXT,
        description="The architecture, as the space's parse reads it.",
    )
    input_shape: tuple[_Channels, _Side, _Side] = Field(
        description="Shape of an image: channels, height, width."
    )
    num_classes: int = Field(ge=1, le=_LARGEST)
    is_inherited: bool = Field(
        default=False, description="Whether it has the form that it has inside a supernet."
    )
    normalization: Normalized | None = None
    crop: float = Field(
        default=1.0, ge=0.01, le=1, description="Part of the side that is left when images are cut."
    )
    class_names: tuple[str, ...] | None = None
    provenance: dict[str, JsonValue] = Field(
        default={}, description="Where it comes from: search, training, scores, versions."
    )

    @field_validator("space")
    @classmethod
    def _is_bounded(cls, space: PluginSection) -> PluginSection:
        """Refuse what would take for ever to build; pydantic's models seldom have an upper end."""
        for key, value in space.model_dump(mode="json").items():
            _check_bounds(key, value)
        return space

    @model_validator(mode="after")
    def _fits_together(self) -> Blueprint:
        channels, normalized = self.input_shape[0], self.normalization
        for name in ("mean", "std"):
            if normalized is not None and len(getattr(normalized, name)) != channels:
                raise ValueError(f"normalization.{name} must have one number per channel")
        if self.class_names is not None and len(self.class_names) != self.num_classes:
            raise ValueError(
                f"class_names must be {self.num_classes}, one for each class; "
                f"got {len(self.class_names)}"
            )
        return self

    @classmethod
    def of(cls, **known: Any) -> Blueprint:
        """Return the blueprint of what a user said.

        Raises:
            UsageError: No network is made so.
        """
        try:
            return cls(**known)
        except ValidationError as error:
            raise UsageError(f"no network is made so: {first_problem(error)}.") from error

    @property
    def task(self) -> Task:
        """Image shape and classes."""
        from balenas_core.interfaces.space import Task

        return Task(self.input_shape, self.num_classes)

    def build_space(self, registry: Registry | None = None) -> AnySpace:
        """Build the search space.

        Raises:
            PluginError: It is not installed, or cannot be built.
        """
        ref = (registry or default_registry()).find("space", self.space.name)
        space: AnySpace = ref.build(self.space.options)
        return space

    def build(self, registry: Registry | None = None) -> nn.Module:
        """Build the network, with fresh weights.

        Raises:
            ArchitectureError: The architecture is not of the space.
            PluginError: The space is not installed, or cannot be built.
        """
        space = self.build_space(registry)
        architecture = space.parse(self.architecture)
        from balenas_core.scores.room import check_room

        check_room(space, self.task, architecture=None if self.is_inherited else architecture)
        if self.is_inherited:
            return space.inherit(space.supernet(self.task), architecture)
        return space.network(architecture, self.task)


def _check_bounds(key: str, value: JsonValue) -> None:
    if isinstance(value, int | float) and abs(value) > _LARGEST and math.isfinite(value):
        raise ValueError(f"{key} is {value:.4g}; no network has more than {_LARGEST:,}")
    if isinstance(value, list):
        if len(value) > _LONGEST_LIST:
            raise ValueError(f"{key} has {len(value):,} parts, more than {_LONGEST_LIST:,}")
        for part in value:
            _check_bounds(key, part)


def first_problem(error: ValidationError) -> str:
    """Return where a blueprint is wrong, and how."""
    first = error.errors(include_url=False)[0]
    place = ".".join(map(str, first["loc"]))
    return f"{place}: {first['msg'].removeprefix('Value error, ').rstrip('.')}"


def known_of(dataset: ImageDataset) -> dict[str, Any]:
    """Return what a blueprint says of the images that its network is for."""
    known: dict[str, Any] = {
        "input_shape": dataset.input_shape,
        "num_classes": dataset.num_classes,
        "class_names": tuple(dataset.class_names),
        "crop": dataset.crop,
    }
    if dataset.statistics is not None:
        mean, std = dataset.statistics
        known["normalization"] = Normalized(mean=mean, std=std)
    return known
