"""Text from outside on a terminal."""

from __future__ import annotations

import io
import json
import re
from pathlib import Path

import pytest

import balenas_cli
from balenas_cli.shell.console import print_json, print_text, say, table
from balenas_cli.shell.printing import PrintableConsole

HOSTILE = "a\x1b]0;title\x07\x9b2J\rb\u202ec\u2066\udcff\U000e0041"
SHOWN = r"a\x1b]0;title\x07\x9b2J\rb\u202ec\u2066\xff\U000e0041"


@pytest.mark.parametrize("width", [40, 200])
def test_nothing_of_rich_passes_a_control_on(width):
    from rich.live import Live
    from rich.panel import Panel
    from rich.progress import Progress
    from rich.text import Text

    stream = io.StringIO()
    console = PrintableConsole(
        file=stream, force_terminal=True, color_system=None, width=width, markup=False
    )
    listing = table(HOSTILE, title=HOSTILE)
    listing.add_row(HOSTILE)
    listing.add_row(Text(HOSTILE, style="bold", overflow="fold"))
    bars = Progress(console=console, transient=True)
    bars.add_task("bar", total=2)
    console.print(
        HOSTILE, Text(HOSTILE), Panel.fit(HOSTILE, title=HOSTILE), listing, soft_wrap=True
    )
    with Live(Text(HOSTILE), console=console, transient=True) as live:
        live.update(Panel(HOSTILE))
    printed = re.sub(r"\x1b\[\??[0-9;]*[A-Zhl]", "", stream.getvalue()).replace("\r", "")
    assert not re.search("[\x00-\x09\x0b-\x1f\x7f-\x9f\u202e\u2066\udcff\U000e0041]", printed)
    assert r"\x1b" in printed
    assert "\x1b]" not in stream.getvalue()


def test_plain_streams_get_printable_text(capsys):
    print_text(HOSTILE)
    print_json(HOSTILE)
    say(HOSTILE)
    out, error = capsys.readouterr()
    assert out.splitlines()[0] == SHOWN == error.rstrip("\n")
    assert json.loads(out.splitlines()[1]) == HOSTILE


def test_commands_print_through_the_console_alone():
    """A command that writes by itself could pass on what it was given."""
    source = Path(balenas_cli.__file__).parent
    writes = re.compile(
        r"\bstd(out|err)\.write|\bprint\(|typer\.(?:s?echo|confirm|prompt)|\bConsole\(|print_exception|print_exc\("
    )
    allowed = {"shell/console.py", "shell/printing.py"}
    found = [
        f"{path.relative_to(source).as_posix()}: {line.strip()}"
        for path in sorted(source.rglob("*.py"))
        if path.relative_to(source).as_posix() not in allowed
        for line in path.read_text(encoding="utf-8").splitlines()
        if writes.search(re.sub(r"\b(_?console|stderr\(\)|stdout\(\))\.print\(", "", line))
        and not re.search(r"def _?print\(", line)
    ]
    assert found == []


def test_hostile_names_and_settings_do_not_reach_the_terminal(call, tmp_path):
    run = tmp_path / "runs" / "a\x1b[2J\u202eb\nc"
    run.mkdir(parents=True)
    (run / "config.yaml").write_text('"a\\e[2J": 1\n')
    (run / "status.json").write_text(
        json.dumps({"status": "failed", "message": HOSTILE, "config": {"seed": HOSTILE}})
    )
    for arguments in (
        ["runs", "list", "--folder", str(run.parent)],
        ["runs", "show", str(run)],
        ["resume", str(run)],
        ["search", "--set", "a\x1b[2J=\x9b1m"],
        ["search", str(run / "config.yaml")],
        ["score", "--space", "nb201", "\x1b[2J|\u202e"],
        ["\x1b[2J"],
    ):
        done = call(*arguments)
        assert not re.search("[\x00-\x08\x0b-\x1f\x7f-\x9f\u202e]", done.out + done.err), arguments
    listed = call("runs", "list", "--folder", str(run.parent))
    assert len(listed.out.splitlines()) == 2
