"""``balenas doctor``: what is here, what is missing, and how to get it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import typer

from balenas_cli.shell.options import Json

if TYPE_CHECKING:
    from rich.console import RenderableType


def doctor(json: Json = False) -> None:
    """Show versions, devices, optional extras and plugin problems; exit 1 if a plugin is broken."""
    from balenas_cli.shell.console import print_json, show
    from balenas_cli.tables.diagnosis import diagnose

    facts = diagnose()
    if json:
        print_json(facts)
    else:
        show(_render(facts))
    if any(row["status"] == "failed" for row in facts["plugins"]) or facts["torch_error"]:
        raise typer.Exit(1)


def _render(facts: dict[str, Any]) -> RenderableType:
    from rich.console import Group
    from rich.text import Text

    problems = [row for row in facts["plugins"] if row["status"] in ("failed", "conflict")]
    broken = [
        (f"{row['kind']} {row['name']}", f"{row['reason']}. {row['remedy'] or ''}".strip())
        for row in problems
    ]
    sections = [
        ("versions", [("python", facts["python"]), *facts["versions"].items()]),
        ("devices", [*facts["devices"].items(), ("threads", str(facts["threads"]))]),
        (
            "extras",
            [
                (f"{e['distribution']}[{e['extra']}]", e["get"] or "present")
                for e in facts["extras"]
            ],
        ),
        ("status", list(facts["status"].items())),
        ("plugins of others", _others(facts["plugins"])),
        ("problems", broken or [("plugins", f"none in {len(facts['plugins'])}")]),
    ]
    if facts["torch_error"]:
        sections[-1][1].insert(0, ("torch", facts["torch_error"]))
    parts: list[RenderableType] = []
    for title, rows in sections:
        if rows:
            parts += [Text(title, style="bold"), _grid(rows), Text()]
    return Group(*parts[:-1])


def _others(plugins: list[dict[str, Any]]) -> list[tuple[str, str]]:
    """Return distribution, version and code of what is not published by balenas."""
    from balenas_core.plugins.known import is_first_party

    return [
        (
            f"{row['kind']} {row['name']}",
            f"{row['distribution']} {row['version']}, code {row['code'] or 'not looked into'}",
        )
        for row in plugins
        if not is_first_party(row["distribution"])
    ]


def _grid(rows: list[tuple[str, str]]) -> RenderableType:
    from rich.table import Table
    from rich.text import Text

    grid = Table.grid(padding=(0, 2))
    for key, value in rows:
        grid.add_row(Text(f"  {key}"), Text(value))
    return grid
