"""A search from configuration to result."""

from __future__ import annotations

import logging
from collections.abc import Iterator, Sequence
from contextlib import contextmanager

import torch

from balenas_core import environment
from balenas_core._bilevel import Precision
from balenas_core._components import DTYPES, build_components
from balenas_core._session import Session
from balenas_core.config import SearchConfig, to_yaml
from balenas_core.errors import UsageError
from balenas_core.events import (
    ArchitectureSelected,
    EpochEnded,
    Event,
    Listener,
    RunFinished,
    SearchFailed,
    SearchStarted,
)
from balenas_core.hooks import Hooks
from balenas_core.random import derive_seed, seeded
from balenas_core.registry import Registry, default_registry
from balenas_core.result import SearchResult
from balenas_core.run import RunDirectory, check_is_free
from balenas_core.tracker import Tracker

_log = logging.getLogger(__name__)

_HOOK_OF: dict[type, str] = {
    SearchStarted: "balenas_search_started",
    EpochEnded: "balenas_epoch_ended",
    ArchitectureSelected: "balenas_architecture_selected",
    SearchFailed: "balenas_search_failed",
    RunFinished: "balenas_run_finished",
}


class Search:
    """Learns a distribution over architectures and selects one from it.

    Args:
        config: What to search, and how.
        registry: Where plugins are looked up; the process's own by default.
        listeners: Called with every event, in order; an exception in one ends the search.

    Example:
        >>> from balenas_core import Search, SearchConfig  # doctest: +SKIP
        >>> config = SearchConfig(space="nb201", optimizer="ngvi", selector="naswot")
        >>> result = Search(config).run()
        >>> print(result.architecture)
        |nor_conv_3x3~0|+|nor_conv_3x3~0|skip_connect~1|+...
    """

    def __init__(
        self,
        config: SearchConfig,
        *,
        registry: Registry | None = None,
        listeners: Sequence[Listener] = (),
    ) -> None:
        self.config = config
        self._registry = registry or default_registry()
        self._listeners = list(listeners)

    def run(self) -> SearchResult:
        """Run the search.

        Returns:
            The ranked candidates, metrics and timings.

        Raises:
            UsageError: The configuration asks for something that cannot be done.
            DivergenceError: A loss became non-finite; the run directory keeps the last
                checkpoint.
            OutputError: The run directory cannot be written.
        """
        config = self.config
        precision = Precision(_device(config.device), DTYPES[config.precision])
        if config.output is not None:
            check_is_free(config.output)
        with _threads(config.threads), seeded(derive_seed(config.seed, "global")):
            components = build_components(config, self._registry)
            session = Session(config, components, precision)
            run = _open_run(config, precision)
            emit = _Emitter(self._listeners, components.trackers, self._registry.hooks)
            try:
                return session.run(run, emit)
            except BaseException as error:
                emit(SearchFailed(error))
                raise
            finally:
                session.close()


class _Emitter:
    """Sends events to listeners, trackers and hook plugins; drops trackers that raise."""

    def __init__(
        self, listeners: Sequence[Listener], trackers: dict[str, Tracker], hooks: Hooks
    ) -> None:
        self._listeners = listeners
        self._trackers = dict(trackers)
        self._hooks = hooks

    def __call__(self, event: Event) -> None:
        for listener in self._listeners:
            listener(event)
        for name, tracker in list(self._trackers.items()):
            try:
                tracker.handle(event)
            except Exception as error:
                del self._trackers[name]
                _log.warning("tracker %r failed and is switched off: %s", name, error)
        hook = _HOOK_OF.get(type(event))
        if hook is not None:
            self._hooks.call(hook, event=event)


def _open_run(config: SearchConfig, precision: Precision) -> RunDirectory | None:
    if config.output is None:
        return None
    return RunDirectory.create(
        config.output,
        config_yaml=to_yaml(config),
        environment=environment.describe(str(precision.device), torch.get_num_threads()),
    )


def _device(name: str) -> torch.device:
    if name == "auto":
        return torch.device("cuda" if torch.cuda.is_available() else "cpu")
    device = torch.device(name)
    available = {
        "cpu": True,
        "cuda": torch.cuda.is_available() and (device.index or 0) < torch.cuda.device_count(),
        "mps": torch.backends.mps.is_available(),
    }
    if not available.get(device.type, False):
        raise UsageError(
            f"device {name!r} is not available here; use --device auto or --device cpu. "
            f"'balenas doctor' shows what torch {torch.__version__} can use."
        )
    return device


@contextmanager
def _threads(count: int | None) -> Iterator[None]:
    before = torch.get_num_threads()
    if count is not None:
        torch.set_num_threads(count)
    try:
        yield
    finally:
        torch.set_num_threads(before)
