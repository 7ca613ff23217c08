"""Running a page from its first block to its last, as a reader would who types it all.

What cannot be done in a test is in a table at the end of the page, under "How this page is tested":
what is written, and what is run for it. A page without one runs as it is.
"""

from __future__ import annotations

import contextlib
import io
import json
import re
import shlex
import signal
import tomllib
import warnings
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import torch
import yaml
from page_blocks import Block, Command, blocks, commands, substitutions

from balenas_cli.main import app
from balenas_cli.shell.border import run_guarded
from balenas_core.config import SearchConfig, load_config

ELSEWHERE = frozenset({"git", "make", "nice", "pip", "python", "tensorboard", "torchrun"})
"""Programs that install, build, or run for hours: what tests wheels and scripts tests those."""
DATA = frozenset({"json", "toml", "yaml"})
_TIMES = re.compile(r"\b\d+(\.\d+)? s\b")


class Page:
    """A page, and the directory and the names in which its blocks run."""

    def __init__(self, path: Path, folder: Path, *, runs_code: bool = True) -> None:
        self.path, self.folder, self.runs_code = path, folder, runs_code
        self.names: dict[str, Any] = {"__name__": "page"}
        self.changes = substitutions(path)
        self.used: set[str] = set()

    def run(self) -> None:
        """Run every block, and complain of a row of the table that fits nothing."""
        for block in blocks(self.path):
            try:
                self._run(block)
            except Exception as error:
                error.add_note(f"in the block at {self.path}:{block.line}")
                raise
        unused = self.changes.keys() - self.used
        assert not unused, f"{self.path}: no command or code has {sorted(unused)}"

    def _changed(self, text: str) -> tuple[str | None, bool]:
        """Return what is run for a text, None for nothing, and whether its output is the page's."""
        is_same = True
        for written, instead in self.changes.items():
            if written not in text:
                continue
            self.used.add(written)
            if instead.startswith("*not run"):
                return None, False
            is_same = False
            if not instead.startswith("*"):
                text = text.replace(written, instead)
        return text, is_same

    def _run(self, block: Block) -> None:
        if block.language in ("console", "sh"):
            for command in commands(block):
                self._command(command)
        elif not self.runs_code:
            return
        elif block.language == "python":
            code, _ = self._changed(block.source)
            if code is not None:
                padding = "\n" * block.line  # so that a traceback has the page's lines
                exec(compile(padding + code, str(self.path), "exec"), self.names)
        elif block.language in DATA:
            self._data(block)

    def _data(self, block: Block) -> None:
        text, _ = self._changed(block.source)
        if text is None:
            return
        load = {"json": json.loads, "toml": tomllib.loads, "yaml": yaml.safe_load}
        value = load[block.language](text)
        if block.title is not None:
            (self.folder / block.title).write_text(text)
        is_search = isinstance(value, dict) and value.keys() & SearchConfig.model_fields.keys()
        if is_search and "bad" not in (block.title or ""):
            load_config(base={"space": "nb201", "optimizer": "ngvi", **value}, base_name="")

    def _command(self, command: Command) -> None:
        text, is_same = self._changed(command.text)
        if text is None:
            return
        arguments = shlex.split(text, comments=True)
        if arguments[0] in ELSEWHERE:
            return
        assert arguments[0] == "balenas", f"who runs {text!r}? Name it in the page's table"
        code, output = balenas(arguments[1:])
        shown = [line for line in command.shown if line.strip()]
        expected = int(any(line.startswith("error:") for line in shown))
        assert bool(code) == bool(expected), f"{text}: exit code {code}\n{output}"
        if is_same:
            assert_shows(output, shown)


def assert_shows(output: str, shown: list[str]) -> None:
    """Hold a command's output against what a page shows of it.

    Lines may be left out where the page has dots, ends of lines too; times are anyone's.
    """
    real = [_compared(line) for line in output.splitlines()]
    position = 0
    for line in shown:
        if set(line.strip()) <= set(". "):
            continue
        wanted = _compared(line)
        found = next((i for i in range(position, len(real)) if _fits(wanted, real[i])), None)
        assert found is not None, f"the page shows {line!r}, and the command\n{output}"
        position = found + 1


def _fits(wanted: str, real: str) -> bool:
    start = re.split(r"…|\.\.\.$", wanted, maxsplit=1)[0]
    return real == wanted or (start != wanted and real.startswith(start))


def _compared(line: str) -> str:
    return " ".join(_TIMES.sub("_ s", line).split())


def balenas(arguments: list[str]) -> tuple[int, str]:
    """Run one command in this process, which has torch by now, and put all back behind it."""
    output = io.StringIO()
    threads, handlers = torch.get_num_threads(), _handlers()
    with contextlib.redirect_stdout(output), contextlib.redirect_stderr(output), _warnings():
        try:
            run_guarded(lambda: app(arguments, prog_name="balenas", standalone_mode=False))
        except SystemExit as exit_:
            code = int(exit_.code or 0)
        finally:
            torch.set_num_threads(threads)
            for number, handler in handlers.items():
                signal.signal(number, handler)
    if code == 128 + signal.SIGINT:
        raise KeyboardInterrupt  # meant for the tests
    return code, output.getvalue()


def _handlers() -> dict[signal.Signals, Any]:
    return {number: signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)}


@contextlib.contextmanager
def _warnings() -> Iterator[None]:
    with warnings.catch_warnings():
        warnings.simplefilter("default")
        yield
