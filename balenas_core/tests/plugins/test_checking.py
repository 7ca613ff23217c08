"""Each plugin is tried in a process of its own, and every fault has its name."""

from __future__ import annotations

import textwrap

import pytest

from balenas_core.plugins.checking import check_plugins
from balenas_core.plugins.installed import Entry
from balenas_core.plugins.ref import PluginRef
from balenas_core.plugins.registry import HookRef

DECLARED = """
from balenas_core import Plugin, PluginOptions
from pydantic import BaseModel, Field
{before}
plugin = Plugin(**({{"kind": "proxy", "summary": "", "api_version": 1,
                   "implementation": "{module}:Impl"}} | dict({arguments})))
{after}
"""
PROXY = """
def __getattr__(name):
    if name != "Impl":
        raise AttributeError(name)
    {importing}
    from balenas_core import Proxy

    class Impl(Proxy):
        def __init__(self, *options):
            {building}

        def score(self, network, batch):
            return 1.0

    return Impl
"""

BAD = {
    "raises": ({"before": "1 / 0"}, "ZeroDivisionError: division by zero"),
    "exits": ({"before": "raise SystemExit(0)"}, "SystemExit: 0"),
    "dies": ({"before": "import os; os._exit(3)"}, r"SystemExit: os\._exit\(3\)"),
    "hangs": ({"before": "import time; time.sleep(99)"}, "it did not end within its time limit"),
    "kills": ({"before": "import os; os.kill(os.getpid(), 9)"}, "was ended by signal 9"),
    "interrupts": ({"before": "raise KeyboardInterrupt"}, "KeyboardInterrupt"),
    "late": ({"importing": "raise GeneratorExit"}, "GeneratorExit"),
    "unbuilt": ({"building": "raise KeyboardInterrupt"}, "KeyboardInterrupt"),
    "at_end": ({"after": "import atexit, os; atexit.register(os._exit, 4)"}, "exit code 4"),
    "options": ({"before": "class O(BaseModel): x: int = 1", "arguments": "options=O"},
                "options must be a class derived from balenas_core.PluginOptions; got O"),
    "default": ({"before": "class O(PluginOptions): x: int = Field(default=0, ge=1)",
                 "arguments": "options=O"}, "the defaults of its options are refused"),
    "validator": ({"before": "class O(PluginOptions):\n    def model_post_init(self, _):\n"
                             "        raise SystemExit(5)", "arguments": "options=O"},
                  "SystemExit: 5"),
    "needs": ({"arguments": "needs=3"}, "needs must be a mapping of kinds; got 3"),
    "text": ({"arguments": "needs={'space': 'supernet'}"}, r"such as \('supernet',\)"),
    "kindless": ({"arguments": "defaults={'widget': 'x'}"}, "names 'widget', which is no kind"),
    "target": ({"arguments": "implementation='no_colon'"}, "must be 'package.module:attribute'"),
    "function": ({"arguments": "implementation='math:sqrt'"},
                 "its implementation cannot be called as proxy"),
    "other_kind": ({"arguments": "implementation='builtins:dict'"}, "dict is no Proxy; derive"),
    "future": ({"arguments": "api_version=(2, 3)"}, "plugin API 2 to 3, this balenas-core has 1"),
}  # fmt: skip
NOTED = {
    "good": ({}, ""),
    "loud": ({"before": "print('hello')"}, "it writes to the terminal: hello"),
    "torch": ({"before": "import torch"}, "its light module imports torch"),
    "double": ({"importing": "import torch; torch.set_default_dtype(torch.float64)"},
               "changed torch's default type from float32 to float64 while its implementation"),
    "no_grad": ({"building": "import torch; torch.set_grad_enabled(False)"},
                "changed torch's gradient mode from True to False while it was built"),
    "moves": ({"before": "import os; os.chdir('/')"}, "changed the working directory"),
    "deaf": ({"before": "import signal; signal.signal(signal.SIGTERM, signal.SIG_IGN)"},
             "changed what SIGTERM does"),
    "noisy": ({"before": "import logging; logging.basicConfig(level=10)"},
              "changed the root logger"),
    "strict": ({"before": "import warnings; warnings.simplefilter('error')"},
               "changed the filters of warnings"),
    "drawn": ({"before": "import random; random.seed(0)"}, "changed Python's random numbers"),
    "closed": ({"before": "import sys; sys.stdout.close()"}, ""),
    "status": ({"arguments": "status='sys:exit'"}, ""),
}  # fmt: skip
HOOKS = {
    "misspelt": ("def balenas_epoch_endedd(event): pass", "no hook is called 'balenas_epoch_endd?"),
    "registers": ("def balenas_register(registry): raise SystemExit(0)", "in balenas_register"),
    "fine": ("def balenas_epoch_ended(event): pass", None),
}


