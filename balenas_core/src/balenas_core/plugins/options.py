"""Bases of plugins' sections of a configuration. Imports pydantic, never torch."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from types import MappingProxyType
from typing import Annotated, Any, ClassVar, Final, NamedTuple, Self

from pydantic import BaseModel, ConfigDict, Field, model_validator

MOST_CHANNELS: Final = 65_536
"""Bound on options that are channels; no published network comes near."""

MOST_CELLS: Final = 1_000
"""Bound on options that are numbers of cells or layers."""

_BEYOND: Final = 2**63
"""The first integer that neither torch nor numpy can hold."""


class Conflict(NamedTuple):
    """An option that does not go with those of another plugin."""

    kind: str
    option: str
    message: str
    """What it must be, what it is, and what to change."""


class PluginOptions(BaseModel):
    """Options of one plugin: frozen, finite, no unknown keys, defaults validated like input.

    Subclass it with annotated fields; ``Field(description=...)`` reaches the JSON schema and
    ``balenas plugins info``, and ``Field(allow_inf_nan=True)`` admits infinity.
    """

    model_config = ConfigDict(
        extra="forbid", frozen=True, validate_default=True, allow_inf_nan=False
    )

    def conflicts(self, partners: Mapping[str, PluginOptions]) -> Iterator[Conflict]:
        """Yield what in the options of its partners these options do not go with; nothing here.

        Args:
            partners: Kind of a plugin of the same configuration, this one's own too, -> its
                options.
        """
        del partners
        yield from ()

    @model_validator(mode="after")
    def _integers_are_representable(self) -> Self:
        for name, value in self:
            for number in value if isinstance(value, tuple) else (value,):
                if isinstance(number, int) and not -_BEYOND < number < _BEYOND:
                    raise ValueError(f"{name} must be below 2^63 (got a number beyond)")
        return self

    full_size: ClassVar[Mapping[str, Any]] = MappingProxyType({})
    """Of a search space: the options with which its paper trains what was found.

    The defaults are those of a quick search.
    """


EverySteps = Annotated[
    int,
    Field(ge=0, description="Steps between two recorded losses of a step; 0 records epochs only."),
]
"""Of a tracker that is a ``balenas_core.interfaces.tracker.RunTracker``."""


class ExecutorOptions(PluginOptions):
    """What every executor does alike."""

    attempts: int = Field(
        default=2,
        ge=1,
        le=100,
        strict=True,
        description="How often a piece of work is tried that fails or whose worker is lost, before "
        "it counts as failed.",
    )


class WorkerOptions(ExecutorOptions):
    """Options of an executor whose workers are processes of their own."""

    limit: float | None = Field(
        default=None,
        gt=0,
        strict=True,
        description="Seconds after which a worker that has not answered is ended; null for none.",
    )


class MixedCellOptions(PluginOptions):
    """Channels of a space whose supernet mixes operations on the edges of cells."""

    channels: int = Field(
        default=8, ge=1, le=MOST_CHANNELS, description="Channels of the first cells."
    )
    partial_channels: int = Field(
        default=1,
        ge=1,
        le=MOST_CHANNELS,
        description="The supernet's operations see one in this many channels (PC-DARTS: 4); "
        "divides the channels.",
    )
    edge_normalization: bool = Field(
        default=False,
        description="Whether the edges that enter a node have learned weights too (PC-DARTS).",
    )

    @model_validator(mode="after")
    def _parts_are_whole(self) -> Self:
        if self.channels % self.partial_channels:
            raise ValueError(
                f"partial_channels ({self.partial_channels}) must divide channels ({self.channels})"
            )
        return self


class PoolOptions(PluginOptions):
    """The pool of candidates that a selector draws, and which of them may be chosen."""

    draws: int = Field(
        default=64,
        ge=1,
        le=100_000,
        strict=True,
        description="Architectures drawn from the distribution; the argmax of its mean joins them.",
    )
    neighbors: int = Field(
        default=0,
        ge=0,
        le=1000,
        strict=True,
        description="Of how many candidates, those drawn most often first, the architectures that "
        "differ in one decision join the draws.",
    )
    keep: int = Field(
        default=1,
        ge=1,
        strict=True,
        description="How many of the best are kept in the result, for retraining; the first is "
        "the choice.",
    )
    max_params: float | None = Field(
        default=None,
        gt=0,
        strict=True,
        description="Largest number of parameters of a candidate's network.",
    )
    max_flops: float | None = Field(
        default=None,
        gt=0,
        strict=True,
        description="Largest number of multiply-adds for one image.",
    )
    max_latency: float | None = Field(
        default=None, gt=0, strict=True, description="Largest latency in milliseconds."
    )
    latency: str = Field(
        default="latency",
        min_length=1,
        description="Where the latency comes from: a cost of the space's benchmark, or 'measured' "
        "for the median time of one image on this machine.",
    )
