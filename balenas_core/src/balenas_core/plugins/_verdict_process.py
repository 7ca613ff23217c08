"""The process in which plugins are checked: started by ``checking``, imported by nobody else.

It reads what to check from its standard input and writes a line of JSON for each plugin. Where the
system can copy a process, it copies itself for every plugin, once before it imports torch, for what
must not need it, and once after.
"""

from __future__ import annotations

import atexit
import json
import logging
import os
import sys
import tempfile
import threading
import time
from collections import deque
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import IO, Any, TypeVar

from balenas_core.errors import told
from balenas_core.plugins.declaration import DeclarationError, check_implementation
from balenas_core.plugins.foreign import foreign_code
from balenas_core.plugins.hooks import Hooks
from balenas_core.plugins.installed import Entry
from balenas_core.plugins.known import is_first_party
from balenas_core.plugins.plugin import BASES, CLAIMS, VALUES, Plugin, resolve
from balenas_core.plugins.ref import PluginRef
from balenas_core.plugins.registry import Registry

Request = dict[str, Any]
Answer = dict[str, Any]
Phase = Callable[[Request], Answer]
T = TypeVar("T")

_SLOW = 1.0
_LONGEST_OUTPUT = 200
_PAUSE = 0.005
_MOST_AT_ONCE = 4
_MOST_PATIENT = 10.0
_BUILT = ("proxy", "selector", "executor", "space", "distribution")
"""Kinds that are built to be checked: it reads no data and writes nothing."""


def main() -> None:
    """Answer what is asked on the standard input."""
    asked = json.loads(sys.stdin.readline())
    requests = {number: request for number, request in asked["requests"]}
    out = os.fdopen(os.dup(1), "w", encoding="utf-8")
    os.dup2(2, 1)
    if not asked["copies"]:
        for number, request in requests.items():
            answer = _declared(request)
            if answer.get("problem") is None and not asked["declared_only"]:
                answer = _joined(answer, _implemented(request))
            _write(out, number, answer)
        return
    resolve("balenas_core.plugins.options:PluginOptions")
    # Light modules of balenas's own do nothing but declare.
    own = {n: r for n, r in requests.items() if is_first_party(r["entry"]["distribution"])}
    patience, first = _patience(lambda: {n: _declared(r) for n, r in own.items()}, asked["limit"])
    others = {number: request for number, request in requests.items() if number not in own}
    first |= dict(_copies(others, _declared, patience))
    good = {n: r for n, r in requests.items() if first[n].get("problem") is None}
    for number in requests if asked["declared_only"] else requests.keys() - good.keys():
        _write(out, number, first[number])
    if asked["declared_only"]:
        return
    patience, _ = _patience(_import_torch, asked["limit"])
    for number, answer in _together({n: r for n, r in good.items() if n in own}, patience):
        _write(out, number, _joined(first[number], answer))
        del good[number]
    for number, answer in _copies(good, _implemented, patience):
        _write(out, number, _joined(first[number], answer))


def _together(requests: Mapping[int, Request], limit: float) -> Iterator[tuple[int, Answer]]:
    """Yield answers for plugins of balenas's own, which share a copy by distribution.

    Those of a copy that did not come to its end are left out, to be asked one by one.
    """
    groups: dict[str, list[int]] = {}
    for number, request in requests.items():
        groups.setdefault(request["entry"]["distribution"], []).append(number)
    asked = {n: {"all": [requests[m] for m in group]} for n, group in enumerate(groups.values())}
    members = list(groups.values())
    for n, answer in _copies(asked, _implemented_all, limit * len(requests)):
        if answer.get("problem") is None and "all" in answer:
            yield from zip(members[n], answer["all"], strict=True)


def _implemented_all(request: Request) -> Answer:
    return {"notes": [], "all": [_implemented(one) for one in request["all"]]}


def _patience(work: Callable[[], T], limit: float) -> tuple[float, T]:
    """Do some work, and return how long the limit is on a machine that is as busy as this one."""
    begun, used = time.monotonic(), time.process_time()
    done = work()
    waited = (time.monotonic() - begun) / max(time.process_time() - used, 0.01)
    return limit * min(max(1.0, waited), _MOST_PATIENT), done


