"""One update of all parameters, refused before anything is written where it must be."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor
from torch.distributed import ProcessGroup

from balenas_optimizer_ngvi import _sync
from balenas_optimizer_ngvi._bucket import Bucket
from balenas_optimizer_ngvi._gradients import (
    check_gradients,
    gradient_of,
    not_finite,
    with_gradient,
)
from balenas_optimizer_ngvi._options import step_options
from balenas_optimizer_ngvi._samples import Samples


def update(
    groups: Sequence[dict[str, Any]],
    of_groups: Sequence[Sequence[Bucket]],
    variant: str,
    *,
    samples: Samples | None,
    scale: Tensor | None,
    is_synchronised: bool,
    process_group: ProcessGroup | None,
) -> None:
    """Make one step of every group that has gradients.

    Args:
        groups: Parameter groups; their step counters go on.
        of_groups: The buckets of each.
        variant: Name of the update rule.
        samples: The draws whose means were collected; None where one draw's gradients are all.
        scale: What a gradient scaler has multiplied the gradients with.
        is_synchronised: Whether to average over processes.
        process_group: Which ones; None for all.

    Raises:
        NonFiniteGradientError: A gradient has NaN or infinity; nothing was written.
        OptionError: A gradient is sparse or complex, or a schedule left its range.
    """
    work: list[tuple[dict[str, Any], list[tuple[Bucket, list[int], list[Tensor]]]]] = []
    for group, buckets in zip(groups, of_groups, strict=True):
        items: list[tuple[Bucket, list[int], list[Tensor]]] = []
        for bucket in buckets:
            active, gradients = _prepare(bucket, samples, scale)
            if is_synchronised:
                active = _sync.average_(bucket, active, process_group)
                gradients = bucket.gradients(active)
            if active:
                items.append((bucket, active, gradients))
        work.append((group, items))
    # Nothing is written before all gradients are known to be finite.
    for group, items in work:
        for bucket, active, gradients in items:
            if not bucket.all_finite(gradients):
                raise not_finite(groups, group, bucket, active, gradients)
    options = [step_options(group, variant) if items else None for group, items in work]
    for (group, items), option in zip(work, options, strict=True):
        if option is None:
            continue
        for bucket, active, gradients in items:
            bucket.update(active, gradients, option, given=samples is not None)
        group["step"] += 1


def _prepare(
    bucket: Bucket, samples: Samples | None, scale: Tensor | None
) -> tuple[list[int], list[Tensor]]:
    """Return the parameters to move and their gradients, unscaled."""
    active = with_gradient(bucket)
    if samples is not None:
        active = samples.touched(bucket, active)
    check_gradients(bucket, active)
    gradients = bucket.gradients(active)
    if scale is not None and active:
        raw = [gradient_of(bucket.parameters[i]) for i in active]
        torch._foreach_div_(raw, scale.to(raw[0].device))
        gradients = bucket.gradients(active)
    if samples is not None:
        bucket.follow_rescaling(active)
    return active, gradients
