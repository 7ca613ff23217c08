"""Plugin discovery, in three levels that import more and more.

1. ``Registry.refs`` reads entry-point metadata only. Nothing of a plugin is imported, so a
   broken plugin can always be listed and named.
2. ``PluginRef.load`` imports the plugin's light module and returns its ``Plugin``.
3. ``Plugin.load_implementation`` imports the implementation, and with it torch.

Components made at run time enter by ``Registry.add`` or by the ``balenas_register`` hook.
"""

from __future__ import annotations

import logging
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cache

from balenas_core.errors import PluginConflictError, PluginLoadError, PluginNotFoundError
from balenas_core.plugins.hooks import Hooks
from balenas_core.plugins.installed import Entry, entries, remedy
from balenas_core.plugins.known import is_first_party, owner, providers
from balenas_core.plugins.names import normalize as normalize
from balenas_core.plugins.plugin import GROUPS, HOOKS_GROUP, Plugin
from balenas_core.plugins.policy import DISABLE_VARIABLE as DISABLE_VARIABLE, Policy
from balenas_core.plugins.ref import RUN_TIME, PluginRef as PluginRef
from balenas_core.plugins.suggest import did_you_mean

_log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class HookRef:
    """An installed hook plugin known by its metadata alone."""

    name: str
    distribution: str
    version: str
    target: str
    barred: str | None
    fault: str | None
    place: str
    entry: Entry

    @property
    def is_disabled(self) -> bool:
        """Whether it is switched off, or not on the list of what may be imported."""
        return self.barred is not None

    @property
    def qualified_name(self) -> str:
        """``distribution:name``."""
        return f"{self.distribution}:{self.name}"

    @property
    def remedy(self) -> str:
        """What to do when it does not work."""
        return remedy(self.distribution, self.place)