def _write(out: IO[str], number: int, answer: Answer) -> None:
    out.write(json.dumps([number, answer]) + "\n")
    out.flush()


def _joined(first: Answer, second: Answer) -> Answer:
    return {**first, **second, "notes": list(dict.fromkeys([*first["notes"], *second["notes"]]))}


def _import_torch() -> None:
    """Import what every implementation imports."""
    try:
        for target in (*BASES.values(), *CLAIMS.values()):
            resolve(target)
    except (ImportError, OSError):  # every implementation that needs it says so
        return


class _Copy:
    """A copy of this process that answers one request."""

    def __init__(self, request: Request, phase: Phase, limit: float) -> None:
        self._answer, self._output = _file(), _file()
        self._end = time.monotonic() + limit
        self.pid = os.fork()
        if self.pid == 0:
            self._be(request, phase)

    def _be(self, request: Request, phase: Phase) -> None:
        """Answer, and end as any process does, but for the clearing of memory, which takes long."""
        for number in (1, 2):
            os.dup2(self._output.fileno(), number)
        json.dump(phase(request), self._answer)
        self._answer.flush()
        # What runs at the end belongs to the plugin, too.
        for thread in threading.enumerate():
            if thread is not threading.current_thread() and not thread.daemon:
                thread.join()
        atexit._run_exitfuncs()
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(0)

    def answered(self) -> Answer | None:
        """Return the answer once there is one."""
        pid, status = os.waitpid(self.pid, os.WNOHANG)
        if pid == 0 and time.monotonic() < self._end:
            return None
        if pid == 0:
            os.kill(self.pid, 9)
            os.waitpid(self.pid, 0)
        answer = self._read()
        output = self._written()
        how = "it did not end within its time limit" if pid == 0 else _ending(status)
        if how and answer.get("problem") is None:
            answer = {**answer, "problem": how}
        if output and answer.get("problem") is None:
            answer["notes"] = [*answer["notes"], f"it writes to the terminal: {output}"]
        return answer

    def _read(self) -> Answer:
        self._answer.seek(0)
        try:
            answer: Answer = json.load(self._answer)
        except ValueError:
            return {"notes": []}
        return answer

    def _written(self) -> str:
        self._output.seek(0)
        text = " ".join(self._output.read(10 * _LONGEST_OUTPUT).split())
        return text if len(text) <= _LONGEST_OUTPUT else f"{text[:_LONGEST_OUTPUT]}..."


def _file() -> IO[str]:
    return tempfile.TemporaryFile("w+", encoding="utf-8", errors="replace")


def _ending(status: int) -> str:
    code = os.waitstatus_to_exitcode(status)
    if code < 0:
        return f"its process was ended by signal {-code}"
    return f"it ended its process with exit code {code}" if code else ""


def _copies(
    requests: Mapping[int, Request], phase: Phase, limit: float
) -> Iterator[tuple[int, Answer]]:
    waiting = deque(requests.items())
    running: dict[int, _Copy] = {}
    while waiting or running:
        while waiting and len(running) < min(_MOST_AT_ONCE, os.cpu_count() or 1):
            number, request = waiting.popleft()
            running[number] = _Copy(request, phase, limit)
        time.sleep(_PAUSE)
        for number, copy in list(running.items()):
            answer = copy.answered()
            if answer is not None:
                del running[number]
                yield number, answer


@contextmanager
def _noted(notes: list[str]) -> Iterator[None]:
    """Take what balenas says of plugins as notes."""

    class Notes(logging.Handler):
        def emit(self, record: logging.LogRecord) -> None:
            notes.append(record.getMessage())

    logger = logging.getLogger("balenas_core.plugins")
    handler, propagates = Notes(logging.WARNING), logger.propagate
    logger.addHandler(handler)
    logger.propagate = False
    try:
        yield
    finally:
        logger.removeHandler(handler)
        logger.propagate = propagates


