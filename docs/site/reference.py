"""The reference, made of the code: command line, configuration, plugins, run files, API."""

from __future__ import annotations

import ast
import json
import subprocess
import sys
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any, get_args

from pages import ROOT
from pydantic import BaseModel

from balenas_cli.tables.option_rows import option_rows, type_text
from balenas_cli.tables.plugin_info import describe
from balenas_core.config import PluginSection, SearchConfig
from balenas_core.plugins.plugin import GROUPS
from balenas_core.plugins.registry import default_registry
from balenas_core.runs import stored


def reference_pages() -> dict[str, str]:
    """Return every generated page by its place."""
    return {
        "reference/command-line.md": command_line(),
        "reference/configuration.md": configuration(),
        "reference/plugins.md": plugins(),
        "reference/run-files.md": run_files(),
        **api(),
    }


def command_line() -> str:
    """Return the page of every command, as typer tells of it."""
    done = subprocess.run(
        [sys.executable, "-m", "typer", "balenas_cli.main", "utils", "docs", "--name", "balenas",
         "--title", "Command line"],
        capture_output=True, text=True, check=True,
    )  # fmt: skip
    return done.stdout


def _table(rows: Iterable[Mapping[str, Any]]) -> Iterator[str]:
    yield "| key | type | default | |\n|---|---|---|---|\n"
    for row in rows:
        kind = row["type"].replace("|", "\\|")
        default = "required" if row["required"] else f"`{_cell(row['default'])}`"
        yield f"| `{row['name']}` | {kind} | {default} | {_cell(row['description'])} |\n"
    yield "\n"


def _cell(value: Any) -> str:
    text = value if isinstance(value, str) else json.dumps(value, default=str)
    return text.replace("|", "\\|").replace("\n", " ")


def configuration() -> str:
    """Return the page of every key of a search, and of a training."""
    lines = [
        "# Configuration\n\n",
        "Every key of a search, generated from the models that read it. A section of a plugin is "
        "its name, or a mapping with `name` and its [options](plugins.md). "
        "`balenas config init` writes a file with all of them, `balenas config schema` a JSON "
        "schema for editors.\n\n",
        *_model("`balenas search`", SearchConfig),
    ]
    from balenas_timm import TrainingJob

    lines += _model("`balenas train`", TrainingJob)
    return "".join(lines)


def _model(title: str, model: type[BaseModel], place: str = "") -> Iterator[str]:
    """Return the table of a model, and those of the models inside it."""
    yield f"{'###' if place else '##'} {title}\n\n"
    yield from _table(option_rows(model))  # type: ignore[arg-type]
    for name, field in model.model_fields.items():
        for inner in _models(field.annotation):
            key = f"{place}{name}"
            yield from _model(f"`{key}` of {title.split(' of ')[-1]}", inner, f"{key}.")


def _models(annotation: Any) -> Iterator[type[BaseModel]]:
    """Return the models of a type, but for the sections of plugins."""
    is_model = isinstance(annotation, type) and issubclass(annotation, BaseModel)
    if is_model and annotation is not PluginSection:
        yield annotation
    for argument in get_args(annotation):
        yield from _models(argument)


def plugins() -> str:
    """Return the page of every installed plugin with its options."""
    lines = [
        "# Plugins and their options\n\n",
        "What `balenas plugins info NAME` shows, of every plugin of this repository.\n\n",
    ]
    registry = default_registry()
    for kind in GROUPS:
        refs = [
            ref for ref in registry.refs(kind) if (ref.distribution or "").startswith("balenas")
        ]
        if not refs:
            continue
        lines.append(f"## Kind {kind}\n\n")
        for ref in sorted(refs, key=lambda ref: ref.name):
            told = describe(ref, registry)
            lines.append(f"### `{ref.name}` {{ #{kind}-{ref.name} }}\n\n{told['summary']}. ")
            lines.append(f"In `{ref.distribution}`.\n\n")
            if told["settings"]:
                text = json.dumps(told["settings"], indent=2, default=str)
                lines.append(f"```json\n{text}\n```\n\n")
            if told["options"]:
                lines += _table(told["options"])
    return "".join(lines)


def run_files() -> str:
    """Return the page of the JSON files of a run, from the models that check them."""
    lines = [
        "# Files of a run\n\n",
        "What `balenas` reads back from a run's directory, generated from the models by which "
        "each file is checked. Files may hold further keys; those of later versions are read. "
        "[Runs](../runs.md) says what each file is for.\n\n",
    ]
    for name, model in vars(stored).items():
        is_model = isinstance(model, type) and issubclass(model, stored.Stored)
        if not is_model or model is stored.Stored:
            continue
        lines += [f"## {name.removeprefix('Stored')}\n\n", f"{(model.__doc__ or '').strip()}\n\n"]
        lines.append("| key | type | |\n|---|---|---|\n")
        for key, field in model.model_fields.items():
            kind = type_text(field.annotation).replace("|", "\\|").replace("Stored", "")
            needed = "always" if field.is_required() else "may be missing"
            lines.append(f"| `{key}` | {kind} | {needed} |\n")
        lines.append("\n")
    return "".join(lines)


def api() -> dict[str, str]:
    """Return a page of each room of the core and of each distribution with public names."""
    pages, index = {}, ["# Python\n\n", "Every public name, from the code's own docstrings.\n\n"]
    sources = [ROOT / "balenas_core" / "src", *sorted(ROOT.glob("plugins/*/*/src"))]
    for source in sources:
        for package in sorted(source.glob("*/__init__.py")):
            rooms = [package]
            if package.parent.name == "balenas_core":
                rooms += sorted(package.parent.glob("*/__init__.py"))
            for room in rooms:
                text = _room(source, room)
                if text is not None:
                    name = ".".join(room.parent.relative_to(source).parts)
                    pages[f"reference/api/{name}.md"] = text
                    index.append(f"- [`{name}`]({name}.md): {_first_line(room)}\n")
    return {"reference/api/index.md": "".join(index), **pages}


def _first_line(init: Path) -> str:
    told = ast.get_docstring(ast.parse(init.read_text(encoding="utf-8"))) or ""
    return " ".join(told.partition("\n\n")[0].split())


def _room(source: Path, init: Path) -> str | None:
    """Return the page of one package: what it exports, and its public modules."""
    name = ".".join(init.parent.relative_to(source).parts)
    exported = sorted(_exported(init))
    modules = [
        path
        for path in sorted(init.parent.glob("*.py"))
        if not path.name.startswith("_") and _has_public(path)
    ]
    if name == "balenas_core":
        modules = [init.parent / "errors.py", init.parent / "random.py"]
        exported = ["Plugin"]
    if not exported and not modules:
        return None
    lines = [
        f"# `{name}`\n\n",
        f"::: {name}\n",
        "    options:\n",
        "      show_root_heading: false\n",
    ]
    lines.append(f"      members: {json.dumps(exported)}\n\n")
    lines += [
        f"::: {name}.{path.stem}\n    options:\n      heading_level: 2\n\n" for path in modules
    ]
    return "".join(lines)


def _exported(init: Path) -> set[str]:
    """Return the names that a package says are public: imported as themselves."""
    return {
        alias.name
        for node in ast.walk(ast.parse(init.read_text(encoding="utf-8")))
        if isinstance(node, ast.ImportFrom)
        for alias in node.names
        if alias.asname == alias.name
    }


def _has_public(path: Path) -> bool:
    body = ast.parse(path.read_text(encoding="utf-8")).body
    kinds = (ast.FunctionDef, ast.ClassDef)
    return any(isinstance(node, kinds) and not node.name.startswith("_") for node in body)
