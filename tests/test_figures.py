"""The figures of the gallery are what their scripts draw today."""

import importlib
from pathlib import Path

import pytest
from figure_shapes import same_shapes

DOCS = Path(__file__).parents[1] / "docs"
FIGURES = DOCS / "figures"


def test_the_figures_of_the_gallery_are_what_their_scripts_draw(tmp_path, monkeypatch):
    pytest.importorskip("matplotlib")
    monkeypatch.syspath_prepend(str(DOCS / "site"))
    importlib.import_module("figures").main(tmp_path)
    drawn = sorted(tmp_path.glob("*.svg"))
    assert [path.name for path in drawn] == [path.name for path in sorted(FIGURES.glob("*.svg"))]
    for path in drawn:
        assert same_shapes(path, FIGURES / path.name), path.name


def test_another_line_is_another_figure(tmp_path):
    for name, d in (("a", "M 0 0 L 10 10"), ("b", "M 0 0 L 10 12"), ("c", "M 0 0")):
        (tmp_path / name).write_text(f'<g><path d="{d}"/></g>')
    assert same_shapes(tmp_path / "a", tmp_path / "a")
    assert not same_shapes(tmp_path / "a", tmp_path / "b")
    assert not same_shapes(tmp_path / "a", tmp_path / "c")