class Registry:
    """Every plugin that this process can use.

    Args:
        use_entry_points: Whether to look at installed distributions; a registry without them
            holds only what is added to it.
        policy: What may be imported; by default what environment variables say.
    """

    def __init__(self, *, use_entry_points: bool = True, policy: Policy | None = None) -> None:
        self._use_entry_points = use_entry_points
        self._policy = policy
        self._added: list[PluginRef] = []
        self._entries: list[Entry] | None = None
        self._installed: dict[str, list[PluginRef]] = {}
        self._hooks: Hooks | None = None
        self._warned: set[str] = set()
        self._restricted: dict[Policy, Registry] = {}

    def restricted(self, source: str, allowed: Sequence[str] | None) -> Registry:
        """Return a registry that imports less: what is on a list, and what balenas publishes.

        Args:
            source: Where the list was written, for messages.
            allowed: Names of plugins or distributions; None for no list, which is this registry.
        """
        if allowed is None:
            return self
        policy = self.policy.restricted(source, allowed)
        if policy == self.policy:
            return self
        if policy not in self._restricted:
            made = Registry(use_entry_points=self._use_entry_points, policy=policy)
            made._added = self._added
            made._entries = self._declared()
            self._restricted[policy] = made
        return self._restricted[policy]

    @property
    def policy(self) -> Policy:
        """What may be imported."""
        if self._policy is None:
            self._policy = Policy.of_environment()
        return self._policy

    @property
    def hooks(self) -> Hooks:
        """Hook plugins, imported at first use. Those that fail are in ``hooks.failures``."""
        if self._hooks is None:
            self._hooks = hooks = Hooks()
            for ref in self.hook_refs():
                if not ref.is_disabled:
                    hooks.load(ref.entry)
            hooks.call("balenas_register", lambda: {"registry": self})
        return self._hooks

    def add(self, name: str, plugin: Plugin) -> None:
        """Register a component made at run time.

        Raises:
            PluginLoadError: ``plugin`` is not a valid ``Plugin``.
        """
        kind = getattr(plugin, "kind", "unknown")
        target = repr(getattr(plugin, "implementation", plugin))
        ref = PluginRef(kind, name, RUN_TIME, "", target, None, None, "", plugin)
        if kind not in GROUPS:
            raise PluginLoadError(
                f"cannot register {name!r}: kind must be one of {', '.join(GROUPS)}; got {kind!r}."
            )
        ref.load()
        # In place: registries that import less share what was added.
        self._added[:] = [r for r in self._added if (r.kind, r.name) != (kind, name)] + [ref]

    def refs(self, kind: str | None = None) -> list[PluginRef]:
        """Return every known plugin, by kind and name, importing none."""
        kinds = GROUPS if kind is None else (kind,)
        return [
            ref
            for one in kinds
            for ref in sorted((*self._entry_points(one), *self._runtime(one)), key=_by_name)
        ]

    def names(self, kind: str) -> list[str]:
        """Return the names that can be asked for, by metadata alone."""
        return sorted({ref.name for ref in self.refs(kind) if ref.is_usable})

    def hook_refs(self) -> list[HookRef]:
        """Return the installed hook plugins, importing none."""
        found = [
            HookRef(
                entry.name,
                entry.distribution,
                entry.version,
                entry.value,
                self.policy.bar(entry.name, entry.distribution),
                entry.fault,
                entry.place,
                entry,
            )
            for entry in self._declared()
            if entry.group == HOOKS_GROUP
        ]
        return sorted(found, key=lambda ref: (ref.name, ref.distribution))

    def stray_entries(self) -> list[Entry]:
        """Return the lines of installed entry points that declare no plugin of any kind."""
        known = {*GROUPS.values(), HOOKS_GROUP}
        return [entry for entry in self._declared() if entry.group not in known]

    def rivals(self, ref: PluginRef) -> list[PluginRef]:
        """Return the other usable plugins whose name keeps ``ref`` from its own."""
        if ref.is_disabled:
            return []
        found = self._match(ref.kind, ref.name)
        if ref in found and len(found) == 1:
            return []
        return [other for other in found if other != ref and not other.is_disabled]

    def find(self, kind: str, name: str) -> PluginRef:
        """Return the plugin called ``name`` or ``distribution:name``.

        A name that a first-party distribution provides is that one's, whoever else offers it.

        Raises:
            PluginNotFoundError: No such plugin; the message lists close names.
            PluginConflictError: The short name is ambiguous; the message lists the long ones.
        """
        matches = self._match(kind, name)
        if not matches and self._hooks is None:
            _ = self.hooks  # a hook may register what the metadata does not name
            matches = self._match(kind, name)
        if len(matches) == 1:
            self._warn_of_shadows(matches[0], name)
            return matches[0]
        if matches:
            options = ", ".join(repr(ref.qualified_name) for ref in matches)
            raise PluginConflictError(
                f"{kind} {name!r} is provided by several distributions; use one of {options}, or "
                f"switch one off with {DISABLE_VARIABLE}={matches[-1].qualified_name}."
            )
        raise PluginNotFoundError(self._not_found(kind, name))

    def has(self, kind: str, name: str) -> bool:
        """Whether at least one plugin has this kind and name."""
        return bool(self._match(kind, name)) or (
            self._hooks is None and bool(self.hooks and self._match(kind, name))
        )

    def means_selector(self, name: str) -> bool:
        """Whether a name that may be that of a selector or a proxy is that of a selector.

        A selector goes before a proxy, but not one of somebody else before a first-party proxy.
        """
        if not self.has("selector", name):
            return False
        is_taken = owner("proxy", name) is not None and owner("selector", name) is None
        if ":" in name or not is_taken or not self.has("proxy", name):
            return True
        other = self._match("selector", name)[0]
        if other.qualified_name not in self._warned:
            self._warned.add(other.qualified_name)
            _log.warning(
                "%r is a proxy of %s; %s offers a selector of that name, which is %r. "
                "To be rid of this warning: %s=%s",
                name,
                owner("proxy", name),
                other.distribution,
                other.qualified_name,
                DISABLE_VARIABLE,
                other.qualified_name,
            )
        return False

    def _not_found(self, kind: str, name: str) -> str:
        names = self.names(kind)
        elsewhere = [other for other in GROUPS if other != kind and self._match(other, name)]
        hint = did_you_mean(normalize(name), names)
        if not hint and elsewhere:
            hint = f" There is a {elsewhere[0]} of that name."
        installed = {entry.distribution for entry in self._declared()}
        hint = _missing_distribution(kind, name, installed) or hint
        return f"no {kind} called {name!r}.{hint} Installed: {', '.join(names) or 'none'}."

    def _match(self, kind: str, name: str) -> list[PluginRef]:
        matches = self._all(kind, name)
        # What is switched off, or of no use, causes no conflict.
        usable = [ref for ref in matches if ref.is_usable] or matches
        exact = [ref for ref in usable if ref.name == name.rpartition(":")[2]]
        if len(exact) == 1 and len({ref.distribution for ref in usable}) == 1:
            return exact
        owned = [ref for ref in usable if _is_owner(ref)]
        return owned if len(owned) == 1 else usable

    def _all(self, kind: str, name: str) -> list[PluginRef]:
        distribution, _, short = name.rpartition(":")
        return [
            ref
            for ref in self.refs(kind)
            if normalize(ref.name) == normalize(short)
            and (not distribution or normalize(ref.distribution) == normalize(distribution))
        ]

    def _warn_of_shadows(self, ref: PluginRef, name: str) -> None:
        """Say which plugins lose a name to the distribution that owns it, once each."""
        if not _is_owner(ref):
            return
        for other in self._all(ref.kind, name):
            if other == ref or not other.is_usable or other.qualified_name in self._warned:
                continue
            self._warned.add(other.qualified_name)
            _log.warning(
                "%s %r is that of %s; %s offers one of that name too, which is %r. %s",
                ref.kind,
                ref.name,
                ref.distribution,
                other.distribution,
                other.qualified_name,
                "Register it by another name."
                if other.entry is None
                else f"To be rid of this warning: {DISABLE_VARIABLE}={other.qualified_name}, "
                f"or 'pip uninstall {other.distribution}'",
            )

    def _runtime(self, kind: str) -> Iterator[PluginRef]:
        return (ref for ref in self._added if ref.kind == kind)

    def _declared(self) -> list[Entry]:
        if self._entries is None:
            self._entries = entries() if self._use_entry_points else []
        return self._entries

    def _entry_points(self, kind: str) -> list[PluginRef]:
        if kind not in self._installed:
            self._installed[kind] = [
                self._ref(kind, entry) for entry in self._declared() if entry.group == GROUPS[kind]
            ]
        return self._installed[kind]

    def _ref(self, kind: str, entry: Entry) -> PluginRef:
        return PluginRef(
            kind,
            entry.name,
            entry.distribution,
            entry.version,
            entry.value,
            self.policy.bar(entry.name, entry.distribution),
            entry.fault,
            entry.place,
            entry,
        )


def _missing_distribution(kind: str, name: str, installed: set[str]) -> str:
    """Return a sentence that says what to install for a name; empty where nobody knows."""
    wanted, _, short = name.rpartition(":")
    known = [one.name for one in providers(kind, short)]
    if wanted and wanted != RUN_TIME:
        known = [wanted]
    missing = [one for one in known if normalize(one) not in map(normalize, installed)]
    if not missing:
        return ""
    return f" It comes with {missing[0]}; type 'balenas plugins install {missing[0]}'."


def _is_owner(ref: PluginRef) -> bool:
    if not is_first_party(ref.distribution):
        return False
    known = owner(ref.kind, ref.name)
    return known is not None and normalize(known) == normalize(ref.distribution)


def _by_name(ref: PluginRef) -> tuple[str, str]:
    return ref.name, ref.distribution


@cache
def default_registry() -> Registry:
    """Return the registry of this process, with every installed plugin."""
    return Registry()
