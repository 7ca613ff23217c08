"""Names of run directories."""

from __future__ import annotations

from datetime import datetime
from pathlib import Path

from balenas_cli.shell.output import default_output, free_path

NOW = datetime(2030, 1, 2, 3, 4, 5)


def test_the_name_tells_when_what_and_which_seed(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    expected = Path("runs/20300102-030405-nb201-ngvi-seed7")
    assert default_output("nb201", "ngvi", 7, NOW) == expected
    expected.mkdir(parents=True)
    assert default_output("nb201", "ngvi", 7, NOW) == Path(f"{expected}-2")


def test_a_long_name_of_a_plugin_gives_a_portable_file_name(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert default_output("acme:nb 201", "a/b", 0, NOW).name == (
        "20300102-030405-acme-nb-201-a-b-seed0"
    )


def test_the_first_free_number_is_taken(tmp_path):
    for name in ("run", "run-2", "run-4"):
        (tmp_path / name).mkdir()
    assert free_path(tmp_path / "run") == tmp_path / "run-3"
