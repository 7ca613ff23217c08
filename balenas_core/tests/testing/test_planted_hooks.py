"""Mistakes of hook plugins, planted one at a time: the kit finds each and says what to mend."""

from __future__ import annotations

import os
import random
import sys
import textwrap
import threading
import time
from importlib.metadata import EntryPoint

import numpy as np
import pluggy
import pytest
import torch
from planted import assert_found, fault

from balenas_core.plugins.hooks import hookimpl
from balenas_core.plugins.plugin import HOOKS_GROUP, Plugin
from balenas_core.testing import HookConformance

ARGMAX = "balenas_core.selectors:ArgmaxSelector"
SEEN: list[object] = []
OF_INSTALLED = (
    "test_is_found_by_its_entry_point",
    "test_its_module_imports_no_torch_and_prints_nothing",
)


class Made:
    """Has what it is given."""

    def __init__(self, **members):
        self.__dict__.update(members)


def hooks(**functions):
    """Return a plugin with hooks, each marked."""
    return Made(**{key: hookimpl(function) for key, function in functions.items()})


def epoch(body):
    """Return a plugin that does something at the end of every epoch."""

    def balenas_epoch_ended(event):
        body(event)

    return hooks(balenas_epoch_ended=balenas_epoch_ended)


def at(name, body):
    """Return a plugin that does something in one hook."""
    namespace: dict[str, object] = {"body": body}
    exec(f"def {name}(event):\n    body(event)", namespace)
    return hooks(**{name: namespace[name]})


def good():
    def balenas_search_started(event):
        SEEN.append((str(event.run), event.config.seed))

    def balenas_epoch_ended(event):
        SEEN.append({key: value for key, value in event.metrics.items() if value is not None})

    def balenas_architecture_selected(event):
        SEEN.append(str(event.selection.chosen.architecture))

    def balenas_search_failed(event):
        SEEN.append(str(event.error))

    def balenas_run_finished(event):
        SEEN.append(event.result.validation_accuracy)

    return hooks(**locals())


def registering(body):
    """Return a plugin that registers something."""

    def balenas_register(registry):
        body(registry)

    return hooks(balenas_register=balenas_register)


def _proxy(**fields):
    declared = {
        "kind": "proxy", "summary": "planted", "api_version": 1, "implementation": "math:sqrt",
    }  # fmt: skip
    return Plugin(**{**declared, **fields})


def _generator(event):
    yield event.epoch


async def _coroutine(event):
    SEEN.append(event.epoch)


def _other_argument(epoch):
    pass


def _two_arguments(event, metrics):
    pass


def _once(event):
    assert not SEEN, "a search began already"
    SEEN.append(event)


def _scores(event):
    event.selection.candidates[0].scores["mine"] = 1.0


def _result(event):
    event.result.metrics[0]["mine"] = 1.0


class NotMade:
    """Its class stands where an object of it should."""

    @hookimpl
    def balenas_epoch_ended(self, event):
        pass


