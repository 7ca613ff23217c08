"""Declarations of the toy plugins. Imports no torch."""

from pydantic import Field

from balenas_core.plugins.options import PluginOptions
from balenas_core.plugins.plugin import Plugin


class ToyAdamOptions(PluginOptions):
    """Options of the toy optimizer."""

    lr: float = Field(default=0.1, gt=0, description="Learning rate.")
    seconds: float = Field(default=0.0, ge=0, description="Time that each step sleeps.")
    explode_at: int = Field(default=-1, description="Step at which the loss is infinite.")


space = Plugin(
    kind="space",
    summary="nine networks",
    api_version=1,
    implementation="acme_toys_impl:make_space",
    provides=("supernet",),
)
fixed = Plugin(
    kind="space", summary="no supernet", api_version=1, implementation="acme_toys_impl:make_space"
)
optimizer = Plugin(
    kind="optimizer",
    summary="Adam",
    api_version=1,
    implementation="acme_toys_impl:ToyAdam",
    options=ToyAdamOptions,
    needs={"space": ("supernet",)},
    defaults={"distribution": "gaussian"},
)
frozen = Plugin(
    kind="optimizer",
    summary="drives the point distribution only",
    api_version=1,
    implementation="acme_toys_impl:ToyAdam",
    options=ToyAdamOptions,
    needs={"distribution": ("logits",)},
    defaults={"distribution": "point"},
)
proxy = Plugin(
    kind="proxy",
    summary="number of parameters",
    api_version=1,
    implementation="acme_toys_impl:Params",
)
diary = Plugin(
    kind="tracker",
    summary="writes the events' names",
    api_version=1,
    implementation="acme_toys_impl:Diary",
)
broken = Plugin(
    kind="tracker",
    summary="needs what is not installed",
    api_version=1,
    implementation="acme_toys_missing:Tracker",
)
preset = Plugin(
    kind="preset",
    summary="the toy space with the toy optimizer",
    api_version=1,
    implementation="acme_toys:PRESET",
)
no_mapping = Plugin(
    kind="preset", summary="a broken preset", api_version=1, implementation="math:pi"
)
PRESET = {
    "space": "toy",
    "optimizer": {"name": "toy_adam", "lr": 0.05},
    "selector": "toy_params",
    "training": {"epochs": 2, "batch_size": 256},
}
