"""Many architectures scored, one after the other or in parallel."""

from __future__ import annotations

import importlib
import itertools
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures.process import BrokenProcessPool
from contextlib import nullcontext
from typing import Any

import torch

from balenas_core.errors import BalenasError, UsageError
from balenas_core.interfaces.architecture import Architecture
from balenas_core.scores._job import ScoredRow, Scores, ScoringJob

_PER_TASK = 4
"""Architectures in one task of another process: the batch is sent along with each task."""

_AHEAD = 64
"""Architectures a job that are looked at together, to find those that compute the same."""

_AHEAD_OF_ONE = 4
"""As many for each that is wanted at once."""


def score_all(
    job: ScoringJob,
    architectures: Iterable[Architecture],
    *,
    jobs: int = 1,
    backend: str | None = None,
    dedupe: bool = False,
    known: dict[str, dict[str, float]] | None = None,
) -> Iterator[ScoredRow]:
    """Yield the scores of architectures, in their order.

    The scores do not depend on ``jobs``, on ``backend`` or on what else is scored. Memory is
    bounded by a few networks a job and by the scores.

    Args:
        job: How to score.
        architectures: What to score; read as the work goes on.
        jobs: How many to score at once.
        backend: Back end of joblib: ``loky`` (processes), ``threading``, or one that was
            registered; None for that of ``joblib.parallel_config``, and loky without one. In
            threads, networks are built before any is scored, since torch's layers draw from one
            generator of the process; proxies that draw from it, too, are not repeatable there.
        dedupe: Whether to score each architecture in its simplest form, and each form once.
        known: Scores by simplest form that need not be computed again; grows.

    Raises:
        UsageError: ``jobs`` is more than one without joblib, the back end does not exist, or
            networks cannot run together as the job asks.
        BalenasError: A process that scored was killed.
    """
    forms = _with_forms(job, architectures, dedupe)
    done = known if known is not None else {}
    errors: dict[str, dict[str, str]] = {}
    run = _runner(job, jobs, backend)
    for part in _chunks(forms, max(_AHEAD, _AHEAD_OF_ONE * job.together) * jobs):
        if not dedupe:
            done, errors = {}, {}
        new = {str(form): form for _, form in part if str(form) not in done}
        results = run(list(new.values()))
        for architecture, form in part:
            text = str(form)
            if text not in done:  # then it is the next that was asked for
                done[text], errors[text] = next(results)
            yield ScoredRow(str(architecture), text, done[text], errors.get(text, {}))


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


def _runner(
    job: ScoringJob, jobs: int, backend: str | None
) -> Callable[[list[Architecture]], Iterator[Scores]]:
    """Return what scores architectures in order, some ahead of what was taken."""
    if jobs == 1:
        return job.scores
    joblib = _require_joblib()
    parallel = _parallel(joblib, jobs, backend)

    if backend == "threading" and job.together > 1:
        raise UsageError(
            f"{job.together} networks run together in one job or in processes (loky), not in "
            f"threads; choose another back end, or leave it at 1."
        )

    def in_threads(forms: list[Architecture]) -> Iterator[Scores]:
        source = job.networks(forms)
        # As many as jobs are built before any is scored, and scored before others are built.
        while networks := list(itertools.islice(source, jobs)):
            yield from list(parallel(joblib.delayed(job.score)(network) for network in networks))

    def in_processes(forms: list[Architecture]) -> Iterator[Scores]:
        size = max(_PER_TASK, job.together)
        parts = [forms[start : start + size] for start in range(0, len(forms), size)]
        try:
            for scored in parallel(joblib.delayed(_score_part)(job, part) for part in parts):
                yield from scored
        except BrokenProcessPool as error:
            raise BalenasError(
                "a process that scored was killed, most likely for want of memory; use fewer jobs, "
                "or smaller batches or networks."
            ) from error

    return in_threads if backend == "threading" else in_processes


def _score_part(job: ScoringJob, part: list[Architecture]) -> list[Scores]:
    torch.set_num_threads(1)  # the jobs share the machine's cores
    return list(job.scores(part))


def check_backend(backend: str) -> None:
    """Raise where there is no such back end, also for one job, which needs none.

    Raises:
        UsageError: joblib has no such back end, or is not installed.
    """
    _parallel(_require_joblib(), 1, backend)


def _require_joblib() -> Any:
    try:
        return importlib.import_module("joblib")
    except ImportError as error:
        raise UsageError(
            f"scoring by several jobs needs joblib, which cannot be imported ({error}). Install "
            f"it with: pip install 'balenas-core[parallel]', or set the jobs to 1."
        ) from error


def _parallel(joblib: Any, jobs: int, backend: str | None) -> Any:
    try:
        with nullcontext() if backend is None else joblib.parallel_config(backend=backend):
            return joblib.Parallel(n_jobs=jobs, return_as="generator")
    except (ValueError, ImportError) as error:
        raise UsageError(
            f"joblib has no back end {backend!r} here ({error}); use loky or threading."
        ) from error
