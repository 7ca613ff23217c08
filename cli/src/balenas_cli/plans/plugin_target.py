"""Which plugin ``balenas plugins check`` means, and with what options."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from balenas_core.errors import PluginNotFoundError, UsageError
from balenas_core.plugins.from_path import add_from_path
from balenas_core.plugins.plugin import GROUPS
from balenas_core.plugins.registry import Registry
from balenas_core.plugins.suggest import did_you_mean


@dataclass(frozen=True, slots=True)
class Target:
    """A plugin: its kind, its name, and where it is if it is not installed."""

    kind: str
    name: str
    path: Path | None = None


def targets_of(text: str, kind: str | None) -> list[Target]:
    """Return the plugins that a name, a file or a folder stands for.

    Raises:
        PluginNotFoundError: There is none.
        UsageError: A file or folder has none, or there is no such kind.
    """
    kinds = (*GROUPS, "hook")
    if kind is not None and kind not in kinds:
        hint = did_you_mean(kind, kinds)
        raise UsageError(f"no plugin kind {kind!r}.{hint} Kinds: {', '.join(kinds)}.")
    path = Path(text)
    if path.suffix == ".py" or path.is_dir():
        found = add_from_path(Registry(use_entry_points=False), path)
        targets = [Target(one, name, path) for one, name in found]
    else:
        registry = Registry()
        targets = [
            Target(one, registry.find(one, text).name)
            for one in GROUPS
            if (kind in (None, one)) and registry.has(one, text)
        ]
        targets += [Target("hook", ref.name) for ref in registry.hook_refs() if ref.name == text]
        if not targets:
            hooks = [ref.name for ref in registry.hook_refs()]
            names = sorted({*hooks, *(ref.name for ref in registry.refs())})
            raise PluginNotFoundError(
                f"no plugin called {text!r}.{did_you_mean(text, names)} Give the name of one that "
                f"is installed, a Python file, or a project's folder."
            )
    wanted = [target for target in targets if kind in (None, target.kind)]
    if not wanted:
        raise PluginNotFoundError(f"there is no {kind} called {text!r}.")
    return wanted


def options_of(settings: Sequence[str]) -> dict[str, object]:
    """Return the options that ``--set key=value`` gives.

    Raises:
        UsageError: One has another form.
    """
    from balenas_core.config import DocumentError, parse_yaml

    options: dict[str, object] = {}
    for text in settings:
        key, is_given, value = text.partition("=")
        if not is_given or not key.strip():
            raise UsageError(f"--set takes KEY=VALUE, such as channels=4; got {text!r}.")
        try:
            options[key.strip()] = parse_yaml(value).data
        except DocumentError as error:
            raise UsageError(f"--set {text}: {error}") from error
    return options
