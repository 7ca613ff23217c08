"""``balenas plugins list``, with plugins that are installed for real."""

from __future__ import annotations

import json

import pytest

PROXIES, HOOKS = "balenas.proxies", "balenas.hooks"
SOURCE = (
    "from balenas_core.plugins.plugin import Plugin\n"
    "plugin = Plugin(kind='proxy', summary='good', api_version=1,\n"
    "                implementation='acme_impl:Impl')\n"
)
OLD = SOURCE.replace("api_version=1", "api_version=0")
HOOK = (
    "from balenas_core.plugins.hooks import hookimpl\n"
    "@hookimpl\n"
    "def balenas_register(registry):\n"
    "    raise RuntimeError('no licence')\n"
)


IMPLEMENTATION = (
    "from balenas_core import Proxy\n"
    "class Impl(Proxy):\n"
    "    def score(self, network, batch): return 1.0\n"
)


@pytest.fixture
def zoo(install, site):
    """One plugin of every state."""
    (site / "acme_impl.py").write_text(IMPLEMENTATION)
    install(
        "acme-good", "acme_good", "print('loud')\n" + SOURCE, {PROXIES: {"ok": "acme_good:plugin"}}
    )
    install(
        "acme-broken", "acme_broken", "import acme_gone", {PROXIES: {"bad": "acme_broken:plugin"}}
    )
    install("acme-old", "acme_old", OLD, {PROXIES: {"old": "acme_old:plugin"}})
    install("acme-exit", "acme_exit", "raise SystemExit(0)", {PROXIES: {"quits": "acme_exit:x"}})
    install("acme-one", "acme_one", SOURCE, {PROXIES: {"twice": "acme_one:plugin"}})
    install("acme-two", "acme_two", SOURCE, {PROXIES: {"twice": "acme_two:plugin"}})
    install("acme-off", "acme_off", "1 / 0", {PROXIES: {"off": "acme_off:plugin"}})
    install("acme-hook", "acme_hook", HOOK, {HOOKS: {"licence": "acme_hook"}})


def rows(output: str) -> dict[tuple[str, str], dict]:
    return {(row["distribution"], row["name"]): row for row in json.loads(output)}


@pytest.mark.usefixtures("zoo")
def test_listing_tells_installed_conflict_and_disabled_apart(balenas):
    done = balenas("plugins", "list", "--json", BALENAS_DISABLE_PLUGINS="acme-off")
    assert done.returncode == 0
    assert done.stderr == ""
    status = {key: row["status"] for key, row in rows(done.stdout).items()}
    assert status["acme-broken", "bad"] == "installed"
    assert status["acme-one", "twice"] == status["acme-two", "twice"] == "conflict"
    assert status["acme-off", "off"] == "disabled"
    assert status["acme-hook", "licence"] == "installed"
    assert rows(done.stdout)["acme-hook", "licence"]["kind"] == "hook"


@pytest.mark.usefixtures("zoo")
def test_check_names_every_failure_with_reason_and_remedy(balenas):
    done = balenas("plugins", "list", "--check", "--json", BALENAS_DISABLE_PLUGINS="acme-off")
    assert done.returncode == 1
    found = rows(done.stdout)  # in spite of the plugin that prints
    status = {key: row["status"] for key, row in found.items() if key[0].startswith("acme")}
    assert status == {
        ("acme-good", "ok"): "ok",
        ("acme-broken", "bad"): "failed",
        ("acme-old", "old"): "failed",
        ("acme-exit", "quits"): "failed",
        ("acme-one", "twice"): "conflict",
        ("acme-two", "twice"): "conflict",
        ("acme-off", "off"): "disabled",
        ("acme-hook", "licence"): "failed",
    }
    assert found["acme-broken", "bad"]["reason"] == (
        "ModuleNotFoundError: No module named 'acme_gone'"
    )
    assert "plugin API 0" in found["acme-old", "old"]["reason"]
    assert found["acme-hook", "licence"]["reason"] == (
        "in balenas_register: RuntimeError: no licence"
    )
    assert "pip uninstall acme-hook" in found["acme-hook", "licence"]["remedy"]
    assert {row["status"] for key, row in found.items() if key[0].startswith("balenas")} == {"ok"}


@pytest.mark.usefixtures("zoo")
def test_the_table_is_on_stdout_and_the_problems_on_stderr(balenas, without_ours):
    done = balenas("plugins", "list", "--check", "--kind", "proxy", **without_ours)
    assert done.returncode == 1
    assert done.stdout.splitlines()[0].split() == [
        "kind", "name", "distribution", "version", "status",
    ]  # fmt: skip
    line = next(line for line in done.stderr.splitlines() if "'bad'" in line)
    assert line.startswith("failed: proxy 'bad' (from acme-broken 1.2): ModuleNotFoundError: ")
    assert "Update it with 'pip install -U acme-broken'" in line
    assert "Traceback" not in done.stderr


def test_an_unknown_kind_suggests_a_close_one(balenas):
    done = balenas("plugins", "list", "--kind", "optimiser")
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr.startswith("error: no plugin kind 'optimiser'. Did you mean 'optimizer'?")


def test_a_reader_that_leaves_early_causes_no_traceback(tmp_path, environment):
    import subprocess
    import sys

    done = subprocess.run(
        f"{sys.executable} -m balenas_cli plugins list --json | head -c 1",
        shell=True, cwd=tmp_path, env=environment, capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert done.stdout == "["
    assert done.stderr == ""
