"""Scoring one network by several proxies: passes are shared, and no failure ends it."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from torch import nn

from balenas_core.errors import is_out_of_memory
from balenas_core.interfaces.proxy import Batch, Proxy
from balenas_core.plugins.foreign import foreign_code
from balenas_core.random import seeded
from balenas_core.scores.network_pass import PassProxy, score_many
from balenas_core.scores.probing import preserved


@dataclass(frozen=True, slots=True)
class ProxyScores:
    """What every proxy gives a network.

    Args:
        scores: Score by proxy; ``-inf`` for one that raised or returned NaN.
        errors: What those raised that raised.
    """

    scores: Mapping[str, float]
    errors: Mapping[str, Exception]


def score_network(
    network: nn.Module, batch: Batch, proxies: Mapping[str, Proxy], *, seed: int
) -> ProxyScores:
    """Score a network by several proxies.

    Those that look at the same forward and backward pass share it; each score is the one that
    the proxy gives alone. Where a shared pass raises, its proxies are scored one by one, so that
    only those fail that cannot be computed.

    Args:
        network: The network, untouched afterwards.
        batch: Images and labels.
        proxies: Proxy by name.
        seed: Seed of torch's global generators for every proxy, for those that draw from them.
    """
    shared = [name for name, proxy in proxies.items() if isinstance(proxy, PassProxy)]
    groups = [shared] if len(shared) > 1 else [[name] for name in shared]
    groups += [[name] for name in proxies if name not in shared]
    found: dict[str, float] = {}
    errors: dict[str, Exception] = {}
    while groups:
        names = groups.pop()
        try:
            found |= _scores(network, batch, proxies, names, seed)
        except Exception as error:  # one proxy must not end a search of hours
            # How much memory there is says nothing of the network.
            if is_out_of_memory(error):
                raise
            if len(names) > 1:
                groups += [[name] for name in names]
            else:
                errors[names[0]] = error
    return ProxyScores({name: _comparable(found.get(name)) for name in proxies}, errors)


def _scores(
    network: nn.Module,
    batch: Batch,
    proxies: Mapping[str, Proxy],
    names: Sequence[str],
    seed: int,
) -> dict[str, float]:
    who = " and ".join(f"proxy {name!r}" for name in names)
    chosen = {name: proxies[name] for name in names}
    with foreign_code(who, "while it scored a network", draws=True), seeded(seed):
        if all(map(_is_ours, chosen.values())):
            return score_many(network, batch, chosen)
        # Whoever comes next gets the network and the batch as they were.
        own = Batch(batch.images.clone(), batch.labels.clone())
        with preserved(network, seed=seed):
            return score_many(network, own, chosen)


def _is_ours(proxy: Proxy) -> bool:
    """Whether a proxy is one that the conformance kit holds to leave networks as they are."""
    return type(proxy).__module__.partition(".")[0].startswith("balenas_")


def _comparable(score: float | None) -> float:
    return -math.inf if score is None or math.isnan(score) else float(score)
