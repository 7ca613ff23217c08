"""Whether plugins work, each found out in a process of its own with a time limit.

A plugin that is checked may end its process, hang, or change it: nothing of that reaches the
process that asks, or the next plugin.
"""

from __future__ import annotations

import contextlib
import json
import os
import signal
import subprocess
import sys
import tempfile
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field, fields
from typing import Any

from balenas_core.plugins.installed import Entry
from balenas_core.plugins.known import is_first_party
from balenas_core.plugins.ref import PluginRef
from balenas_core.plugins.registry import HookRef

LIMIT = 60.0
"""Seconds that the check of one plugin may take."""

HOOK = "hook"
_GRACE = 5.0
_MOST_BUSY = 20.0
_START = (
    "import json, sys; sys.path[:] = json.loads(sys.stdin.readline()); "
    "from balenas_core.plugins._verdict_process import main; main()"
)
"""What the process runs: with the path of who asks, which may have found plugins by it."""

_Request = dict[str, Any]
_LOADABLE: dict[Entry, bool] = {}
"""What was looked at before in this process; installed code does not change under it."""


@dataclass(frozen=True, slots=True)
class Verdict:
    """What a check has found of one plugin.

    Args:
        kind: Its kind, or ``"hook"``.
        name: Its name.
        distribution: Where it is from.
        problem: What keeps it from working; None where it works.
        notes: What it does that it should not, though it works: prints while it is imported,
            imports torch too early, takes long, changes the process.
        seconds: What the import of its light module took; None where that failed.
        imports_torch: Whether its light module imports torch.
        status: What it says about how it runs here; see ``Plugin.status``.
        hooks: The hooks that it implements, of a hook plugin.
        settings: The settings of a preset.
        implementation: The dotted name of its implementation.
    """

    kind: str
    name: str
    distribution: str
    problem: str | None = None
    notes: tuple[str, ...] = ()
    seconds: float | None = None
    imports_torch: bool = False
    status: Mapping[str, str] = field(default_factory=dict)
    hooks: tuple[str, ...] = ()
    settings: Mapping[str, Any] | None = None
    implementation: str | None = None


def loadable(refs: Iterable[PluginRef]) -> list[PluginRef]:
    """Return the plugins whose light module can be imported here without harm.

    Whoever looks at all plugins, and not at those that the user has named, asks here first: one
    that ends the process, or hangs, is nobody else's business.
    """
    refs = [ref for ref in refs if ref.is_usable]
    unknown = [
        ref
        for ref in refs
        if ref.entry and ref.entry not in _LOADABLE and not is_first_party(ref.distribution)
    ]
    for ref, verdict in zip(unknown, check_plugins(unknown, declared_only=True), strict=True):
        assert ref.entry is not None, "what has none is not asked for"
        _LOADABLE[ref.entry] = verdict.problem is None
    return [ref for ref in refs if ref.entry is None or _LOADABLE.get(ref.entry, True)]


def check_plugins(
    refs: Iterable[PluginRef | HookRef], *, limit: float = LIMIT, declared_only: bool = False
) -> list[Verdict]:
    """Import plugins and build them where that costs little, each in a process of its own.

    Args:
        refs: Installed plugins, from ``Registry.refs`` and ``Registry.hook_refs``. What was
            registered at run time is known to this process alone, and is taken as it is.
        limit: Seconds that each may take on a machine that does nothing else.
        declared_only: Whether to leave implementations alone, which need torch; and hooks.

    Returns:
        A verdict for each, in their order.
    """
    refs = list(refs)
    requests = {n: r for n, ref in enumerate(refs) if (r := _request(ref)) is not None}
    asked = {"limit": limit, "declared_only": declared_only}
    answers = _answers(requests, asked) if requests else {}
    return [_verdict(ref, answers.get(number)) for number, ref in enumerate(refs)]


def _request(ref: PluginRef | HookRef) -> _Request | None:
    """Return what is asked of a process; None where metadata say all."""
    if ref.fault is not None or ref.entry is None:
        return None
    kind = HOOK if isinstance(ref, HookRef) else ref.kind
    entry = ref.entry
    return {"kind": kind, "entry": {f.name: getattr(entry, f.name) for f in fields(entry)}}


def _verdict(ref: PluginRef | HookRef, answer: Mapping[str, Any] | None) -> Verdict:
    kind = HOOK if isinstance(ref, HookRef) else ref.kind
    known: dict[str, Any] = {"problem": ref.fault} if answer is None else dict(answer)
    for name in ("notes", "hooks"):
        known[name] = tuple(known.get(name, ()))
    return Verdict(kind, ref.name, ref.distribution, **known)


def _answers(
    requests: Mapping[int, _Request], asked: Mapping[str, Any]
) -> dict[int, dict[str, Any]]:
    found: dict[int, dict[str, Any]] = {}
    limit = asked["limit"]
    if hasattr(os, "fork"):
        # One process imports torch for all, and is copied for each.
        seconds = _MOST_BUSY * (limit * len(requests) + _GRACE)
        found = dict(_asked(requests, {**asked, "copies": True}, seconds))
    for number, request in requests.items():
        # Where there is no fork; or a plugin has ended the process that was to be copied.
        if number not in found:
            alone = {number: request}
            found |= dict(_asked(alone, {**asked, "copies": False}, 2 * limit + _GRACE))
            found.setdefault(number, {"problem": "it ended the process in which it was checked"})
    return found


def _asked(
    requests: Mapping[int, _Request], asked: Mapping[str, Any], seconds: float
) -> Iterator[tuple[int, dict[str, Any]]]:
    """Yield the answers of one process."""
    text = json.dumps({**asked, "requests": list(requests.items())})
    with tempfile.TemporaryFile() as noise:
        process = subprocess.Popen(
            [sys.executable, "-c", _START],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=noise,
            text=True,
            encoding="utf-8",
            start_new_session=True,
        )
        try:
            output, _ = process.communicate(f"{json.dumps(sys.path)}\n{text}\n", timeout=seconds)
        except subprocess.TimeoutExpired as error:
            partial = error.output or ""
            output = partial.decode() if isinstance(partial, bytes) else partial
        finally:
            _end(process)
    for line in output.splitlines():
        with contextlib.suppress(ValueError):  # the last line of a process that was ended
            number, answer = json.loads(line)
            yield number, answer


def _end(process: subprocess.Popen[str]) -> None:
    """End a process and all that it has begun."""
    with contextlib.suppress(OSError):  # it is gone
        if hasattr(os, "killpg"):
            os.killpg(process.pid, signal.SIGKILL)
        else:
            process.kill()
    process.wait()