@pytest.fixture(scope="module")
def verdicts(tmp_path_factory):
    site = tmp_path_factory.mktemp("site")
    refs = []
    for name, (parts, _) in (BAD | NOTED).items():
        blank = {"before": "", "after": "", "arguments": "", "importing": "", "building": "pass"}
        own = blank | parts | {"module": f"acme_{name}_impl"}
        (site / f"acme_{name}.py").write_text(DECLARED.format(**own))
        (site / f"acme_{name}_impl.py").write_text(textwrap.dedent(PROXY.format(**own)))
        entry = Entry("balenas.proxies", name, f"acme_{name}:plugin", f"acme-{name}", "1.0")
        refs.append(
            PluginRef("proxy", name, entry.distribution, "1.0", entry.value, None, None, "", entry)
        )
    for name, (source, _) in HOOKS.items():
        text = f"from balenas_core import hookimpl\n@hookimpl\n{source}\n"
        (site / f"acme_hook_{name}.py").write_text(text)
        entry = Entry("balenas.hooks", name, f"acme_hook_{name}", f"acme-{name}", "1.0")
        refs.append(HookRef(name, entry.distribution, "1.0", entry.value, None, None, "", entry))
    with pytest.MonkeyPatch.context() as patch:
        patch.syspath_prepend(str(site))
        found = check_plugins([ref for ref in refs if ref.name != "hangs"])
        found += check_plugins([ref for ref in refs if ref.name == "hangs"], limit=5)
    return {(verdict.kind, verdict.name): verdict for verdict in found}


@pytest.mark.slow
@pytest.mark.parametrize("name", BAD)
def test_what_cannot_work_is_told_with_its_reason(verdicts, name):
    import re

    assert re.search(BAD[name][1], verdicts["proxy", name].problem)


@pytest.mark.slow
@pytest.mark.parametrize("name", NOTED)
def test_what_works_is_told_what_it_should_not_do(verdicts, name):
    verdict = verdicts["proxy", name]
    assert verdict.problem is None
    assert NOTED[name][1] in " ".join(verdict.notes)
    assert bool(verdict.notes) == bool(NOTED[name][1])


@pytest.mark.slow
def test_a_status_that_ends_the_program_is_unknown(verdicts):
    assert verdicts["proxy", "status"].status == {"": "its status is unknown: SystemExit"}


@pytest.mark.slow
@pytest.mark.parametrize("name", HOOKS)
def test_hooks_are_tried_too(verdicts, name):
    import re

    verdict, (_, reason) = verdicts["hook", name], HOOKS[name]
    if reason is None:
        assert (verdict.problem, verdict.hooks) == (None, ("balenas_epoch_ended",))
    else:
        assert re.search(reason, verdict.problem)


@pytest.mark.slow
def test_where_processes_cannot_be_copied_each_plugin_has_one_of_its_own(monkeypatch, tmp_path):
    import os

    (tmp_path / "acme_lonely.py").write_text("import os; os.kill(os.getpid(), 9)\n")
    monkeypatch.syspath_prepend(str(tmp_path))
    monkeypatch.delattr(os, "fork")
    entry = Entry("balenas.proxies", "lonely", "acme_lonely:plugin", "acme", "1.0")
    ref = PluginRef("proxy", "lonely", "acme", "1.0", entry.value, None, None, "", entry)
    (verdict,) = check_plugins([ref])
    assert verdict.problem == "it ended the process in which it was checked"


def test_what_metadata_speak_against_needs_no_process():
    entry = Entry("balenas.proxies", "a:b", "x:y", "acme", "1.0", fault="its name is none")
    ref = PluginRef("proxy", "a:b", "acme", "1.0", "x:y", None, entry.fault, "", entry)
    (verdict,) = check_plugins([ref])
    assert verdict.problem == "its name is none"
