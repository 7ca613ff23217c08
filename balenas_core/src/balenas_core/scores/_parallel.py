"""Many architectures scored, one after the other or in parallel."""

from __future__ import annotations

import importlib
import itertools
from collections.abc import Callable, Iterable, Iterator
from contextlib import nullcontext
from typing import Any

import torch

from balenas_core.architecture import Architecture
from balenas_core.errors import UsageError
from balenas_core.scores._job import ScoredRow, ScoringJob

_Scores = tuple[dict[str, float], dict[str, str]]

_PER_TASK = 4
"""Architectures in one task of another process: the batch is sent along with each task."""

_AHEAD = 64
"""Architectures a job that are looked at together, to find those that compute the same."""


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
        dedupe: Whether to score each architecture in its canonical form, and each form once.
        known: Scores by canonical form that need not be computed again; grows.

    Raises:
        UsageError: ``jobs`` is more than one without joblib, or the back end does not exist.
    """
    forms = _with_forms(job, architectures, dedupe)
    done = known if known is not None else {}
    errors: dict[str, dict[str, str]] = {}
    run = _runner(job, jobs, backend)
    for part in _chunks(forms, _AHEAD * jobs):
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
        yield architecture, job.space.canonical(architecture) if dedupe else architecture


def _chunks(
    items: Iterable[tuple[Architecture, Architecture]], size: int
) -> Iterator[list[tuple[Architecture, Architecture]]]:
    source = iter(items)
    while chunk := list(itertools.islice(source, size)):
        yield chunk


def _runner(
    job: ScoringJob, jobs: int, backend: str | None
) -> Callable[[list[Architecture]], Iterator[_Scores]]:
    """Return what scores architectures in order, some ahead of what was taken."""
    if jobs == 1:
        return lambda forms: (job.score(job.network(form)) for form in forms)
    joblib = _require_joblib()
    parallel = _parallel(joblib, jobs, backend)

    def in_threads(forms: list[Architecture]) -> Iterator[_Scores]:
        for start in range(0, len(forms), jobs):
            networks = [job.network(form) for form in forms[start : start + jobs]]
            # All of them, before the next networks draw from the generator.
            yield from list(parallel(joblib.delayed(job.score)(network) for network in networks))

    def in_processes(forms: list[Architecture]) -> Iterator[_Scores]:
        parts = [forms[start : start + _PER_TASK] for start in range(0, len(forms), _PER_TASK)]
        for scored in parallel(joblib.delayed(_score_part)(job, part) for part in parts):
            yield from scored

    return in_threads if backend == "threading" else in_processes


def _score_part(job: ScoringJob, part: list[Architecture]) -> list[_Scores]:
    torch.set_num_threads(1)  # the jobs share the machine's cores
    return [job.score(job.network(form)) for form in part]


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
