"""Plugins that are installed but broken are named, and hurt nobody else."""

from __future__ import annotations

import logging
import re
import textwrap

import pytest

from balenas_core.errors import PluginLoadError
from balenas_core.plugins.registry import Registry

GROUP = "balenas.proxies"
GOOD = """
from balenas_core.plugins.plugin import Plugin
plugin = Plugin(kind="proxy", summary="good", api_version=1, implementation="math:sqrt")
"""


def declared(arguments: str) -> str:
    return f"from balenas_core import Plugin\nplugin = Plugin(summary='', {arguments})\n"


FAULTS = {
    "import_error": (
        "import acme_missing_dependency\n",
        "ModuleNotFoundError: No module named 'acme_missing_dependency'",
    ),
    "exception": ("1 / 0\n", "ZeroDivisionError: division by zero"),
    "system_exit": ("import sys\nsys.exit('bye')\n", "SystemExit: bye"),
    "syntax_error": ("def broken(:\n", "SyntaxError: invalid syntax"),
    "no_attribute": ("", "AttributeError: module 'faulty' has no attribute 'plugin'"),
    "wrong_type": ("plugin = 3\n", "expected a balenas_core.Plugin, got int"),
    "wrong_kind": (
        declared("kind='space', api_version=1, implementation='math:sqrt'"),
        "declares kind 'space' but is registered as 'proxy'",
    ),
    "old_interface": (
        declared("kind='proxy', api_version=0, implementation='math:sqrt'"),
        "written for plugin API 0, this balenas-core has 1",
    ),
    "options_no_file_holds": (
        "from balenas_core import Plugin, PluginOptions\n"
        "from typing import Any\n"
        "class Options(PluginOptions):\n    function: Any = print\n"
        "plugin = Plugin(summary='', kind='proxy', api_version=1, implementation='math:sqrt', "
        "options=Options)\n",
        "the defaults of its options cannot be written into a file",
    ),
    "wrong_argument": (declared("colour='red'"), "TypeError: .*unexpected keyword .*'colour'"),
}


@pytest.mark.parametrize("fault", FAULTS)
def test_the_error_names_plugin_distribution_reason_and_remedy(install, fault):
    source, reason = FAULTS[fault]
    install("acme-faulty", "faulty", source, {GROUP: {"bad": "faulty:plugin"}})
    with pytest.raises(PluginLoadError, match=reason) as caught:
        Registry().find("proxy", "bad").load()
    message = str(caught.value)
    assert message.startswith("proxy plugin 'bad' (faulty:plugin, from acme-faulty 1.2) failed")
    assert "pip install -U acme-faulty" in message
    assert "pip uninstall acme-faulty" in message


@pytest.mark.parametrize("fault", FAULTS)
def test_a_broken_plugin_does_not_hurt_the_one_beside_it(install, fault):
    install("acme-faulty", "faulty", FAULTS[fault][0], {GROUP: {"bad": "faulty:plugin"}})
    install("bravo", "bravo_good", GOOD, {GROUP: {"good": "bravo_good:plugin"}})
    registry = Registry()
    assert {"bad", "good"} <= {ref.name for ref in registry.refs("proxy")}
    assert registry.find("proxy", "good").load().summary == "good"


def test_an_implementation_that_cannot_be_imported_is_named(install):
    source = declared("kind='proxy', api_version=1, implementation='acme_nowhere:Proxy'")
    install("acme-faulty", "faulty", source, {GROUP: {"bad": "faulty:plugin"}})
    ref = Registry().find("proxy", "bad")
    assert ref.load().implementation == "acme_nowhere:Proxy"
    with pytest.raises(PluginLoadError, match=r"'bad'.*No module named 'acme_nowhere'"):
        ref.load_implementation()


INTERRUPTED = "import os, signal\nos.kill(os.getpid(), signal.SIGINT)\n"


def test_an_interrupt_of_the_user_during_import_is_not_swallowed(install):
    install("acme", "faulty", INTERRUPTED, {GROUP: {"slow": "faulty:plugin"}})
    with pytest.raises(KeyboardInterrupt):
        Registry().find("proxy", "slow").load()


@pytest.mark.parametrize("error", ["KeyboardInterrupt", "GeneratorExit", "BaseException('x')"])
def test_a_plugin_that_raises_what_is_no_error_is_named_like_any_other(install, error):
    install("acme", "faulty", f"raise {error}\n", {GROUP: {"bad": "faulty:plugin"}})
    with pytest.raises(PluginLoadError, match=rf"'bad'.*failed to load: {error[:9]}"):
        Registry().find("proxy", "bad").load()


