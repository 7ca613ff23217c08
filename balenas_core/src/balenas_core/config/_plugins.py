"""Which plugins a configuration allows, and which it cannot do without."""

from __future__ import annotations

from importlib import metadata
from typing import Annotated

from packaging.requirements import InvalidRequirement, Requirement
from pydantic import BaseModel, ConfigDict, Field, field_validator

from balenas_core.config._problems import Problem, fail
from balenas_core.plugins.registry import Registry

SOURCE = "plugins.allow of the configuration"


class PluginsConfig(BaseModel):
    """Plugins that may be imported, and distributions that must be installed."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    allow: tuple[Annotated[str, Field(min_length=1, strict=True)], ...] | None = Field(
        default=None,
        description="Plugins or distributions that may be imported beside those of balenas itself; "
        "null for all that are installed.",
    )
    require: tuple[Annotated[str, Field(min_length=1, strict=True)], ...] = Field(
        default=(),
        description="Distributions that must be installed, such as 'acme-space>=1.2,<2'.",
    )

    @field_validator("require")
    @classmethod
    def _are_installed(cls, require: tuple[str, ...]) -> tuple[str, ...]:
        problems = [
            Problem((number,), problem)
            for number, text in enumerate(require)
            if (problem := _problem(text))
        ]
        if problems:
            fail(problems)
        return require

    def restricted(self, registry: Registry) -> Registry:
        """Return the registry of what may be imported."""
        return registry.restricted(SOURCE, self.allow)


def _problem(text: str) -> str:
    """Return what is wrong with a required distribution; empty for nothing."""
    try:
        requirement = Requirement(text)
    except InvalidRequirement:
        return f"must be a distribution, such as 'acme-space' or 'acme-space>=1.2' (got {text!r})"
    install = f"type: balenas plugins install '{text}'"
    try:
        version = metadata.version(requirement.name)
    except metadata.PackageNotFoundError:
        return f"{requirement.name} is not installed; {install}"
    if not requirement.specifier.contains(version, prereleases=True):
        found = f"{requirement.name} {version} is installed"
        return f"{found}, which is not {requirement.specifier}; {install}"
    return ""
