"""``balenas doctor``."""

from __future__ import annotations

import json

EXTRA = (
    "Provides-Extra: fast\n"
    "Requires-Dist: pydantic\n"
    "Requires-Dist: acme-never-installed[gpu]>=2; extra == 'fast'\n"
    "Requires-Dist: PyYAML; extra == 'fast'\n"
)
SOURCE = (
    "from balenas_core.plugins.plugin import Plugin\n"
    "plugin = Plugin(kind='proxy', summary='good', api_version=1,\n"
    "                implementation='acme_impl:Impl',\n"
    "                status='platform:python_implementation')\n"
)


IMPLEMENTATION = (
    "from balenas_core import Proxy\n"
    "class Impl(Proxy):\n"
    "    def score(self, network, batch): return 1.0\n"
)


def test_doctor_finds_a_missing_extra_and_a_plugins_status(balenas, install, site, without_ours):
    (site / "acme_impl.py").write_text(IMPLEMENTATION)
    group = {"balenas.proxies": {"good": "acme_good:plugin"}}
    install("acme-good", "acme_good", SOURCE, group, extra_metadata=EXTRA)
    done = balenas("doctor", "--json", **without_ours)
    assert done.returncode == 0, done.stderr
    facts = json.loads(done.stdout)
    assert facts["versions"]["balenas-core"] == "0.1.0"
    assert facts["threads"] == 1
    assert "cpu" in facts["devices"]
    assert facts["status"]["proxy good"] == "CPython"
    (extra,) = [e for e in facts["extras"] if e["distribution"] == "acme-good"]
    assert extra == {
        "distribution": "acme-good",
        "extra": "fast",
        "missing": ["acme-never-installed"],
        "get": "pip install 'acme-good[fast]'",
    }


def test_a_broken_plugin_is_a_problem(balenas, install, without_ours):
    install("acme-bad", "acme_bad", "import acme_gone", {"balenas.proxies": {"bad": "acme_bad:x"}})
    done = balenas("doctor", **without_ours)
    assert done.returncode == 1
    line, other = [line for line in done.stdout.splitlines() if "proxy bad" in line]
    assert "acme-bad 1.2, code " in min(line, other, key=len)
    line = max(line, other, key=len)
    assert "ModuleNotFoundError: No module named 'acme_gone'. Update it with" in line
    assert "balenas-core[digits]" in done.stdout
