"""What a file says of its origin: only what has the form that balenas writes is used."""

from __future__ import annotations

from pydantic import BaseModel, ConfigDict, JsonValue, ValidationError

from balenas_timm.weights import Blueprint, first_problem


class _Part(BaseModel):
    model_config = ConfigDict(extra="allow", strict=True)


class _Named(_Part):
    name: str


class _Epochs(_Part):
    epochs: int


class _Config(_Part):
    optimizer: _Named
    distribution: _Named
    selector: _Named
    data: _Named
    training: _Epochs
    seed: int


class _Search(_Part):
    config: _Config
    created: str | None
    candidates: int
    scores: dict[str, float | None]
    inherited_accuracy: float | None
    benchmark: list[dict[str, JsonValue]] | None
    versions: dict[str, str]


class _Training(_Part):
    test_accuracy: float = 0.0
    test_images: int = 0
    is_held_out: bool = False


class _Provenance(_Part):
    search: _Search | None = None
    training: _Training | None = None
    recipe: dict[str, JsonValue] | None = None


def with_readable_provenance(blueprint: Blueprint) -> tuple[Blueprint, tuple[str, ...]]:
    """Return a blueprint whose origin can be told, and warnings if some of it was left out."""
    try:
        _Provenance.model_validate(blueprint.provenance)
    except ValidationError as error:
        warning = (
            f"what the file says of its origin is left out, because it is not as balenas writes "
            f"it: {first_problem(error)}."
        )
        return blueprint.model_copy(update={"provenance": {}}), (warning,)
    return blueprint, ()
