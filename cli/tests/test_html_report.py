"""``balenas report``."""

from __future__ import annotations

from pathlib import Path

import pytest
from test_runs import make_run


@pytest.fixture
def two(tmp_path):
    """A run that is done and one that failed, as an older version left them."""
    make_run(tmp_path / "runs" / "a")
    make_run(tmp_path / "runs" / "b", status="failed", seed=1, epochs=1)


def test_the_report_of_one_run_goes_into_its_directory(call, two):
    answer = call("report", "a", "--static")
    # What a plugin prints is not among it.
    assert (answer.code, answer.out) == (0, "runs/a/report.html\n")
    page = Path("runs/a/report.html").read_text()
    assert "<h1>Search run a</h1>" in page
    assert "vegaEmbed" not in page


def test_a_report_of_several_runs_compares_them(call, two):
    answer = call("report", "a", "runs/b", "--output", "compared.html")
    assert (answer.code, answer.out) == (0, "compared.html\n")
    page = Path("compared.html").read_text()
    assert "<h1>Report of 2 runs</h1>" in page
    assert "the disk was full" in page
    assert "vegaEmbed" in page
    assert call("report", "a", "b", "--static").out == "report.html\n"


@pytest.mark.parametrize("is_shown", [True, False])
def test_the_page_is_opened_when_asked_for(call, two, monkeypatch, is_shown):
    opened = []
    monkeypatch.setattr("webbrowser.open", lambda url: opened.append(url) or is_shown)
    answer = call("report", "a", "--static", "--open", "-o", "page.html")
    assert answer.code == 0
    assert opened == [Path("page.html").resolve().as_uri()]
    assert ("no browser was found here; open page.html in one" in answer.err) != is_shown


@pytest.mark.parametrize(
    ("arguments", "code", "message"),
    [
        ((), 2, "missing argument 'RUN'"),
        (("z",), 2, "z holds no run: there is no z/config.yaml"),
        (("a", "-o", "nowhere/page.html"), 1, "cannot write nowhere/page.html"),
    ],
)
def test_what_cannot_be_done_is_refused(call, two, arguments, code, message):
    answer = call("report", *arguments)
    assert (answer.code, answer.out) == (code, "")
    assert message in answer.err


def test_a_missing_package_is_named(call, two, monkeypatch):
    monkeypatch.setitem(__import__("sys").modules, "altair", None)
    answer = call("report", "a")
    assert answer.code == 2
    assert "pip install 'balenas-core[report]'" in answer.err
