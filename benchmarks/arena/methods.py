"""The methods that meet: presets, and controls of equal cost."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from balenas_core import SearchConfig, default_registry, load_config

from .settings import Setting

_UNIFORM = {"name": "gumbel_softmax", "initial_scale": 0.0}


@dataclass(frozen=True)
class Method:
    """One search, and what chooses from it.

    Args:
        preset: Where the settings come from.
        settings: In the place of a preset.
        selections: Flags of each further selection, by name; the run's own is the argmax.
        is_scaled: Whether the step size of the architecture follows the setting's factor.
        is_control: Whether no search learns about architectures.
    """

    preset: str | None = None
    settings: Mapping[str, Any] | None = None
    selections: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)
    is_scaled: bool = True
    is_control: bool = False

    @property
    def is_uniform(self) -> bool:
        """Whether its distribution stays what it is, without a prior of its own."""
        return self.is_control and "modifiers" not in (self.settings or {})


_INHERITED = {
    f"{name}": {"selector": name, "selector.evaluations": 100, "selector.evaluate": "supernet"}
    for name in ("random_search", "evolution")
}
_AUTO = {"auto": {"selector": "auto"}}

METHODS: Mapping[str, Method] = {
    "darts": Method("darts"),
    "drnas": Method("drnas"),
    "gdas": Method("gdas"),
    "snas": Method("snas"),
    "pc-darts": Method("pc-darts"),
    "random": Method("random", selections=_INHERITED, is_control=True),
    "balenas": Method("balenas", selections=_AUTO, is_scaled=False),
    "balenas-informed": Method("balenas-informed", selections=_AUTO, is_scaled=False),
    "balenas-categorical": Method("balenas-categorical", selections=_AUTO, is_scaled=False),
    "balenas-authors": Method("balenas-authors"),
    # The informed prior as it is: what proxies know, and no image has taught.
    "prior": Method(
        settings={
            "distribution": {"name": "gaussian", "initial_scale": 0.0},
            "optimizer": {"name": "random"},
            "modifiers": {"informed_prior": {}},
        },
        selections=_AUTO,
        is_scaled=False,
        is_control=True,
    ),
    # Nothing is trained: what the selector alone finds among uniform draws.
    "uniform": Method(
        settings={"distribution": _UNIFORM, "optimizer": {"name": "random"}},
        selections=_AUTO,
        is_control=True,
    ),
    # A supernet of the same cost, trained at the relaxed draws of a distribution that stays
    # uniform, and the same selector on uniform draws.
    "uniform-weights": Method(
        settings={
            "distribution": _UNIFORM,
            "optimizer": {"name": "random", "train_supernet": True},
            "training": {"weights_at": "sample"},
        },
        selections=_AUTO,
        is_control=True,
    ),
}


def configure(
    method: Method,
    setting: Setting,
    *,
    seed: int,
    images: Path,
    output: Path,
    selection: str | None = None,
    overrides: Sequence[str] = (),
) -> SearchConfig:
    """Return the configuration of a search at the size of the setting.

    Args:
        method: What searches.
        setting: Size.
        seed: Of everything.
        images: File of the images.
        output: Directory of the run.
        selection: One of the method's selections; None for the argmax.
        overrides: Further settings, such as ``"optimizer.lr=1e-3"``.
    """
    base = _base(method)
    flags: dict[str, Any] = {
        **{"space" if k == "name" else f"space.{k}": v for k, v in setting.space.items()},
        "data": "npz",
        "data.path": str(images),
        "training.epochs": setting.epochs,
        "training.batch_size": setting.batch_size,
        "seed": seed,
        "threads": 1,
        "device": "cpu",
        "output": output,
        "checkpoint.every_steps": 0,
        "selector": "argmax",
        "check_epochs": 0,
    }
    training = base.get("training", {})
    if method.is_scaled:
        flags |= _scaled(base, training, setting)
    if selection is not None:
        flags |= method.selections[selection]
    return load_config(base=base, flags=flags, overrides=overrides)


def _base(method: Method) -> dict[str, Any]:
    settings: Mapping[str, Any] = (
        method.settings
        or default_registry().find("preset", method.preset or "").load_implementation()
    )
    return {key: value for key, value in settings.items() if key != "selector"}


def _scaled(
    base: Mapping[str, Any], training: Mapping[str, Any], setting: Setting
) -> dict[str, Any]:
    """Return a preset's step sizes and schedules for a search of the setting's length."""
    flags: dict[str, Any] = {}
    if "lr" in base["optimizer"]:
        flags["optimizer.lr"] = base["optimizer"]["lr"] * setting.step_factor
    if training.get("batch_size", 64) > setting.batch_size:
        # Linear scaling: the preset's is for its larger batch.
        flags["training.lr"] = training["lr"] * setting.batch_size / training["batch_size"]
    return flags
