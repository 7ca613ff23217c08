"""Command line of the arena."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

from balenas_core import default_registry

from .measures import Truth
from .methods import METHODS
from .pages import write_page
from .records import Results
from .runs import Run
from .settings import SETTINGS


def main(arguments: list[str] | None = None) -> int:
    """Run what is missing, or report what there is."""
    parsed = _parser().parse_args(arguments)
    status: int = parsed.command(parsed)
    return status


def run(arguments: argparse.Namespace) -> int:
    """Search with every seed and method, and choose."""
    setting = SETTINGS[arguments.setting]
    if not setting.images.exists():
        print(f"skipped: {setting.images} is not there (real CIFAR-10 images)", file=sys.stderr)
        return 0
    for seed in arguments.seeds:
        for name in arguments.methods:
            method = METHODS[name]
            of = Run(
                arguments.label or name, method, setting, seed, arguments.output, arguments.set
            )
            of.search()
            for selection in () if arguments.search_only else method.selections:
                of.select(selection)
    return 0


def report(arguments: argparse.Namespace) -> int:
    """Write the page of a setting from its results."""
    setting = SETTINGS[arguments.setting]
    plugin = default_registry().find("space", setting.space["name"])
    section = {name: value for name, value in setting.space.items() if name != "name"}
    options = plugin.load().options
    assert options is not None
    benchmark = plugin.build(options(**section)).benchmark()
    folder, is_tuning = arguments.output / setting.name, arguments.tuning
    results = Results.read(folder, is_tuning=is_tuning)
    page = write_page(setting, results, Truth.of(benchmark), arguments.docs, is_tuning=is_tuning)
    print(page)
    return 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.arena")
    commands = parser.add_subparsers(required=True)
    running = commands.add_parser("run", help=(run.__doc__ or "").strip())
    running.add_argument("--methods", nargs="+", default=list(METHODS), choices=METHODS)
    running.add_argument("--seeds", nargs="+", type=int, default=[0, 1, 2, 3, 4])
    running.add_argument("--search-only", action="store_true", help="choose later")
    running.add_argument("--label", help="name of a variant, with --set")
    running.add_argument("--set", action="append", default=[], metavar="KEY=VALUE")
    running.set_defaults(command=run)
    reporting = commands.add_parser("report", help=(report.__doc__ or "").strip())
    reporting.add_argument("--docs", type=Path, default=Path("docs"))
    reporting.add_argument("--tuning", action="store_true", help="of seeds from 100 on")
    reporting.set_defaults(command=report)
    for command in (running, reporting):
        command.add_argument("--setting", default="nb201", choices=SETTINGS)
        command.add_argument("--output", type=Path, default=Path("runs/arena"))
    return parser


if __name__ == "__main__":
    sys.exit(main())
