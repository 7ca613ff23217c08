"""Training-free proxies of the literature, each a pure function and a plugin.

The functions leave the network as they found it, are deterministic, and give larger scores to
networks that should be better; a network they cannot score gets ``-inf``, never NaN.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from balenas_proxy_zerocost._az_nas import (
        az_expressivity as az_expressivity,
        az_progressivity as az_progressivity,
        az_trainability as az_trainability,
    )
    from balenas_proxy_zerocost._feature_correlation import (
        feature_correlation as feature_correlation,
    )
    from balenas_proxy_zerocost._features import meco as meco, zen as zen
    from balenas_proxy_zerocost._fisher import fisher as fisher
    from balenas_proxy_zerocost._flow import logsynflow as logsynflow
    from balenas_proxy_zerocost._gradients import (
        grad_norm as grad_norm,
        plain as plain,
        snip as snip,
    )
    from balenas_proxy_zerocost._grasp import grasp as grasp
    from balenas_proxy_zerocost._jacobian import epe_nas as epe_nas, jacov as jacov
    from balenas_proxy_zerocost._ntk import ntk as ntk
    from balenas_proxy_zerocost._patterns import linear_regions as linear_regions, swap as swap
    from balenas_proxy_zerocost._size import flops as flops, l2_norm as l2_norm, params as params
    from balenas_proxy_zerocost._zico import zico as zico

_MODULE_OF = {
    "az_expressivity": "_az_nas",
    "az_progressivity": "_az_nas",
    "az_trainability": "_az_nas",
    "epe_nas": "_jacobian",
    "feature_correlation": "_feature_correlation",
    "fisher": "_fisher",
    "flops": "_size",
    "grad_norm": "_gradients",
    "grasp": "_grasp",
    "jacov": "_jacobian",
    "l2_norm": "_size",
    "linear_regions": "_patterns",
    "logsynflow": "_flow",
    "meco": "_features",
    "ntk": "_ntk",
    "params": "_size",
    "plain": "_gradients",
    "snip": "_gradients",
    "swap": "_patterns",
    "zen": "_features",
    "zico": "_zico",
}

__all__ = sorted(_MODULE_OF)  # noqa: PLE0605


def __getattr__(name: str) -> Any:
    if name in _MODULE_OF:
        module = importlib.import_module(f"{__name__}.{_MODULE_OF[name]}")
        return getattr(module, name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
