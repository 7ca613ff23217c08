"""Command line of the arena."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

from balenas_core import default_registry
from balenas_core.config import PluginSection
from balenas_core.execution import in_order, open_workers
from balenas_core.interfaces.executor import Executor

from .measures import Truth
from .methods import METHODS
from .pages import write_page
from .records import STORED, Results, finished, store
from .runs import Run
from .settings import SETTINGS, Setting, pooled_images


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
    pooled_images(setting, arguments.output)  # before several processes want it
    jobs = [(seed, name) for seed in arguments.seeds for name in arguments.methods]
    executor = _executor(arguments)
    failed = 0
    with open_workers(executor, _Runs(arguments, setting)) as workers:
        for job, outcome in zip(jobs, in_order(workers, jobs, executor.options), strict=True):
            if outcome.error is not None:
                failed += 1
                print(f"{job[1]} {job[0]} failed: {outcome.error!r}", file=sys.stderr)
    executor.close()
    return int(failed > 0)


class _Runs:
    """Searches by a method with a seed, and chooses."""

    def __init__(self, arguments: argparse.Namespace, setting: Setting) -> None:
        self._label, self._overrides = arguments.label, arguments.set
        self._output, self._search_only = arguments.output, arguments.search_only
        self._setting = setting

    def __call__(self, job: tuple[int, str]) -> None:
        seed, name = job
        method = METHODS[name]
        label = self._label or name
        of = Run(label, method, self._setting, seed, self._output, self._overrides)
        of.search()
        for selection in () if self._search_only else method.selections:
            of.select(selection)


def _executor(arguments: argparse.Namespace) -> Executor:
    given = {} if arguments.jobs is None else {"workers": arguments.jobs}
    section = PluginSection.resolve("executor", {"name": arguments.executor, **given})
    executor: Executor = default_registry().find("executor", section.name).build(section.options)
    return executor


def report(arguments: argparse.Namespace) -> int:
    """Keep what came of finished runs, and write the page of a setting from all that is kept."""
    setting = SETTINGS[arguments.setting]
    plugin = default_registry().find("space", setting.space["name"])
    section = {name: value for name, value in setting.space.items() if name != "name"}
    options = plugin.load().options
    assert options is not None
    benchmark = plugin.build(options(**section)).benchmark()
    new = finished(arguments.output / setting.name)
    records = store(STORED / f"{setting.name}.jsonl", new)
    results = Results.of(records, is_tuning=arguments.tuning)
    truth = Truth.of(benchmark)
    print(write_page(setting, results, truth, arguments.docs, is_tuning=arguments.tuning))
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
    running.add_argument("--executor", default="local", help="such as joblib: runs side by side")
    running.add_argument("--jobs", type=int, help="workers of the executor")
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
