"""Base of every plugin's section of a configuration. Imports pydantic, never torch."""

from __future__ import annotations

from pydantic import BaseModel, ConfigDict


class PluginOptions(BaseModel):
    """Options of one plugin: frozen, finite, no unknown keys, defaults validated like input.

    Subclass it with annotated fields; ``Field(description=...)`` reaches the JSON schema and
    ``balenas plugins info``, and ``Field(allow_inf_nan=True)`` admits infinity.
    """

    model_config = ConfigDict(
        extra="forbid", frozen=True, validate_default=True, allow_inf_nan=False
    )
