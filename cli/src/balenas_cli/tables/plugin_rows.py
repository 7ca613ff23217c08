"""What ``balenas plugins list`` and ``balenas doctor`` know of every plugin."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass, replace
from importlib.util import find_spec
from typing import Any

from balenas_core.errors import UsageError
from balenas_core.plugins.checking import HOOK, Verdict, check_plugins
from balenas_core.plugins.code import code_of
from balenas_core.plugins.installed import Entry
from balenas_core.plugins.known import is_first_party
from balenas_core.plugins.plugin import GROUPS
from balenas_core.plugins.policy import DISABLE_VARIABLE
from balenas_core.plugins.registry import HookRef, PluginRef, Registry
from balenas_core.plugins.suggest import did_you_mean

KINDS = (*GROUPS, HOOK)
UNKNOWN_KIND = "unknown"
"""Of a line in a distribution's metadata that declares no plugin of any kind."""


@dataclass(frozen=True, slots=True)
class PluginRow:
    """One plugin.

    ``status`` is ``installed`` (not looked into), ``ok``, ``conflict``, ``disabled`` or
    ``failed``; the last three have a reason, and a remedy where there is one. ``notes`` are what a
    plugin does that it should not, though it works. ``code`` is a hash of its code, where it was
    looked into, as runs keep it.
    """

    kind: str
    name: str
    distribution: str
    version: str
    target: str
    status: str
    reason: str | None = None
    remedy: str | None = None
    notes: tuple[str, ...] = ()
    code: str = ""

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
    rows = [_listed(registry, ref) for ref in _refs(registry, kind)]
    return rows + ([_stray(entry) for entry in registry.stray_entries()] if kind is None else [])


def check_rows(registry: Registry, kind: str | None = None) -> list[PluginRow]:
    """Return every plugin, and whether it can be imported and used."""
    return [row for row, _ in checked(registry, kind)]


def checked(registry: Registry, kind: str | None = None) -> list[tuple[PluginRow, Verdict | None]]:
    """Return every plugin with what its check has found; None of what was not checked."""
    refs = _refs(registry, kind)
    rows = [_listed(registry, ref) for ref in refs]
    wanted = [n for n, row in enumerate(rows) if row.status in ("installed", "conflict")]
    verdicts = dict(zip(wanted, check_plugins(refs[n] for n in wanted), strict=True))
    for number, verdict in verdicts.items():
        rows[number] = _checked(rows[number], refs[number], verdict)
    found: list[tuple[PluginRow, Verdict | None]] = [
        (row, verdicts.get(number)) for number, row in enumerate(rows)
    ]
    strays = registry.stray_entries() if kind is None else ()
    return found + [(_stray(entry), None) for entry in strays]


def _refs(registry: Registry, kind: str | None) -> list[PluginRef | HookRef]:
    refs: list[PluginRef | HookRef] = []
    if kind != HOOK:
        refs += registry.refs(kind)
    if kind in (None, HOOK):
        refs += registry.hook_refs()
    return refs


def _listed(registry: Registry, ref: PluginRef | HookRef) -> PluginRow:
    kind = HOOK if isinstance(ref, HookRef) else ref.kind
    row = PluginRow(kind, ref.name, ref.distribution, ref.version, ref.target, "installed")
    row = replace(row, notes=_gaps(ref))
    if ref.barred is not None:
        return replace(row, status="disabled", reason=ref.barred.rstrip("."))
    if ref.fault is not None:
        return replace(row, status="failed", reason=ref.fault, remedy=ref.remedy)
    rivals = registry.rivals(ref) if isinstance(ref, PluginRef) else []
    if not rivals:
        return row
    others = ", ".join(rival.distribution for rival in rivals)
    return replace(
        row,
        status="conflict",
        reason=f"the name is taken by {others} too",
        remedy=f"Call it {ref.qualified_name!r}, or switch one off: "
        f"{DISABLE_VARIABLE}={ref.qualified_name}",
    )


def _gaps(ref: PluginRef | HookRef) -> tuple[str, ...]:
    """Return what the metadata of a distribution lacks, by which runs know it."""
    if ref.place:
        return (f"runs cannot record where it is from. {ref.remedy}",)
    return () if ref.version else ("the metadata of its distribution has no version",)


def _checked(row: PluginRow, ref: PluginRef | HookRef, verdict: Verdict) -> PluginRow:
    row = replace(
        row, notes=(*row.notes, *verdict.notes), code=code_of(ref, verdict.implementation)
    )
    problem = verdict.problem
    if problem is None and verdict.settings is not None:
        problem = _settings_problem(ref, verdict.settings)
    if problem is not None:
        return replace(row, status="failed", reason=problem, remedy=ref.remedy)
    return replace(row, status="ok") if row.status == "installed" else row


def _settings_problem(ref: PluginRef | HookRef, settings: Mapping[str, Any]) -> str | None:
    """Return what is wrong with settings that a plugin gives, with any of the spaces here."""
    from balenas_core.config import example_settings_problem

    if isinstance(ref, PluginRef) and ref.kind == "recipe":
        if is_first_party(ref.distribution):  # timm takes seconds to import
            return None
        if find_spec("balenas_timm") is None:
            return "recipes are for balenas-timm, which is not installed: pip install balenas-timm"
        from balenas_timm.recipes import TrainingJob

        label, others = f"recipe {ref.name!r}", {"architecture": "any"}
        return example_settings_problem(label, settings, model=TrainingJob, others=others)
    return example_settings_problem(f"preset {ref.name!r}", settings)


def _stray(entry: Entry) -> PluginRow:
    return PluginRow(
        UNKNOWN_KIND,
        entry.name,
        entry.distribution,
        entry.version,
        entry.value,
        "failed",
        entry.fault,
        entry.remedy,
    )
