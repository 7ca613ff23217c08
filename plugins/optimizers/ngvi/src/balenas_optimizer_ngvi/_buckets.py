"""The buckets of all parameter groups, which hold the means or a draw from the posterior."""

from __future__ import annotations

from collections.abc import Iterator, MutableMapping, Sequence
from typing import Any

import torch
from torch import Tensor

from balenas_optimizer_ngvi._bucket import Bucket
from balenas_optimizer_ngvi._noise import NoiseSource
from balenas_optimizer_ngvi._options import effective_size
from balenas_optimizer_ngvi.errors import OptionError

Groups = Sequence[dict[str, Any]]
State = MutableMapping[Tensor, dict[str, Any]]


class Buckets:
    """The buckets of every group, made anew where parameters or state were replaced.

    Args:
        variant: Name of the update rule.
        backend: ``"auto"``, ``"native"`` or ``"torch"``.
        keeps_noise: Whether draws are followed by antithetic partners.
    """

    def __init__(self, *, variant: str, backend: str, keeps_noise: bool) -> None:
        self._variant, self._backend, self._keeps_noise = variant, backend, keeps_noise
        self._of_groups: list[list[Bucket]] = []
        self.is_sampled = False
        """Whether the parameters hold a draw, and the buckets their means."""

    def __iter__(self) -> Iterator[Bucket]:
        for buckets in self._of_groups:
            yield from buckets

    def by_group(self) -> list[list[Bucket]]:
        """Return the buckets of each group as the last draw has left them."""
        return self._of_groups

    def forget(self) -> None:
        """Have all buckets made anew."""
        self._of_groups = []

    def current(self, groups: Groups, state: State) -> list[list[Bucket]]:
        """Return the buckets of each group, for its parameters and state of now.

        Raises:
            OptionError: Native code was asked for and does not serve the parameters.
        """
        if len(self._of_groups) != len(groups):
            self._of_groups = [[] for _ in groups]
        for index, group in enumerate(groups):
            parameters = [p for p in group["params"] if p.requires_grad]
            kept = self._of_groups[index]
            if len(kept) == 1 and kept[0].holds(parameters, state):
                continue
            if len(kept) < 2 or not all(
                bucket.holds(listed, state)
                for bucket, listed in zip(kept, _by_kind(parameters), strict=False)
            ):
                self._of_groups[index] = self._made(group, parameters, state)
        return self._of_groups

    def _made(self, group: dict[str, Any], parameters: list[Tensor], state: State) -> list[Bucket]:
        buckets = [
            Bucket(
                listed,
                state,
                variant=self._variant,
                start=group["curvature_start"],
                use_native=self._backend != "torch",
                keeps_noise=self._keeps_noise,
            )
            for listed in _by_kind(parameters)
        ]
        if self._backend == "native" and not all(bucket.is_native for bucket in buckets):
            raise OptionError(
                "`backend='native'`, but no native operators serve these parameters. See "
                "native_status(), or type backend='auto'"
            )
        return buckets

    def sample(
        self, groups: Groups, state: State, noise: NoiseSource, *, keep: bool, negate: bool
    ) -> None:
        """Write one draw from the posterior into all parameters and keep their means.

        Args:
            groups: The optimizer's parameter groups.
            state: Its state.
            noise: Where the noise comes from.
            keep: Whether the noise is kept for an update or for an antithetic draw.
            negate: Use the kept noise of the draw before, negated.

        Raises:
            OptionError: A schedule left its range; every parameter still holds its mean.
        """
        of_groups = self.current(groups, state)
        # A schedule may refuse; no parameter must hold a draw by then.
        widths = [(effective_size(g, g["step"]), g["prior_precision"]) for g in groups]
        self.is_sampled = True
        for (ess, prior), buckets in zip(widths, of_groups, strict=True):
            for bucket in buckets:
                bucket.sample(noise, ess=ess, prior=prior, keep=keep, negate=negate)

    def restore(self) -> None:
        """Write the means back into the parameters."""
        for buckets in self._of_groups:
            for bucket in buckets:
                bucket.restore()
        self.is_sampled = False


def _by_kind(parameters: list[Tensor]) -> list[list[Tensor]]:
    """Split parameters by device and dtype, keeping their order."""
    kinds: dict[tuple[torch.device, torch.dtype], list[Tensor]] = {}
    for parameter in parameters:
        kinds.setdefault((parameter.device, parameter.dtype), []).append(parameter)
    return list(kinds.values())
