"""The facts that ``balenas doctor`` prints."""

from __future__ import annotations

import os
import platform
import re
import sys
from importlib import metadata
from typing import Any

from balenas_cli.tables.plugin_rows import PluginRow, checked
from balenas_core.plugins.checking import Verdict
from balenas_core.plugins.installed import name_of
from balenas_core.plugins.registry import Registry, normalize
from balenas_core.runs import environment


def diagnose() -> dict[str, Any]:
    """Look at the interpreter, torch, every plugin and every extra; never raises."""
    registry = Registry()
    found = checked(registry)
    rows = [row for row, _ in found]
    devices, threads, torch_error = _torch()
    return {
        "python": f"{platform.python_version()} ({platform.platform()})",
        "executable": sys.executable,
        "versions": environment.versions(),
        "devices": devices,
        "threads": threads,
        "torch_error": torch_error,
        "extras": extras({row.distribution for row in rows}),
        "status": _status(found),
        "plugins": [row.to_dict() for row in rows],
    }


def _torch() -> tuple[dict[str, str], int, str | None]:
    cores = f"{platform.processor() or platform.machine()}, {os.cpu_count()} cores"
    try:
        import torch
    except (ImportError, OSError) as error:  # OSError: a shared library is missing
        get = "Install it with 'pip install torch'."
        return {"cpu": cores}, os.cpu_count() or 1, f"{type(error).__name__}: {error}. {get}"
    devices = {"cpu": cores}
    for index in range(torch.cuda.device_count()):
        facts = torch.cuda.get_device_properties(index)
        devices[f"cuda:{index}"] = f"{facts.name}, {facts.total_memory / 2**30:.0f} GiB"
    if torch.backends.mps.is_available():
        devices["mps"] = "Apple Metal"
    return devices, torch.get_num_threads(), None


def _status(found: list[tuple[PluginRow, Verdict | None]]) -> dict[str, str]:
    return {
        f"{row.kind} {row.name} {key}".strip(): value
        for row, verdict in found
        if verdict is not None
        for key, value in verdict.status.items()
    }


_REQUIREMENT = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]*")
_EXTRA = re.compile(r"""extra\s*==\s*["']([^"']+)["']""")


def extras(plugin_distributions: set[str]) -> list[dict[str, Any]]:
    """Return every optional extra of balenas and of the plugins' distributions.

    ``missing`` are the packages it lacks; ``get`` is the command that installs them, or None.
    """
    installed = {normalize(name) for d in metadata.distributions() if (name := name_of(d))}
    wanted = {normalize(name) for name in plugin_distributions}
    found, seen = [], set()
    for distribution in metadata.distributions():
        name = name_of(distribution)
        # The same distribution can be on the path twice; the first is the one in use.
        if not name or normalize(name) in seen:
            continue
        seen.add(normalize(name))
        if not (normalize(name) in wanted or _is_ours(name)):
            continue
        needs: dict[str, list[str]] = {
            extra: [] for extra in distribution.metadata.get_all("Provides-Extra") or ()
        }
        for requirement in distribution.requires or ():
            package = _REQUIREMENT.match(requirement)
            for extra in _EXTRA.findall(requirement):
                if package is not None:
                    needs.setdefault(extra, []).append(package.group())
        for extra, packages in needs.items():
            missing = [package for package in packages if normalize(package) not in installed]
            found.append(
                {
                    "distribution": name,
                    "extra": extra,
                    "missing": missing,
                    "get": f"pip install '{name}[{extra}]'" if missing else None,
                }
            )
    return sorted(found, key=lambda row: (row["distribution"], row["extra"]))


def _is_ours(distribution: str) -> bool:
    return normalize(distribution) == "balenas" or normalize(distribution).startswith("balenas_")
