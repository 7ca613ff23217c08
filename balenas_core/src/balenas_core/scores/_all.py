"""Many architectures scored, by the workers of an executor."""

from __future__ import annotations

import itertools
import math
from collections.abc import Iterable, Iterator, Sequence
from typing import Any

from balenas_core.execution import LocalExecutor, Outcome, in_order, open_workers
from balenas_core.interfaces.architecture import Architecture
from balenas_core.interfaces.executor import Executor, Workers
from balenas_core.interfaces.space import Supernet
from balenas_core.plugins.options import ExecutorOptions, WorkerOptions
from balenas_core.scores._job import ScoredRow, Scores, ScoringJob

_PER_TASK = 4
"""Architectures that one of several workers gets at once: most are scored within milliseconds."""

_AHEAD = 64
"""Architectures a worker that are looked at together, to find those that compute the same."""

_AHEAD_OF_ONE = 4
"""As many for each that is wanted at once."""


def score_all(
    job: ScoringJob,
    architectures: Iterable[Architecture],
    *,
    executor: Executor | None = None,
    dedupe: bool = False,
    known: dict[str, dict[str, float]] | None = None,
) -> Iterator[ScoredRow]:
    """Yield the scores of architectures, in their order.

    The scores do not depend on the executor, its workers, or on what else is scored. Memory is
    bounded by a few networks a worker and by the scores. An architecture that cannot be scored,
    or ends its worker, after as many tries as the executor's options say, scores ``-inf``.

    Args:
        job: How to score.
        architectures: What to score; read as the work goes on.
        executor: Where; this process by default.
        dedupe: Whether to score each architecture in its simplest form, and each form once.
        known: Scores by simplest form that need not be computed again; grows.

    Raises:
        UsageError: Networks cannot run together as the job asks.
        BalenasError: There are no workers to be had.
    """
    executor = executor or LocalExecutor(ExecutorOptions())
    forms = _with_forms(job, architectures, dedupe)
    done = known if known is not None else {}
    errors: dict[str, dict[str, str]] = {}
    with open_workers(executor, _Scorer(job), size=len) as workers:
        parts = _Parts(job, workers, executor.options)
        for chunk in _chunks(forms, max(_AHEAD, _AHEAD_OF_ONE * job.together) * workers.count):
            if not dedupe:
                done, errors = {}, {}
            new = {str(form): form for _, form in chunk if str(form) not in done}
            results = parts.scores(list(new.values()))
            for architecture, form in chunk:
                text = str(form)
                if text not in done:  # then it is the next that was asked for
                    done[text], errors[text] = next(results)
                yield ScoredRow(str(architecture), text, done[text], errors.get(text, {}))


class _Scorer:
    """What a worker does with a part; in each process there is one supernet, if any."""

    def __init__(self, job: ScoringJob) -> None:
        self._job = job
        self._supernet: Supernet | None = None

    def __getstate__(self) -> dict[str, Any]:
        return {"_job": self._job, "_supernet": None}

    def __call__(self, part: Sequence[Architecture]) -> list[Scores]:
        if self._supernet is None:
            self._supernet = self._job.supernet()
        return list(self._job.scores(part, self._supernet))


class _Parts:
    """Scores architectures part by part, and one by one where that fails."""

    def __init__(self, job: ScoringJob, workers: Workers, options: ExecutorOptions) -> None:
        self._job = job
        self._workers = workers
        self._options = options

    def scores(self, forms: Sequence[Architecture]) -> Iterator[Scores]:
        """Yield the scores of architectures, in order."""
        size = max(1 if self._workers.count == 1 else _PER_TASK, self._job.together)
        parts = [forms[start : start + size] for start in range(0, len(forms), size)]
        # The members of a part share its fate once, and then each has its own.
        if size == 1:
            yield from self._one_by_one(forms)
            return
        outcomes = in_order(self._workers, parts, _for_parts(self._options, size))
        for part in parts:
            outcome = next(outcomes)
            if outcome.value is not None:
                yield from outcome.value
            else:
                outcomes = iter(list(outcomes))  # what ends a worker is found by itself only
                yield from self._one_by_one(part)

    def _one_by_one(self, part: Sequence[Architecture]) -> Iterator[Scores]:
        alone = [[architecture] for architecture in part]
        outcome: Outcome[list[Scores]]
        for outcome in in_order(self._workers, alone, self._options):
            if outcome.value is not None:
                yield from outcome.value
            else:
                assert outcome.error is not None
                yield self._failed(outcome.error)

    def _failed(self, error: Exception) -> Scores:
        reason = f"{type(error).__name__}: {error}"
        proxies = self._job.proxies
        return dict.fromkeys(proxies, -math.inf), dict.fromkeys(proxies, reason)


def _for_parts(options: ExecutorOptions, size: int) -> ExecutorOptions:
    limit = options.limit if isinstance(options, WorkerOptions) else None
    longer = {} if limit is None else {"limit": limit * size}
    return options.model_copy(update={"attempts": 1, **longer})


def _with_forms(
    job: ScoringJob, architectures: Iterable[Architecture], dedupe: bool
) -> Iterator[tuple[Architecture, Architecture]]:
    for architecture in architectures:
        yield architecture, job.space.simplified(architecture) if dedupe else architecture


def _chunks(
    items: Iterable[tuple[Architecture, Architecture]], size: int
) -> Iterator[list[tuple[Architecture, Architecture]]]:
    source = iter(items)
    while chunk := list(itertools.islice(source, size)):
        yield chunk
