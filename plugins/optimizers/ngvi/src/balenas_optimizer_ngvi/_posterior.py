"""What can be asked about the posterior: moments of a parameter, sums over all."""

from __future__ import annotations

from collections.abc import Callable, Mapping, MutableMapping, Sequence
from typing import Any, NamedTuple

import torch
from torch import Tensor

from balenas_optimizer_ngvi import _formulas
from balenas_optimizer_ngvi._bucket import Bucket
from balenas_optimizer_ngvi._buckets import Buckets
from balenas_optimizer_ngvi._layout import shaped_like
from balenas_optimizer_ngvi._options import effective_size
from balenas_optimizer_ngvi.errors import OptionError


class Posterior(NamedTuple):
    """Mean and standard deviation of a parameter, each of its shape."""

    mean: Tensor
    sigma: Tensor


class Reading:
    """The posterior of now, whether the parameters hold their means or a draw.

    Args:
        groups: Parameter groups of the optimizer.
        buckets: Their buckets.
        state: The optimizer's state.
    """

    def __init__(
        self,
        groups: Sequence[dict[str, Any]],
        buckets: Buckets,
        state: MutableMapping[Tensor, dict[str, Any]],
    ) -> None:
        self._state = state
        self._is_sampled = buckets.is_sampled
        # During a draw the buckets hold the means, so they must not be made anew.
        of_groups = buckets.by_group() if buckets.is_sampled else buckets.current(groups, state)
        self._items = list(zip(groups, of_groups, strict=True))

    def of(self, parameter: Tensor) -> Posterior:
        """Return copies of a parameter's mean and standard deviation.

        Raises:
            OptionError: No group has this parameter, or it is frozen.
        """
        for group, buckets in self._items:
            for bucket in buckets:
                for index, own in enumerate(bucket.parameters):
                    if own is parameter:
                        return self._of(group, bucket, index)
        raise OptionError(
            f"not a trained parameter of this optimizer; got {parameter.shape=}. Pass one of "
            "those it was made with"
        )

    def _of(self, group: Mapping[str, Any], bucket: Bucket, index: int) -> Posterior:
        parameter = bucket.parameters[index]
        if not self._is_sampled:
            mean = parameter.detach().clone()
        else:
            mean = shaped_like(bucket.mean, bucket.offsets[index], parameter).clone()
        hess = self._state[parameter]["hess"]
        ess = effective_size(group, group["step"])
        return Posterior(mean, _formulas.sigma(hess, ess=ess, prior=group["prior_precision"]))

    def entropy(self) -> Tensor:
        """Return the differential entropy, a scalar in nats."""
        return self._total(
            lambda mean, hess, ess, prior: _formulas.entropy(hess, ess=ess, prior=prior)
        )

    def kl(self) -> Tensor:
        """Return KL(posterior || prior), a scalar in nats."""
        return self._total(
            lambda mean, hess, ess, prior: _formulas.kl(mean, hess, ess=ess, prior=prior)
        )

    def _total(self, term: Callable[[Tensor, Tensor, float, float], Tensor]) -> Tensor:
        terms: list[Tensor] = []
        for group, buckets in self._items:
            ess, prior = effective_size(group, group["step"]), group["prior_precision"]
            for bucket in buckets:
                means = bucket.means if self._is_sampled else bucket.linear
                hessians = bucket.views(bucket.hess)
                terms += [term(m, h, ess, prior) for m, h in zip(means, hessians, strict=True)]
        if not terms:
            return torch.zeros((), dtype=torch.float64)
        # Summed in double: a network has millions of terms of one sign.
        return torch.stack([t.to(terms[0].device, torch.float64) for t in terms]).sum()
