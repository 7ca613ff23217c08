"""``balenas config``: write, check and print configurations."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from balenas_cli.shell import options as options
from balenas_cli.shell.lazy import LazyCommand, LazyGroup

app = typer.Typer(cls=LazyGroup, no_args_is_help=True, help="Write and check configurations.")


@app.command(cls=LazyCommand)
def init(
    path: Annotated[Path, typer.Argument(help="File to write.")] = Path("search.yaml"),
    space: options.Space = None,
    optimizer: options.Optimizer = None,
    selector: options.Selector = None,
    force: Annotated[bool, typer.Option("--force", help="Replace an existing file.")] = False,
) -> None:
    """Write a commented configuration to start from."""
    from balenas_cli.shell.console import print_text
    from balenas_cli.shell.typed import as_typed
    from balenas_core.config import example_yaml
    from balenas_core.errors import OutputError, UsageError
    from balenas_core.files import write_atomically

    if path.suffix.lower() not in (".yaml", ".yml"):
        raise UsageError(f"config init writes YAML; name the file {path.with_suffix('.yaml')}.")
    if path.exists() and (path.is_dir() or not force):
        remedy = "choose a file name" if path.is_dir() else "replace it with --force"
        raise UsageError(f"{path} exists already; {remedy}.")
    names = {"space": space, "optimizer": optimizer, "selector": selector}
    with as_typed({kind: f"--{kind}" for kind in names}):
        text = example_yaml({kind: name for kind, name in names.items() if name is not None})
    try:
        write_atomically(path.resolve(), lambda file: file.write(text.encode()))
    except OSError as error:
        raise OutputError(f"cannot write {path}: {error.strerror or error}.") from error
    print_text(f"wrote {path}; run it with: balenas search {path}")


@app.command(cls=LazyCommand)
def validate(
    path: Annotated[Path, typer.Argument(help="YAML or TOML file.", show_default=False)],
    set_: options.Set = None,
    preset: options.Preset = None,
) -> None:
    """Check a configuration; every problem is shown with its line."""
    from balenas_cli.plans.resolve import resolve
    from balenas_cli.shell.console import print_text

    resolve(path, overrides=set_, preset=preset)
    print_text(f"{path}: valid")


@app.command(cls=LazyCommand)
def show(
    config: options.ConfigFile = None,
    space: options.Space = None,
    optimizer: options.Optimizer = None,
    distribution: options.Distribution = None,
    selector: options.Selector = None,
    data: options.Data = None,
    data_root: options.DataRoot = None,
    epochs: options.Epochs = None,
    batch_size: options.BatchSize = None,
    lr: options.LearningRate = None,
    draws: options.Draws = None,
    seed: options.Seed = None,
    device: options.Device = None,
    precision: options.Precision = None,
    threads: options.Threads = None,
    output: options.Output = None,
    preset: options.Preset = None,
    set_: options.Set = None,
    json: options.Json = False,
) -> None:
    """Print a complete configuration, every default filled in."""
    parameters = locals()
    from balenas_cli.plans.resolve import resolve
    from balenas_cli.shell.console import print_json, print_text
    from balenas_core.config import to_yaml

    resolved = resolve(config, parameters=parameters, overrides=set_, preset=preset)
    if json:
        print_json(resolved.model_dump(mode="json"))
    else:
        print_text(to_yaml(resolved))


@app.command(cls=LazyCommand)
def schema() -> None:
    """Print the JSON schema, with a branch for every installed plugin.

    An editor completes a file that begins with
    '# yaml-language-server: $schema=<file>'.
    """
    from balenas_cli.shell.console import print_json
    from balenas_core.config import json_schema

    print_json(json_schema())
