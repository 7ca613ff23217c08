"""Runs the conformance kit over one plugin, in a process of its own."""

from __future__ import annotations

import subprocess
import sys
import tempfile
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from xml.etree import ElementTree

from balenas_core.errors import BalenasError, UsageError

CLASSES = {
    "space": "SearchSpaceConformance",
    "distribution": "DistributionConformance",
    "optimizer": "OptimizerConformance",
    "selector": "SelectorConformance",
    "proxy": "ProxyConformance",
    "dataset": "DatasetConformance",
    "tracker": "TrackerConformance",
    "executor": "ExecutorConformance",
    "preset": "PresetConformance",
    "recipe": "RecipeConformance",
    "format": "FormatConformance",
    "hook": "HookConformance",
}
"""Kind -> class of the kit."""

_KITS = dict.fromkeys(("recipe", "format"), "balenas_timm")
"""Kind -> package whose ``testing`` has the class; for all others it is the core."""

_OF_INSTALLED = "not (entry_point or light_module or its_module_imports)"
_MODULE = """
from pathlib import Path

from balenas_core.plugins.from_path import add_from_path
from balenas_core.plugins.registry import default_registry
from {package}.testing import {kit}

if {path!r}:
    add_from_path(default_registry(), Path({path!r}))


class TestPlugin({kit}):
    plugin_name = {name!r}
    options = {options!r}
"""


_HOOKS = """
    def plugin(self):
        return __import__(self.plugin_name)
"""


@dataclass(frozen=True, slots=True)
class Finding:
    """What one test of the kit says.

    Args:
        test: Its name, as a sentence.
        problem: What is wrong and what to mend; None where it passed.
        seconds: Time that it took.
    """

    test: str
    problem: str | None
    seconds: float


def run_kit(
    kind: str, name: str, options: dict[str, object], *, path: Path | None, limit: float
) -> list[Finding]:
    """Hold a plugin against the kit.

    Args:
        kind: Its kind.
        name: Its name.
        options: Its options; the defaults for none.
        path: File or project that it is in; None for one that is installed.
        limit: Seconds that the whole may take.

    Raises:
        UsageError: pytest is not installed.
        BalenasError: It took too long, or ended without an answer.
    """
    if find_spec("pytest") is None:
        raise UsageError("the kit runs in pytest, which is not installed: pip install pytest")
    package = _KITS.get(kind, "balenas_core")
    if find_spec(package) is None:
        distribution = package.replace("_", "-")
        raise UsageError(
            f"the kit of kind {kind} comes with {distribution}, which is not installed: "
            f"pip install {distribution}"
        )
    with tempfile.TemporaryDirectory() as folder:
        place = "" if path is None else str(path.resolve())
        text = _MODULE.format(
            package=package, kit=CLASSES[kind], path=place, name=name, options=options
        )
        if kind == "hook" and path is not None:
            text += _HOOKS
        (Path(folder) / "test_plugin.py").write_text(text, encoding="utf-8")
        report = Path(folder) / "report.xml"
        command = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider"]
        command += ["--rootdir", folder, f"--junitxml={report}", "-o", "addopts=", "test_plugin.py"]
        command += [] if path is None else ["-k", _OF_INSTALLED]
        try:
            done = subprocess.run(
                command, cwd=folder, capture_output=True, text=True, check=False, timeout=limit
            )
        except subprocess.TimeoutExpired as error:
            raise BalenasError(
                f"{kind} {name!r} was not through after {limit:g} s; make it small by --set, or "
                f"give it longer with --limit."
            ) from error
        if not report.is_file():
            raise BalenasError(
                f"{kind} {name!r} ended the process that checked it:\n{_end_of(done.stdout)}"
                f"{_end_of(done.stderr)}"
            )
        return _findings(report)


def _findings(report: Path) -> list[Finding]:
    found = []
    for case in ElementTree.parse(report).iter("testcase"):
        test = case.get("name", "").removeprefix("test_").replace("_", " ")
        marks = (case.find(tag) for tag in ("failure", "error"))
        failure = next((mark for mark in marks if mark is not None), None)
        problem = None if failure is None else _said(failure.get("message", ""))
        found.append(Finding(test, problem, float(case.get("time", "0"))))
    return found


def _said(message: str) -> str:
    """Return the first line of an assertion: the sentence that the kit wrote."""
    return message.removeprefix("AssertionError: ").partition("\n")[0]


def _end_of(text: str) -> str:
    return "".join(f"{line}\n" for line in text.splitlines()[-5:])
