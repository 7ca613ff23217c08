"""What starting the command imports: by name, since times depend on the machine."""

from __future__ import annotations

import json
import subprocess
import sys

PROBE = """
import contextlib, io, json, os, sys
from balenas_cli.main import main
for command in json.loads(sys.argv[1]):
    if os.fork():
        os.wait()
        continue
    sys.argv = ["balenas", *command.split()]
    with contextlib.redirect_stdout(io.StringIO()) as out:
        try:
            main()
        except SystemExit as exit:
            code = exit.code
    found = {"code": code, "modules": sorted(sys.modules), "out": out.getvalue()}
    print(json.dumps(found), flush=True)
    os._exit(0)
"""


def run(*commands: str, environment: dict[str, str]) -> list[dict]:
    """Run each command in a copy of one process, which has imported what starts them all."""
    done = subprocess.run(
        [sys.executable, "-c", PROBE, json.dumps(commands)],
        capture_output=True,
        text=True,
        check=True,
        env=environment,
    )
    return [json.loads(line) for line in done.stdout.splitlines()]


HELP = [
    "--help",
    "search --help",
    "config --help",
    "config init --help",
    "config validate --help",
    "config show --help",
    "config schema --help",
    "resume --help",
    "select --help",
    "sweep --help",
    "runs --help",
    "runs list --help",
    "runs show --help",
    "runs watch --help",
    "plugins new --help",
    "plugins check --help",
    "plugins install --help",
    "estimate --help",
    "runs compare --help",
    "runs prune --help",
    "report --help",
    "train --help",
    "export --help",
    "bench --help",
    "bench list --help",
    "bench info --help",
    "bench query --help",
    "bench best --help",
    "bench plot --help",
    "bench import --help",
    "plugins --help",
    "plugins list --help",
    "plugins info --help",
    "score --help",
    "correlate --help",
    "describe --help",
    "doctor --help",
    "version",
    "--version",
]


def test_help_imports_neither_torch_nor_pydantic(environment):
    for command, done in zip(HELP, run(*HELP, environment=environment), strict=True):
        assert done["code"] == 0, command
        assert done["out"], command
        assert not {"torch", "pydantic", "numpy"} & set(done["modules"]), command


def test_listing_plugins_imports_no_plugin(environment):
    for done in run("plugins list", "plugins list --json", environment=environment):
        assert done["code"] == 0
        assert "argmax" in done["out"]
        # _builtin is the core's own plugin module.
        forbidden = {"torch", "pydantic", "numpy", "balenas_core.plugins.builtin"}
        assert not forbidden & set(done["modules"])


def test_every_command_is_in_the_help_test():
    from typer.main import get_command

    from balenas_cli.main import app

    def leaves(command, path):
        children = getattr(command, "commands", {})
        yield " ".join((*path, "--help"))
        for name, child in children.items():
            yield from leaves(child, (*path, name))

    assert set(leaves(get_command(app), ())) <= {*HELP, "version --help"}


def test_help_fills_the_width_of_the_terminal():
    from balenas_cli.shell.lazy import _filled

    assert (
        _filled("""First line.

    One paragraph over
    two lines.
    """)
        == "First line.\n\nOne paragraph over two lines."
    )
