"""``balenas plugins info``."""

from __future__ import annotations

import json

from balenas_core.plugins.registry import default_registry

SOURCE = '''
from pydantic import Field
from balenas_core.plugins.options import PluginOptions
from balenas_core.plugins.plugin import Plugin

class Options(PluginOptions):
    """Options."""
    images: int = Field(8, ge=1, le=64, description="Images to look at.")
    mode: "str | None" = Field(None, description="How [bold]it[/bold] looks.")

plugin = Plugin(
    kind="proxy", summary="counts things", api_version=1, implementation="math:sqrt",
    options=Options, provides=("counts",), needs={"space": ("supernet",)},
    status="acme_info:status",
)

def status():
    {status}
'''
HOME = "Project-URL: Homepage, https://acme.example/proxies\n"


def install_acme(install, status: str = "return {'kernel': 'compiled, 4 threads'}") -> None:
    install(
        "acme-info",
        "acme_info",
        SOURCE.replace("{status}", status),
        {"balenas.proxies": {"counting": "acme_info:plugin"}},
        extra_metadata=HOME,
    )


def test_info_shows_options_needs_status_and_home(balenas, install):
    install_acme(install)
    done = balenas("plugins", "info", "proxy", "counting")
    assert done.returncode == 0, done.stderr
    lines = [" ".join(line.split()) for line in done.stdout.splitlines()]
    assert lines[0] == "proxy counting: counts things"
    assert "distribution acme-info 1.2" in lines
    assert "homepage https://acme.example/proxies" in lines
    assert "needs space with supernet" in lines
    assert "status kernel compiled, 4 threads" in lines
    assert "images int >= 1, <= 64 8 Images to look at." in lines
    assert "mode str | none null How [bold]it[/bold] looks." in lines


def test_the_kind_may_be_left_out_and_json_is_complete(balenas, install):
    install_acme(install)
    done = balenas("plugins", "info", "counting", "--json")
    (facts,) = json.loads(done.stdout)
    assert facts["options"][0] == {
        "name": "images",
        "type": "int >= 1, <= 64",
        "default": "8",
        "description": "Images to look at.",
        "required": False,
    }
    assert facts["status"] == {"kernel": "compiled, 4 threads"}


def test_a_preset_shows_its_settings(call):
    answer = call("plugins", "info", "toy_preset")
    assert answer.code == 0, answer.err
    lines = [line.strip() for line in answer.out.splitlines()]
    assert {"space: toy", "name: toy_adam", "epochs: 2"} <= set(lines)


def test_a_hook_plugin_tells_its_hooks_or_why_it_is_not_imported(call, monkeypatch):
    answer = call("plugins", "info", "hook", "acme_watch")
    assert answer.code == 0, answer.err
    assert "hook acme_watch: is switched off by BALENAS_DISABLE_PLUGINS=acme_watch" in answer.out
    monkeypatch.delenv("BALENAS_DISABLE_PLUGINS")
    default_registry.cache_clear()
    answer = call("plugins", "info", "acme_watch", "--json")
    (facts,) = json.loads(answer.out)
    assert facts["kind"] == "hook"
    assert all(name.startswith("balenas_") for name in facts["provides"])
    assert facts["provides"]


def test_a_status_that_raises_is_said_so(balenas, install):
    install_acme(install, status="raise OSError('no kernel')")
    done = balenas("plugins", "info", "counting")
    assert done.returncode == 0
    assert "its status is unknown: OSError: no kernel" in done.stdout


def test_a_name_of_several_kinds_shows_them_all(balenas):
    facts = json.loads(balenas("plugins", "info", "random", "--json").stdout)
    assert "selector" in {one["kind"] for one in facts}


def test_an_unknown_name_suggests_a_close_one(balenas):
    done = balenas("plugins", "info", "gausian")
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr.startswith("error: no plugin called 'gausian'. Did you mean 'gaussian'?")


def test_a_broken_plugin_is_an_error_of_one_line(balenas, install):
    install("acme-bad", "acme_bad", "import acme_gone", {"balenas.proxies": {"bad": "acme_bad:x"}})
    done = balenas("plugins", "info", "bad")
    assert (done.returncode, done.stdout) == (1, "")
    assert len(done.stderr.splitlines()) == 1
    assert "failed to load: ModuleNotFoundError: No module named 'acme_gone'" in done.stderr


def test_debug_shows_the_traceback_of_a_known_error(balenas, install):
    install("acme-bad", "acme_bad", "import acme_gone", {"balenas.proxies": {"bad": "acme_bad:x"}})
    done = balenas("plugins", "info", "bad", BALENAS_DEBUG="1")
    assert done.returncode == 1
    assert "Traceback" in done.stderr
    assert done.stderr.splitlines()[-1].startswith("error: proxy plugin 'bad'")
