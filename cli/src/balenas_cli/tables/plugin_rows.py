"""What ``balenas plugins list`` and ``balenas doctor`` know of every plugin."""

from __future__ import annotations

import contextlib
import logging
import sys
from collections.abc import Iterable, Iterator
from dataclasses import asdict, dataclass, replace
from typing import Any

from balenas_core.errors import PluginLoadError, UsageError
from balenas_core.plugins.plugin import GROUPS
from balenas_core.plugins.registry import HookRef, PluginRef, Registry
from balenas_core.plugins.suggest import did_you_mean

HOOK = "hook"
KINDS = (*GROUPS, HOOK)


@dataclass(frozen=True, slots=True)
class PluginRow:
    """One plugin.

    ``status`` is ``installed`` (not looked into), ``ok``, ``conflict``, ``disabled`` or
    ``failed``; the last three have a reason, and a remedy where there is one.
    """

    kind: str
    name: str
    distribution: str
    version: str
    target: str
    status: str
    reason: str | None = None
    remedy: str | None = None

    @property
    def problem(self) -> str:
        """One line with name, distribution, reason and remedy."""
        origin = f"{self.distribution} {self.version}".strip()
        text = f"{self.kind} {self.name!r} (from {origin}): {self.reason}. {self.remedy or ''}"
        return " ".join(text.split())

    def to_dict(self) -> dict[str, Any]:
        """Return it as plain data."""
        return asdict(self)


def check_kind(kind: str | None, known: Iterable[str] = KINDS) -> None:
    """Check that ``kind`` is one of the ``known`` plugin kinds.

    Raises:
        UsageError: It is not.
    """
    if kind is not None and kind not in known:
        hint = did_you_mean(kind, known)
        raise UsageError(f"no plugin kind {kind!r}.{hint} Kinds: {', '.join(known)}.")


def listed_rows(registry: Registry, kind: str | None = None) -> list[PluginRow]:
    """Return every plugin by its metadata, importing none."""
    rows = []
    if kind != HOOK:
        rows = [_listed(registry, ref) for ref in registry.refs(kind)]
    if kind in (None, HOOK):
        rows += [_listed_hook(ref) for ref in registry.hook_refs()]
    return rows


def check_rows(registry: Registry, kind: str | None = None) -> list[PluginRow]:
    """Return every plugin, and whether it can be imported and used.

    The hook plugins are loaded first: they may register others.
    """
    with _foreign_code():
        failures = {(f.distribution, f.name): f for f in registry.hooks.failures}
        rows = []
        for row in listed_rows(registry, kind):
            if row.kind != HOOK:
                rows.append(_checked(registry, row))
                continue
            failure = failures.get((row.distribution, row.name))
            if row.status == "disabled":
                rows.append(row)
            elif failure is None:
                rows.append(replace(row, status="ok"))
            else:
                rows.append(
                    replace(row, status="failed", reason=failure.reason, remedy=failure.remedy)
                )
    return rows


def _listed(registry: Registry, ref: PluginRef) -> PluginRow:
    row = PluginRow(ref.kind, ref.name, ref.distribution, ref.version, ref.target, "installed")
    if ref.is_disabled:
        return _disabled(row)
    rivals = registry.rivals(ref)
    if rivals:
        others = ", ".join(rival.distribution for rival in rivals)
        return replace(
            row,
            status="conflict",
            reason=f"the name is taken by {others} too",
            remedy=f"Call it {ref.qualified_name!r}, or switch one off: "
            f"BALENAS_DISABLE_PLUGINS={rivals[0].qualified_name}",
        )
    return row


def _listed_hook(ref: HookRef) -> PluginRow:
    row = PluginRow(HOOK, ref.name, ref.distribution, ref.version, ref.target, "installed")
    return _disabled(row) if ref.is_disabled else row


def _disabled(row: PluginRow) -> PluginRow:
    return replace(
        row, status="disabled", reason="switched off by BALENAS_DISABLE_PLUGINS", remedy=None
    )


def _checked(registry: Registry, row: PluginRow) -> PluginRow:
    if row.status == "disabled":
        return row
    ref = next(
        ref
        for ref in registry.refs(row.kind)
        if (ref.name, ref.distribution, ref.target) == (row.name, row.distribution, row.target)
    )
    try:
        ref.load_implementation()
    except PluginLoadError as error:
        cause = error.__cause__
        reason = f"{type(cause).__name__}: {cause}" if cause is not None else str(error)
        return replace(row, status="failed", reason=reason, remedy=ref.remedy)
    return replace(row, status="ok") if row.status == "installed" else row


@contextlib.contextmanager
def _foreign_code() -> Iterator[None]:
    # A plugin that prints must not spoil --json; a failing hook is in the rows, once is enough.
    hooks = logging.getLogger("balenas_core.plugins.hooks")
    was_disabled, hooks.disabled = hooks.disabled, True
    try:
        with contextlib.redirect_stdout(sys.stderr):
            yield
    finally:
        hooks.disabled = was_disabled