def _ref(request: Request) -> PluginRef:
    entry = Entry(**request["entry"])
    return PluginRef(
        request["kind"], entry.name, entry.distribution, entry.version, entry.value, None, None,
        entry.place, entry,
    )  # fmt: skip


def _declared(request: Request) -> Answer:
    """Import the light module, and look at what it declares."""
    notes: list[str] = []
    if request["kind"] == "hook":  # which may import torch
        return {"notes": notes}
    ref = _ref(request)
    begun = time.perf_counter()
    try:
        with _noted(notes):
            plugin = ref.load()
    except Exception as error:
        return {"problem": _reason(error), "notes": notes}
    seconds = time.perf_counter() - begun
    imports_torch = "torch" in sys.modules
    if imports_torch:
        notes.append("its light module imports torch, for which listings and completion wait")
    elif seconds > _SLOW:
        notes.append(f"its import takes {seconds:.1f} s, for which listings and completion wait")
    return {
        "notes": notes + _schema_notes(plugin),
        "seconds": seconds,
        "imports_torch": imports_torch,
        "implementation": (
            plugin.implementation if isinstance(plugin.implementation, str) else None
        ),
    }


def _schema_notes(plugin: Plugin) -> list[str]:
    if plugin.options is None:
        return []
    try:
        with foreign_code("", ""):
            plugin.options.model_json_schema()
    except Exception as error:
        return [f"its options have no JSON schema, so that editors know nothing of them: "
                f"{told(error)}"]  # fmt: skip
    return []


def _implemented(request: Request) -> Answer:
    """Import the implementation, and build it where that costs little."""
    notes: list[str] = []
    try:
        with _noted(notes):
            if request["kind"] == "hook":
                return {"notes": notes, "hooks": _hooks(request)}
            return {"notes": notes, **_facts(_ref(request))}
    except Exception as error:
        # A hook that fails was told of already.
        is_told = request["kind"] == "hook"
        return {"problem": _reason(error), "notes": [] if is_told else notes}


def _facts(ref: PluginRef) -> Answer:
    plugin, implementation = ref.load(), ref.load_implementation()
    check_implementation(plugin, implementation)
    facts: Answer = {"status": _status(ref, plugin)}
    if ref.kind in VALUES and isinstance(implementation, Mapping):
        try:
            facts["settings"] = json.loads(json.dumps(implementation, allow_nan=False))
        except (TypeError, ValueError) as error:
            raise DeclarationError(
                f"a {ref.kind} must be made of text, numbers, lists and mappings: {error}"
            ) from error
    elif ref.kind in _BUILT and not _needs_options(plugin):
        ref.build(**_context(ref.kind))
    return facts


def _needs_options(plugin: Plugin) -> bool:
    return plugin.options is not None and any(
        field.is_required() for field in plugin.options.model_fields.values()
    )


def _context(kind: str) -> dict[str, Any]:
    if kind != "distribution":
        return {}
    decision = resolve("balenas_core.interfaces.space:Decision")
    generator = resolve("torch:Generator")()
    return {
        "decisions": (decision("cell", ("a", "b"), ("x", "y", "z")),),
        "generator": generator.manual_seed(0),
    }


def _status(ref: PluginRef, plugin: Plugin) -> dict[str, str]:
    try:
        with ref.called("while it told its status"):
            return plugin.load_status()
    except Exception as error:
        return {"": f"its status is unknown: {told(error)}"}


def _hooks(request: Request) -> tuple[str, ...]:
    hooks, entry = Hooks(), Entry(**request["entry"])
    hooks.load(entry)
    names = hooks.implemented(f"{entry.distribution}:{entry.name}")
    if not hooks.failures:
        registry = Registry(use_entry_points=False)
        hooks.call("balenas_register", lambda: {"registry": registry})
    if hooks.failures:
        raise DeclarationError(hooks.failures[0].reason)
    return names


def _reason(error: Exception) -> str:
    """Return why a plugin does not work, without its name and remedy, which are known."""
    cause = None if isinstance(error, DeclarationError) else error.__cause__
    return told(cause or error)
