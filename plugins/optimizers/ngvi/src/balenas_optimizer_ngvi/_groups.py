"""A parameter group before it joins the optimizer, checked and with its options filled in."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor

from balenas_optimizer_ngvi._options import check_group, initial_curvature
from balenas_optimizer_ngvi.errors import OptionError


def completed(
    group: Mapping[str, Any], defaults: Mapping[str, Any], variant: str
) -> dict[str, Any]:
    """Return a group with what belongs to NGVI alone: first curvature, step 0, its betas.

    Args:
        group: The group as it was given.
        defaults: The optimizer's options, for what the group has none of its own.
        variant: The optimizer's update rule.

    Raises:
        OptionError: An option is out of range, or a parameter has a wrong kind.
    """
    group = dict(group)
    listed = group["params"]
    if not isinstance(listed, Tensor | set):
        group["params"] = listed = list(listed)
        if not listed:
            raise OptionError("no parameters in a group; got an empty list")
    merged = {**defaults, **group}
    # One of the two replaces the other's default.
    if "hess_init" in group or "initial_sigma" in group:
        merged |= {k: group.get(k) for k in ("hess_init", "initial_sigma")}
    check_group(merged, variant)
    group["curvature_start"] = initial_curvature(merged, variant)
    group["betas"] = tuple(merged["betas"])
    group["hess_init"], group["initial_sigma"] = merged["hess_init"], merged["initial_sigma"]
    group["step"] = 0
    for item in [listed] if isinstance(listed, Tensor) else listed:
        _check_parameter(item[1] if isinstance(item, tuple) else item)
    return group


def _check_parameter(parameter: object) -> None:
    if isinstance(parameter, Tensor) and parameter.dtype not in (torch.float32, torch.float64):
        raise OptionError(
            f"parameters must be float32 or float64; got {parameter.dtype} of shape "
            f"{tuple(parameter.shape)}. Keep float32 parameters and use torch.autocast; split a "
            "complex one with torch.view_as_real"
        )
