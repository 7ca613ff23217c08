"""From ``--executor`` and ``--jobs`` to settings of the executor."""

from __future__ import annotations

from balenas_core.errors import UsageError

PARALLEL = "joblib"
"""The executor of ``--jobs`` where none is named."""


def worker_flags(named: str | None, flag: str | None, jobs: int | None) -> dict[str, object]:
    """Return dotted key -> value of what ``--executor`` and ``--jobs`` set.

    Args:
        named: The executor that the settings name without ``--jobs``; None for the default.
        flag: The value of ``--executor``.
        jobs: That of ``--jobs``.

    Raises:
        UsageError: An executor of one worker was asked for several.
    """
    from balenas_core.config import DEFAULT_EXECUTOR

    flags: dict[str, object] = {"executor": flag}
    if jobs is None:
        return flags
    if (named or DEFAULT_EXECUTOR) != DEFAULT_EXECUTOR:
        return {**flags, "executor.workers": jobs}
    if jobs == 1:
        return flags
    if flag is not None:
        raise UsageError(
            f"--jobs {jobs}: executor {flag!r} has one worker, which is this process; leave "
            f"--executor out for processes of this machine, or name another."
        )
    return {"executor": PARALLEL, "executor.workers": jobs}
