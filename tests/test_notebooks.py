"""The notebooks of the documentation, run from their first cell to their last."""

from __future__ import annotations

from pathlib import Path

import nbformat
import pytest
from nbclient import NotebookClient

NOTEBOOKS = sorted((Path(__file__).parents[1] / "docs" / "notebooks").glob("*.ipynb"))
EXPECTED = {
    "search_a_cell": {
        "search": {"stdout", "text/html"},
        "architecture": {"image/svg+xml"},
        "plot": {"image/png"},
        "compare": {"stdout"},
        "proxy": {"text/html"},
    }
}
"""Notebook -> cell -> what it shows, among others."""


def code_cells(notebook):
    return [cell for cell in notebook.cells if cell.cell_type == "code"]


def shown(cell):
    kinds = set()
    for output in cell.outputs:
        kinds |= {output.name} if output.output_type == "stream" else set(output.data)
    return kinds


@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)
def test_a_notebook_is_stored_without_outputs(path):
    for cell in code_cells(nbformat.read(path, as_version=4)):
        assert (cell.outputs, cell.execution_count) == ([], None), f"clear the cell {cell.id!r}"


@pytest.mark.slow
# What the kernel's libraries warn of is theirs.
@pytest.mark.filterwarnings("ignore::DeprecationWarning", "ignore::ResourceWarning")
@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)
def test_a_notebook_runs_and_shows_what_it_says(path, tmp_path):
    notebook = nbformat.read(path, as_version=4)
    # A directory of its own: the notebook must not need files that lie beside it.
    resources = {"metadata": {"path": str(tmp_path)}}
    NotebookClient(notebook, timeout=300, kernel_name="python3", resources=resources).execute()
    cells = {cell.id: shown(cell) for cell in code_cells(notebook)}
    for name, kinds in EXPECTED[path.stem].items():
        assert kinds <= cells[name], name
    assert not any("stderr" in kinds for kinds in cells.values())
    assert list(tmp_path.iterdir()) == []


def test_every_notebook_says_what_it_shows():
    assert {path.stem for path in NOTEBOOKS} == set(EXPECTED)