CALLED = "test_every_hook_is_one_that_is_called"
GIVEN = "test_every_argument_is_one_that_is_given"
RAISES = "test_no_hook_raises"
LEFT = "test_events_stay_as_they_were"
STATE = "test_leaves_the_process_as_it_was"
ADDS = "test_what_it_registers_can_be_used"
MISTAKES = {
    "not marked": (
        Made(balenas_epoch_ended=lambda event: None), CALLED, "mark it with",
    ),
    "marked for another program": (
        Made(balenas_epoch_ended=pluggy.HookimplMarker("pytest")(lambda event: None)),
        CALLED,
        "mark it with",
    ),
    "misspelt": (hooks(balenas_epoch_end=lambda event: None), CALLED, "Did you mean"),
    "no hooks": (Made(on_epoch=print), CALLED, "there are no hooks"),
    "another argument": (hooks(balenas_epoch_ended=_other_argument), GIVEN, "epoch"),
    "one argument more": (hooks(balenas_epoch_ended=_two_arguments), GIVEN, "metrics"),
    "a generator": (hooks(balenas_epoch_ended=_generator), CALLED, "never runs"),
    "a coroutine": (hooks(balenas_epoch_ended=_coroutine), CALLED, "never runs"),
    "a class": (NotMade, CALLED, "an object of it"),
    "a metric that is not there": (epoch(lambda e: e.metrics["accuracy"]), RAISES, "KeyError"),
    "a metric that is unknown": (
        epoch(lambda e: f"{e.metrics['validation_accuracy']:.2f}"), RAISES, "NoneType",
    ),
    "an accuracy that is unknown": (
        at("balenas_run_finished", lambda e: f"{e.result.validation_accuracy:.1f}"),
        RAISES,
        "NoneType",
    ),
    "needs a directory": (
        at("balenas_search_started", lambda e: e.run / "mine"), RAISES, "NoneType",
    ),
    "ends the process": (epoch(lambda e: sys.exit(0)), RAISES, "SystemExit"),
    "interrupts": (
        at("balenas_run_finished", lambda e: (_ for _ in ()).throw(KeyboardInterrupt)),
        RAISES,
        "KeyboardInterrupt",
    ),
    "a second search": (
        at("balenas_search_started", _once), "test_a_second_search_is_no_error", "began already",
    ),
    "raises what it is told": (
        at("balenas_search_failed", lambda e: (_ for _ in ()).throw(e.error)),
        "test_a_search_that_is_stopped_is_no_error",
        "it broke",
    ),
    "changes metrics": (epoch(lambda e: e.metrics.update(mine=1)), LEFT, "work on copies"),
    "changes scores": (at("balenas_architecture_selected", _scores), LEFT, "work on copies"),
    "changes the result": (at("balenas_run_finished", _result), LEFT, "work on copies"),
    "torch's random numbers": (epoch(lambda e: torch.rand(1)), STATE, "torch's global"),
    "numpy's random numbers": (
        epoch(lambda e: np.random.rand()), STATE, "numpy's global",  # noqa: NPY002
    ),
    "Python's random numbers": (epoch(lambda e: random.random()), STATE, "Python's global"),
    "another directory": (
        at("balenas_run_finished", lambda e: os.chdir("/")), STATE, "working directory",
    ),
    "threads of torch": (
        at("balenas_search_started", lambda e: torch.set_num_threads(3)), STATE, "threads",
    ),
    "a thread that stays": (
        at(
            "balenas_run_finished",
            lambda e: threading.Thread(target=time.sleep, args=(4,)).start(),
        ),
        STATE,
        "threads",
    ),
    "registers what cannot be made": (
        registering(lambda r: r.add("planted", _proxy(implementation="acme_nowhere:X"))),
        ADDS,
        "does not work",
    ),
    "registers what is none of its kind": (
        registering(lambda r: r.add("planted", _proxy(implementation="math:pi"))),
        ADDS,
        "does not work",
    ),
    "registers an unknown kind": (
        registering(lambda r: r.add("planted", _proxy(kind="widget"))), ADDS, "kind must be one",
    ),
    "registers a taken name": (
        registering(lambda r: r.add("argmax", _proxy(kind="selector", implementation=ARGMAX))),
        ADDS,
        "is that of",
    ),
    "raises where it registers": (registering(lambda r: 1 / 0), ADDS, "ZeroDivisionError"),
}  # fmt: skip
MODULES = {
    "imports torch": ("import torch", "import torch inside"),
    "prints": ("print('here')", "spoils --json"),
    "another directory": ("import os; os.chdir('/')", "working directory"),
    "an environment variable": ("import os; os.environ['OMP_NUM_THREADS'] = '3'", "environment"),
    "a handler of signals": (
        "import signal; signal.signal(signal.SIGINT, signal.SIG_IGN)", "signal",
    ),
    "the root logger": ("import logging; logging.basicConfig(level=10)", "root logger"),
    "cannot be imported": ("import acme_nowhere", "cannot be imported.*acme_nowhere"),
    "ends the process": ("import sys; sys.exit(0)", "ends the process"),
}  # fmt: skip


def _kit(plugin):
    return type(
        "TestHook", (HookConformance,), {"plugin_name": "planted", "plugin": lambda self: plugin}
    )


def test_good_hooks_pass(tmp_path):
    kit = _kit(good())
    tests = [n for n in dir(kit) if n.startswith("test_") and n not in OF_INSTALLED]
    assert {name: said for name in tests if (said := fault(kit, name, tmp_path))} == {}


@pytest.mark.parametrize("mistake", MISTAKES)
def test_a_mistake_is_found_and_explained(mistake, tmp_path):
    SEEN.clear()
    plugin, *expected = MISTAKES[mistake]
    assert_found(_kit(plugin), *expected, tmp_path)


@pytest.mark.parametrize("mistake", MODULES)
def test_a_mistake_at_import_is_found_and_explained(mistake, tmp_path, monkeypatch):
    source, message = MODULES[mistake]
    (tmp_path / "planted_hooks.py").write_text(
        textwrap.dedent(
            f"""
            {source}
            from balenas_core import hookimpl
            @hookimpl
            def balenas_epoch_ended(event): pass
            """
        )
    )
    monkeypatch.setenv("PYTHONPATH", str(tmp_path), prepend=os.pathsep)
    kit = _kit(None)
    kit.entry_point = lambda self: EntryPoint("planted", "planted_hooks", HOOKS_GROUP)
    assert_found(kit, OF_INSTALLED[1], message, tmp_path)
