"""What a plugin declares about itself, without importing what it implements."""

from __future__ import annotations

import importlib
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from balenas_core.plugins.options import PluginOptions

API_VERSION = 1
"""Version of the plugin interface. It changes when an existing plugin would break."""

OLDEST_API_VERSION = 1
"""The oldest version that still works. It lags ``API_VERSION`` for at least one minor release of
balenas-core, in which older plugins run and are warned of."""

GROUPS: Mapping[str, str] = {
    "space": "balenas.search_spaces",
    "distribution": "balenas.distributions",
    "optimizer": "balenas.optimizers",
    "selector": "balenas.selectors",
    "proxy": "balenas.proxies",
    "dataset": "balenas.datasets",
    "tracker": "balenas.trackers",
    "executor": "balenas.executors",
    "preset": "balenas.presets",
    "recipe": "balenas.recipes",
    "format": "balenas.formats",
}
"""Plugin kind -> the entry-point group it is found in."""

HOOKS_GROUP = "balenas.hooks"

BASES: Mapping[str, str] = {
    "space": "balenas_core.interfaces.space:SearchSpace",
    "distribution": "balenas_core.interfaces.distribution:ArchitectureDistribution",
    "optimizer": "balenas_core.interfaces.optimizer:ArchitectureOptimizer",
    "selector": "balenas_core.interfaces.selection:Selector",
    "proxy": "balenas_core.interfaces.proxy:Proxy",
    "dataset": "balenas_core.interfaces.dataset:ImageDataset",
    "tracker": "balenas_core.interfaces.tracker:Tracker",
    "executor": "balenas_core.interfaces.executor:Executor",
}
"""Plugin kind -> what its implementation makes. Names, since the classes need torch."""

VALUES: Mapping[str, str] = {
    "preset": "collections.abc:Mapping",
    "recipe": "collections.abc:Mapping",
    "format": "balenas_core.interfaces.format:Format",
}
"""Plugin kind -> what its implementation is, for kinds that are not called."""

CONTEXT: Mapping[str, tuple[str, ...]] = {
    "distribution": ("decisions", "generator"),
    "optimizer": ("distribution", "dataset_size", "generator"),
}
"""Plugin kind -> arguments by name with which its implementation is called beside its options."""

CAPABILITIES: Mapping[str, Mapping[str, str]] = {
    "space": {
        "supernet": "its supernet can be trained",
        "benchmark": "it has a table of real results",
    },
    "distribution": {
        "gaussian": "a Gaussian over logits, with parameters mean and log_sigma",
        "categorical": "its draws are discrete and have a probability",
        "logits": "it has a parameter of logits for every decision",
        "gumbel": "a categorical that is relaxed by Gumbel noise, with parameters logits",
        "dirichlet": "a Dirichlet over the shares of the choices",
    },
    "selector": {"stage": "it ranks a given pool, so that it can be a stage of several"},
}
"""Plugin kind -> capability that its plugins can provide -> what that means."""

CLAIMS: Mapping[tuple[str, str], str] = {
    ("distribution", "gaussian"): "balenas_core.distributions:GaussianDistribution",
    ("distribution", "categorical"): "balenas_core.interfaces.distribution:DiscreteDistribution",
    ("selector", "stage"): "balenas_core.selectors:PoolSelector",
}
"""Kind and capability -> the class that whoever provides it derives from."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Plugin:
    """What a plugin's entry point resolves to.

    The module that holds it must be light: no torch, no work at import. The name of the
    plugin is the name of its entry point.

    Args:
        kind: One of ``GROUPS``.
        summary: One line for ``balenas plugins list``.
        api_version: ``API_VERSION`` the plugin was written against, as a literal number; or the
            first and the last one that it works with, such as ``(1, 2)``.
        implementation: ``"package.module:attribute"`` of a callable that takes the
            validated options first, if the plugin has any; of a kind in ``VALUES``, of the value
            itself. It stays a string, so that listing and validating never import torch;
            components made at run time may give the object itself.
        options: Pydantic model of the plugin's section of a configuration; None for no
            options.
        provides: Capabilities that others can ask for, such as ``("gaussian",)``.
        needs: Kind -> capabilities that the partner of that kind must provide, such as
            ``{"distribution": ("gaussian",)}``.
        defaults: Kind -> name of the partner to take when the user names none.
        recommends: Kind -> name of the partner to take when the user asks for ``auto``, or its
            section, with options that hold where the user gives no others. A space recommends a
            selector: which proxies rank well differs from space to space. Where its first stage
            is not proxies joined by "+", it may name such under ``proxy``.
        status: ``"package.module:function"`` of a function without arguments that says how the
            plugin runs here, such as which compiled kernels it found: one line of text, or a
            mapping of text to text. Shown by ``balenas plugins info`` and ``balenas doctor``.

    Example:
        >>> plugin = Plugin(
        ...     kind="proxy",
        ...     summary="number of parameters",
        ...     api_version=1,
        ...     implementation="acme_params.proxy:Params",
        ... )
        >>> plugin.kind
        'proxy'
    """

    kind: str
    summary: str
    api_version: int | tuple[int, int]
    implementation: str | Any
    options: type[PluginOptions] | None = None
    provides: tuple[str, ...] = ()
    needs: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    defaults: Mapping[str, str] = field(default_factory=dict)
    recommends: Mapping[str, str | Mapping[str, Any]] = field(default_factory=dict)
    status: str | None = None

    def load_implementation(self) -> Any:
        """Import and return what ``implementation`` names.

        Raises:
            ImportError: The module cannot be imported.
            AttributeError: The module has no such attribute.
        """
        if not isinstance(self.implementation, str):
            return self.implementation
        return resolve(self.implementation)

    def load_status(self) -> dict[str, str]:
        """Call ``status`` and return what it says; one line of text has the key ``""``.

        Raises:
            Exception: Whatever importing or calling it raises.
            TypeError: It returned neither text nor a mapping.
        """
        if self.status is None:
            return {}
        answer = resolve(self.status)()
        if isinstance(answer, str):
            return {"": answer}
        if isinstance(answer, Mapping):
            return {str(key): str(value) for key, value in answer.items()}
        raise TypeError(f"{self.status} must return text or a mapping; got {answer!r}")


def resolve(target: str) -> Any:
    """Import and return what ``"package.module:attribute"`` names."""
    module, _, attribute = target.partition(":")
    return getattr(importlib.import_module(module), attribute)
