"""Selections that combine proxies as their papers do."""

from __future__ import annotations

from typing import TypeVar

from balenas_core.plugins.options import PluginOptions
from balenas_core.selectors import RankingSelector
from balenas_proxy_zerocost._az_nas import AzExpressivity, AzProgressivity, AzTrainability
from balenas_proxy_zerocost._ntk import Ntk
from balenas_proxy_zerocost._patterns import LinearRegions
from balenas_proxy_zerocost._size import Flops
from balenas_proxy_zerocost.options import (
    AzNasOptions,
    AzNasSelectorOptions,
    LinearRegionsOptions,
    NtkOptions,
    TeNasSelectorOptions,
)

_Options = TypeVar("_Options", bound=PluginOptions)


def az_nas(options: AzNasSelectorOptions) -> RankingSelector:
    """Rank candidates by the sum of their log ranks under four proxies.

    References:
        Lee and Ham, 2024, AZ-NAS, "non-linear ranking aggregation". Deviation: the candidates
        are draws from the learned distribution, where the paper evolves them.
    """
    own = _part(AzNasOptions, options)
    proxies = {
        "az_expressivity": AzExpressivity(own),
        "az_progressivity": AzProgressivity(own),
        "az_trainability": AzTrainability(own),
        "flops": Flops(),
    }
    return RankingSelector(proxies, options, aggregate="log_rank")


def te_nas(options: TeNasSelectorOptions) -> RankingSelector:
    """Rank candidates by the mean of their ranks under ``ntk`` and ``linear_regions``.

    The regions say nothing where all networks have as many as there are ``samples``.

    References:
        Chen, Gong, Wang, 2021, TE-NAS, algorithm 1: the sum of both ranks. Deviation: it ranks
        whole candidates, where the paper prunes the operations of a supernet.
    """
    proxies = {
        "ntk": Ntk(_part(NtkOptions, options)),
        "linear_regions": LinearRegions(_part(LinearRegionsOptions, options)),
    }
    return RankingSelector(proxies, options)


def _part(kind: type[_Options], options: PluginOptions) -> _Options:
    """Return those options that are of a kind."""
    return kind.model_validate(options.model_dump(include=set(kind.model_fields)))
