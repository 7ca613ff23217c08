"""A registry of small plugins, so that no test depends on what is installed."""

from enum import Enum
from pathlib import Path
from typing import Annotated, Any, Literal

import pytest
from pydantic import BaseModel, BeforeValidator, Field

from balenas_core import Plugin, PluginOptions, Registry


class Colour(Enum):
    RED = "red"
    BLUE = "blue"


class Inner(BaseModel, extra="forbid"):
    depth: int = 1
    note: str = ""


class MazeOptions(PluginOptions):
    """Every type that an option may have."""

    channels: int = Field(default=8, ge=1, description="Channels of the first stage.")
    ops: tuple[str, ...] = Field(default=("conv", "skip"), description="Operations.")
    root: Path = Field(default=Path("data"), description="Where the maze lies.")
    colour: Colour = Field(default=Colour.RED, description="paint of the walls")
    mode: Literal["batch", "running"] = Field(default="batch", description="Statistics.")
    size: int | Literal["auto"] = Field(default="auto", description="Size.")
    ratio: float = Field(default=0.5, description="Ratio.")
    limit: float | None = Field(default=None, allow_inf_nan=True, description="Limit.")
    inner: Inner = Field(default=Inner(), description="A model of its own.")
    table: dict[str, float] = Field(default={}, description="Numbers by name.")
    amount: Annotated[int, BeforeValidator(lambda v: 10 if v == "ten" else v)] = 1


class LrOptions(PluginOptions):
    lr: float = Field(default=3e-4, gt=0, description="Step size.")
    beta: float = Field(default=0.5, ge=0, lt=1, description="Decay.")


class RequiredOptions(PluginOptions):
    path: str = Field(description="Where it lies.")


class ProxyOptions(PluginOptions):
    batch_size: int = Field(default=32, ge=1, description="Images.")
    log: bool = Field(default=False, description="Give the logarithm.")


class DrawsOptions(PluginOptions):
    draws: int = Field(default=64, ge=1, description="Architectures drawn.")


def plugin(kind: str, **fields: Any) -> Plugin:
    fields.setdefault("summary", f"a {kind} of the tests")
    return Plugin(kind=kind, api_version=1, implementation="nowhere:nothing", **fields)


@pytest.fixture
def registry() -> Registry:
    found = Registry(use_entry_points=False)
    for name, one in {
        "maze": plugin(
            "space",
            options=MazeOptions,
            provides=("supernet",),
            recommends={"selector": "synflow+naswot"},
        ),
        "plain": plugin("space"),
        "gaussian": plugin("distribution", options=LrOptions, provides=("gaussian",)),
        "point": plugin("distribution", provides=("logits",)),
        "ngvi": plugin(
            "optimizer",
            options=LrOptions,
            needs={"distribution": ("gaussian",)},
            defaults={"distribution": "gaussian"},
        ),
        "adam": plugin(
            "optimizer",
            options=LrOptions,
            needs={"space": ("supernet",)},
            defaults={"distribution": "point"},
        ),
        "free": plugin("optimizer"),
        "argmax": plugin("selector"),
        "random": plugin("selector", options=DrawsOptions, provides=("stage",)),
        "synflow": plugin("proxy", options=ProxyOptions),
        "naswot": plugin("proxy", options=ProxyOptions),
        "params": plugin("proxy"),
        "digits": plugin("dataset"),
        "npz": plugin("dataset", options=RequiredOptions),
        "local": plugin("executor"),
        "tracky": plugin("tracker", options=RequiredOptions),
    }.items():
        found.add(name, one)
    return found
