"""What notebooks show, and searches inside of one."""

from __future__ import annotations

import asyncio
import dataclasses
import threading
from html.parser import HTMLParser

import pytest

from balenas_core import Search
from balenas_core.interfaces.benchmark import BenchmarkEntry
from balenas_core.interfaces.selection import Selection
from balenas_core.testing import ToyArchitecture, toy_config, toy_registry


class Shown(HTMLParser):
    """The tags and the texts of an HTML fragment, which must be well formed."""

    def __init__(self, html):
        super().__init__()
        self.tags, self.texts, self._open = [], [], []
        self.feed(html)
        self.close()
        assert self._open == []

    def handle_starttag(self, tag, attrs):
        self.tags.append(tag)
        self._open.append(tag)

    def handle_startendtag(self, tag, attrs):
        self.tags.append(tag)

    def handle_endtag(self, tag):
        assert self._open.pop() == tag

    def handle_data(self, data):
        self.texts.append(data)


@pytest.fixture
def result():
    registry = toy_registry()
    return Search(toy_config(registry), registry=registry).run()


@pytest.fixture
def two(result):
    """A selection whose second candidate has passed a stage less."""
    chosen = dataclasses.replace(
        result.selection.chosen, scores={"a": 2.0, "b": 3.0}, costs={"params": 5.0}
    )
    second = dataclasses.replace(
        chosen,
        rank=2,
        scores={"a": 1.0},
        is_argmax=False,
        architecture=ToyArchitecture(("skip", "none")),
    )
    return Selection((chosen, second))


def test_the_table_of_candidates_has_every_score_and_leaves_gaps(two):
    columns, rows = two.table()
    chosen = two.chosen
    assert columns == ["rank", "a", "b", "params", "draws", "is_argmax", "architecture"]
    assert rows == [
        [1, 2.0, 3.0, 5.0, chosen.draws, True, str(chosen.architecture)],
        [2, 1.0, None, 5.0, chosen.draws, False, "skip-none"],
    ]


def test_a_selection_is_a_drawing_and_a_table_of_candidates(two):
    shown = Shown(two._repr_html_())
    assert {"svg", "table", "caption", "th", "code"} <= set(shown.tags)
    assert "The best 2 of 2 candidates" in shown.texts
    assert shown.texts.count(str(two.chosen.architecture)) == 3  # as text, in drawing, in table
    assert "skip-none" in shown.texts


def test_only_the_best_candidates_are_shown(two):
    many = Selection(two.candidates * 20)
    shown = Shown(many._repr_html_())
    assert "The best 10 of 40 candidates" in shown.texts
    assert shown.tags.count("tr") == 11


def test_a_result_shows_accuracy_time_and_benchmark(result):
    entry = BenchmarkEntry("cifar10", "accuracy", 90.25, 94.0, 11, 100)
    shown = Shown(dataclasses.replace(result, benchmark=(entry,))._repr_html_())
    cells = [text for text in shown.texts if text in ("cifar10", "accuracy", "90.25", "3.75", "11")]
    assert cells == ["cifar10", "accuracy", "90.25", "3.75", "11"]
    accuracy = f"inherited validation accuracy {result.validation_accuracy:.2f} %, search "
    assert any(text.startswith(accuracy) for text in shown.texts)


def test_what_comes_from_plugins_is_text(two):
    evil = "<script>alert(1)</script>"
    chosen = dataclasses.replace(
        two.chosen, scores={evil: 1.0}, architecture=ToyArchitecture((evil, "&amp;"))
    )
    shown = Shown(Selection((chosen, *two.candidates))._repr_html_())
    assert "script" not in shown.tags
    assert evil in shown.texts
    assert f"{evil}-&amp;" in shown.texts


def test_colours_are_those_of_the_notebook_and_nothing_runs(result):
    html = result._repr_html_()
    assert "color:" not in html
    assert "CanvasText" not in html
    assert "<script" not in html
    assert "<style" not in html


def test_the_plain_form_of_a_result_is_a_line(result, two):
    architecture = str(result.architecture)
    assert repr(result).startswith(f"SearchResult(architecture={architecture!r}, ")
    assert len(repr(result)) < 200
    assert repr(two) == f"Selection(chosen={str(two.chosen.architecture)!r}, of=2)"


def test_a_search_runs_inside_of_a_running_event_loop():
    registry = toy_registry()

    async def cell():
        return Search(toy_config(registry), registry=registry).run()

    assert len(asyncio.run(cell()).metrics) == 2


def test_a_search_in_another_thread_finds_the_same(result):
    registry = toy_registry()
    found = []
    search = Search(toy_config(registry), registry=registry)
    thread = threading.Thread(target=lambda: found.append(search.run()))
    thread.start()
    thread.join()
    assert found[0].architecture == result.architecture
    assert found[0].metrics[-1]["train_loss"] == result.metrics[-1]["train_loss"]