def test_an_error_whose_text_raises_is_told_by_its_kind(install):
    source = "class Odd(Exception):\n    def __str__(self):\n        raise SystemExit\nraise Odd\n"
    install("acme", "faulty", source, {GROUP: {"bad": "faulty:plugin"}})
    with pytest.raises(PluginLoadError, match=r"Odd: \(its text cannot be shown\)"):
        Registry().find("proxy", "bad").load()


def test_a_metadata_folder_without_metadata_is_listed(install):
    folder = install("acme-half", "half", GOOD, {GROUP: {"half": "half:plugin"}})
    (folder / "METADATA").unlink()
    ref = Registry().find("proxy", "half")
    assert ref.distribution == "(unknown)"
    assert ref.load().summary == "good"


HOOK = """
from balenas_core.plugins.hooks import hookimpl
from balenas_core.plugins.plugin import Plugin
calls = []

@hookimpl
def balenas_register(registry):
    {body}
"""


def hook(body: str) -> str:
    return textwrap.dedent(HOOK).format(body=body)


def install_hook(install, name: str, source: str) -> None:
    install(f"acme-{name}", f"hook_{name}", source, {"balenas.hooks": {name: f"hook_{name}"}})


REGISTERS = hook(
    "registry.add('made', Plugin(kind='proxy', summary='made at run time', api_version=1, "
    "implementation=len))"
)


def test_a_hook_registers_components_made_at_run_time(install):
    install_hook(install, "maker", REGISTERS)
    ref = Registry().find("proxy", "made")
    assert ref.distribution == "(run time)"
    assert ref.load().summary == "made at run time"


HOOK_FAULTS = {
    "misspelt": (
        hook("pass").replace("def balenas_register", "def balenas_registre"),
        "while loading: no hook is called 'balenas_registre'. Did you mean 'balenas_register'",
    ),
    "interrupts": (hook("raise KeyboardInterrupt"), "in balenas_register: KeyboardInterrupt"),
    "import": ("import acme_missing_dependency\n", "while loading: ModuleNotFoundError"),
    "exits": ("import sys\nsys.exit(3)\n", "while loading: SystemExit: 3"),
    "ends_process": ("import os\nos._exit(3)\n", r"while loading: SystemExit: os\._exit\(3\)"),
    "empty": ("", "while loading: expected functions marked with .*hookimpl"),
    "arguments": (
        hook("pass").replace("(registry)", "(registry, colour)"),
        "while loading: PluginValidationError: .*colour",
    ),
    "raises": (hook("1 / 0"), "in balenas_register: ZeroDivisionError: division by zero"),
    "calls_exit": (hook("raise SystemExit(1)"), "in balenas_register: SystemExit: 1"),
}


@pytest.mark.filterwarnings("ignore:Argument")
@pytest.mark.parametrize("fault", HOOK_FAULTS)
def test_a_broken_hook_is_reported_and_the_others_run(install, caplog, fault):
    source, reason = HOOK_FAULTS[fault]
    install_hook(install, "bad", source)
    install_hook(install, "zmaker", REGISTERS)
    registry = Registry()
    with caplog.at_level(logging.WARNING):
        assert registry.find("proxy", "made").load().summary == "made at run time"
    failures = [f for f in registry.hooks.failures if f.name == "bad"]
    assert [f.distribution for f in failures] == ["acme-bad"]
    assert re.search(reason, str(failures[0]), re.DOTALL)
    assert "pip uninstall acme-bad" in caplog.text


def test_a_hook_that_raised_once_is_not_called_again(install):
    install_hook(install, "bad", hook("calls.append(1); raise ValueError('no')"))
    registry = Registry()
    registry.hooks.call("balenas_register", lambda: {"registry": registry})
    import hook_bad  # the fixture put it on the path

    assert hook_bad.calls == [1]


def test_hooks_are_called_in_the_order_of_their_registration():
    from balenas_core.plugins.hooks import Hooks, hookimpl

    seen: list[int] = []

    class Listener:
        def __init__(self, number: int) -> None:
            self.number = number

        @hookimpl
        def balenas_epoch_ended(self, event: object) -> None:
            seen.append(self.number)

    hooks = Hooks()
    for number in range(5):
        hooks.register(Listener(number))
    hooks.call("balenas_epoch_ended", lambda: {"event": object()})
    assert seen == [0, 1, 2, 3, 4]


def test_hook_plugins_are_listed_without_importing_them(install, monkeypatch):
    install_hook(install, "bad", "raise AssertionError('imported')\n")
    monkeypatch.setenv("BALENAS_DISABLE_PLUGINS", "bad")
    registry = Registry()
    refs = {ref.name: ref for ref in registry.hook_refs()}
    assert refs["bad"].distribution == "acme-bad"
    assert refs["bad"].is_disabled
    assert [f.name for f in registry.hooks.failures] == []
