"""``balenas plugins``: what is installed, whether it works, and what it can do."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

from balenas_cli.shell.complete import HOOK, complete
from balenas_cli.shell.lazy import LazyCommand, LazyGroup
from balenas_cli.shell.options import Json
from balenas_core.plugins.plugin import GROUPS

if TYPE_CHECKING:
    from balenas_cli.tables.plugin_rows import PluginRow

app = typer.Typer(cls=LazyGroup, no_args_is_help=True, help="List, check and explain plugins.")


@app.command("list", cls=LazyCommand)
def list_(
    kind: Annotated[
        str | None, typer.Option("--kind", "-k", metavar="KIND", help="Only this kind.")
    ] = None,
    check: Annotated[
        bool, typer.Option("--check", help="Try every plugin, each in a process of its own.")
    ] = False,
    json: Json = False,
) -> None:
    """List installed plugins.

    Only metadata is read, so that a broken plugin is listed too; --check tries every plugin, and
    reports those that fail, hang, or change the process.
    """
    from balenas_cli.shell.console import print_json, show, table
    from balenas_cli.tables.plugin_rows import check_kind, check_rows, listed_rows
    from balenas_core.plugins.registry import Registry

    check_kind(kind)
    registry = Registry()
    rows = check_rows(registry, kind) if check else listed_rows(registry, kind)
    failed = [row for row in rows if row.status == "failed"]
    if json:
        print_json([row.to_dict() for row in rows])
    else:
        listing = table("kind", "name", "distribution", "version", "status")
        for row in rows:
            listing.add_row(row.kind, row.name, row.distribution, row.version, row.status)
        show(listing)
        _print_problems(rows)
    if failed:
        raise typer.Exit(1)


def _print_problems(rows: list[PluginRow]) -> None:
    from balenas_cli.shell.console import stderr

    for row in rows:
        if row.reason:
            stderr().print(f"{row.status}: {row.problem}", soft_wrap=True)
        for note in row.notes:
            origin = f"{row.distribution} {row.version}".strip()
            stderr().print(f"note: {row.kind} {row.name!r} (from {origin}): {note}", soft_wrap=True)


@app.command(cls=LazyCommand)
def info(
    kind_or_name: Annotated[
        str,
        typer.Argument(
            metavar="[KIND] NAME",
            help="A plugin's name, after its kind where several have it.",
            autocompletion=complete(*GROUPS, HOOK),
            show_default=False,
        ),
    ],
    name: Annotated[str | None, typer.Argument(hidden=True)] = None,
    json: Json = False,
) -> None:
    """Explain a plugin: summary, options with their defaults, what it needs and provides."""
    from balenas_cli.shell.console import print_json, print_text, show
    from balenas_cli.tables.plugin_info import describe, find_refs, render
    from balenas_core.plugins.registry import default_registry

    kind, wanted = (None, kind_or_name) if name is None else (kind_or_name, name)
    registry = default_registry()
    facts = [describe(ref, registry) for ref in find_refs(registry, kind, wanted)]
    if json:
        print_json(facts)
        return
    for number, one in enumerate(facts):
        if number:
            print_text("")
        show(render(one))


@app.command(cls=LazyCommand)
def install(
    name: Annotated[
        str,
        typer.Argument(
            metavar="NAME",
            help="A distribution, as pip takes it; or the name of a plugin of the index.",
            show_default=False,
        ),
    ],
    yes: Annotated[bool, typer.Option("--yes", "-y", help="Do not ask.")] = False,
) -> None:
    """Install the distribution of a plugin with pip, into the environment of this command.

    The command is shown, and asked for. Whoever installs a package lets its authors run code here.
    """
    from balenas_cli.jobs.install import install as run

    run(name, asks=not yes)
