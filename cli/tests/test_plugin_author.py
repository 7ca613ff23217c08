"""``balenas plugins new`` and ``check``, and ``--plugin FILE``."""

import json
import subprocess
import sys

import pytest

from balenas_cli.jobs.plugin_check import CLASSES
from balenas_cli.plans.plugin_templates import KINDS

GOOD = """
from balenas_core import Plugin

plugin = Plugin(kind="proxy", summary="parameters", api_version=1, implementation="acme_one:build")


def build():
    from balenas_core import Proxy

    class Size(Proxy):
        needs_data = False

        def score(self, network, batch):
            return float(sum(p.numel() for p in network.parameters()))

    return Size()
"""
CELLS = ("|nor_conv_3x3~0|+|none~0|none~1|+|none~0|nor_conv_1x1~1|none~2|",)


def test_there_is_a_template_for_every_kind():
    assert set(KINDS) == set(CLASSES)


@pytest.mark.parametrize("kind", KINDS)
def test_a_new_project_is_complete_and_clean(kind, call, tmp_path):
    answer = call("plugins", "new", kind, "acme_twenty_letters_")
    assert answer.code == 0, answer.err
    folder = tmp_path / answer.out.strip()
    for name in (
        "pyproject.toml",
        "README.md",
        "LICENSE",
        ".gitignore",
        ".github/workflows/ci.yml",
    ):
        assert (folder / name).is_file(), name
    assert list(folder.glob("src/*/py.typed"))
    for command in (["check", "."], ["format", "--check", "."]):
        done = subprocess.run(
            [sys.executable, "-m", "ruff", *command],
            cwd=folder,
            capture_output=True,
            text=True,
            check=False,
        )
        assert done.returncode == 0, done.stdout + done.stderr


def test_an_unknown_kind_suggests_one(call):
    answer = call("plugins", "new", "prox", "acme")
    assert answer.code == 2
    assert "Did you mean 'proxy'?" in answer.err


def test_a_name_that_cannot_be_typed_suggests_another(call, tmp_path):
    answer = call("plugins", "new", "proxy", "Acme Params")
    assert answer.code == 2
    assert "'acme_params'" in answer.err
    assert list(tmp_path.iterdir()) == []


def test_a_project_is_not_written_over_another(call, tmp_path):
    (tmp_path / "here").mkdir()
    (tmp_path / "here" / "file").touch()
    answer = call("plugins", "new", "proxy", "acme", "--output", "here")
    assert answer.code == 2
    assert "here exists; choose another place" in answer.err


def test_a_plugin_is_used_from_a_file(balenas, tmp_path):
    (tmp_path / "acme_one.py").write_text(GOOD)
    answer = balenas(
        "score", *CELLS, "--space", "nb201", "--plugin", "acme_one.py", "--proxy",
        "acme_one,params", "--json", "--quiet", "--set", "space.channels=2", "--batch-size", "2",
    )  # fmt: skip
    assert answer.returncode == 0, answer.stderr
    (row,) = json.loads(answer.stdout)
    assert row["acme_one"] == row["params"]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (None, "give a Python file, or a folder"),
        ("x = 1\n", "there is no plugin in"),
        ("import nothing_there\n", "cannot be imported: ModuleNotFoundError"),
    ],
)
def test_a_file_without_a_plugin_is_refused(call, tmp_path, text, message):
    name = f"acme_none_{len(text or '')}.py"
    if text is not None:
        (tmp_path / name).write_text(text)
    answer = call("search", "--space", "toy", "--optimizer", "toy_adam", "--plugin", name)
    assert answer.code in (1, 2)
    assert message in answer.err


def test_check_of_an_unknown_name_suggests_one(call):
    answer = call("plugins", "check", "synflw")
    assert answer.code == 2
    assert "Did you mean 'synflow'?" in answer.err


@pytest.mark.slow
def test_check_says_what_to_mend(balenas, tmp_path):
    bad = GOOD.replace("            return", "            network.eval()\n            return")
    (tmp_path / "acme_one.py").write_text(bad)
    answer = balenas("plugins", "check", "acme_one.py", "--json")
    assert answer.returncode == 1, answer.stderr
    (verdict,) = json.loads(answer.stdout)
    assert verdict["verdict"] == "failed"
    assert any("preserved(network)" in one["problem"] for one in verdict["problems"])
    (tmp_path / "acme_one.py").write_text(GOOD)
    answer = balenas("plugins", "check", "acme_one.py")
    assert (answer.returncode, answer.stdout.splitlines()[-1][:18]) == (0, "proxy acme_one: ok")
