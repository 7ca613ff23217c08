"""``balenas plugins new`` and ``check``: for who writes a plugin."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from balenas_cli.shell.options import Json


def new(
    kind: Annotated[str, typer.Argument(metavar="KIND", help="Such as proxy or space.")],
    name: Annotated[
        str, typer.Argument(metavar="NAME", help="What users will type, such as acme_params.")
    ],
    output: Annotated[
        Path | None,
        typer.Option(
            "--output",
            metavar="DIRECTORY",
            help="Where the project goes; balenas-KIND-NAME here by default.",
            show_default=False,
        ),
    ] = None,
) -> None:
    """Begin a plugin: a complete project with declaration, implementation, tests and CI.

    It works as it is: install it, run its tests, and search with it; then change what it does.
    """
    from datetime import datetime

    from balenas_cli.jobs.plugin_project import write_project
    from balenas_cli.plans.plugin_templates import project_files
    from balenas_cli.shell.console import print_text, stderr

    files = project_files(kind, name, now=datetime.now().astimezone())
    folder = output or Path(f"balenas-{kind}-{name.replace('_', '-')}")
    write_project(folder, files)
    print_text(f"{folder}\n")
    stderr().print(
        f"wrote {len(files)} files. Next:\n  pip install -e './{folder}[test]'\n  pytest {folder}",
        soft_wrap=True,
        markup=False,
        highlight=False,
    )


def check(
    plugin: Annotated[
        str,
        typer.Argument(
            metavar="NAME|PATH",
            help="An installed plugin, a Python file with one, or its project's folder.",
        ),
    ],
    kind: Annotated[
        str | None,
        typer.Option("--kind", "-k", metavar="KIND", help="Where several kinds have the name."),
    ] = None,
    set_: Annotated[
        list[str] | None,
        typer.Option(
            "--set",
            metavar="KEY=VALUE",
            help="An option of the plugin, to make it small. May be repeated.",
        ),
    ] = None,
    limit: Annotated[
        float, typer.Option("--limit", metavar="SECONDS", min=1, help="Time for each plugin.")
    ] = 600.0,
    json: Json = False,
) -> None:
    """Hold a plugin against the conformance kit and give a verdict.

    The kit checks declaration, options, time of import, and all that a search relies on. It needs
    pytest, and runs in a process of its own. The exit code is 1 where something is to be mended.
    """
    from balenas_cli.jobs.plugin_check import run_kit
    from balenas_cli.plans.plugin_target import options_of, targets_of
    from balenas_cli.shell.console import print_json, print_text, stderr

    options = options_of(set_ or ())
    facts = []
    for target in targets_of(plugin, kind):
        if not json:
            stderr().print(f"checking {target.kind} {target.name} ...", highlight=False)
        found = run_kit(target.kind, target.name, options, path=target.path, limit=limit)
        problems = [one for one in found if one.problem is not None]
        facts.append(
            {
                "kind": target.kind,
                "name": target.name,
                "verdict": "failed" if problems else "ok",
                "checks": len(found),
                "seconds": round(sum(one.seconds for one in found), 2),
                "problems": [{"check": one.test, "problem": one.problem} for one in problems],
            }
        )
        if not json:
            for one in problems:
                print_text(f"{one.test}\n    {one.problem}\n\n")
            word = "failed" if problems else "ok"
            told = f"{len(found) - len(problems)} of {len(found)} checks passed"
            print_text(f"{target.kind} {target.name}: {word}, {told}\n")
    if json:
        print_json(facts)
    if any(fact["verdict"] == "failed" for fact in facts):
        raise typer.Exit(1)
