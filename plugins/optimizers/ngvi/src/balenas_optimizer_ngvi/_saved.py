"""What a saved state must have to be loaded."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from balenas_optimizer_ngvi.errors import StateError


def without_schedules(group: Mapping[str, Any]) -> dict[str, Any]:
    """Return a saved group with None in place of callables, which are configuration."""
    return {key: None if callable(value) else value for key, value in group.items()}


def check_saved(
    saved: Mapping[str, Any], groups: Sequence[Mapping[str, Any]], variant: str
) -> None:
    """Refuse the state of another optimizer before anything is changed.

    Args:
        saved: What ``NGVI.state_dict`` returned.
        groups: Parameter groups of the optimizer that loads.
        variant: Its variant.

    Raises:
        StateError: Other optimizer, variant, number of parameters, or shapes.
    """
    if "ngvi" not in saved:
        raise StateError(
            f"not a state of NGVI; got the keys {sorted(saved)}. Pass what NGVI.state_dict() gave"
        )
    if saved["ngvi"]["variant"] != variant:
        raise StateError(
            f"the state belongs to variant={saved['ngvi']['variant']!r}, this optimizer has "
            f"variant={variant!r}. Make it with variant={saved['ngvi']['variant']!r} to load it"
        )
    sizes = [len(group["params"]) for group in groups]
    saved_sizes = [len(group["params"]) for group in saved["param_groups"]]
    if sizes != saved_sizes:
        raise StateError(
            f"the state has groups of {saved_sizes} parameters, this optimizer of {sizes}. Make it "
            "with the same groups to load it"
        )
    for group, saved_group in zip(groups, saved["param_groups"], strict=True):
        for parameter, key in zip(group["params"], saved_group["params"], strict=True):
            for name, value in saved["state"].get(key, {}).items():
                if value.shape != parameter.shape:
                    raise StateError(
                        f"`{name}` of parameter {key} has shape {tuple(value.shape)} in the state, "
                        f"the parameter has {tuple(parameter.shape)}. Load it into the same network"
                    )
