"""Every command and every block of code of the README and the documentation is run."""

from __future__ import annotations

import re
import shutil
from pathlib import Path

import numpy as np
import pytest
from page_blocks import anchors, blocks, links
from page_run import Page, balenas

from balenas_cli.shell import console, explained

ROOT = Path(__file__).parents[2]
PAGES = [
    ROOT / "README.md",
    ROOT / "CONTRIBUTING.md",
    ROOT / "SECURITY.md",
    *sorted((ROOT / "docs").rglob("*.md")),
    *sorted((ROOT / "plugins").glob("**/README.md")),
]
GENERATED = ROOT / "docs" / "reference"
ELSEWHERE = {
    "write-a-plugin.md": "cli/tests/test_written_plugins.py",
    "write-a-space.md": "plugins/search_spaces/timm_stages/tests/test_timm_stages.py",
}
"""Pages whose code is run, or held against files, where their package is: page -> test."""
SLOW = frozenset({
    "README.md", "docs/coming-from.md", "docs/deploy.md", "docs/report.md", "docs/scale.md",
    "docs/selection.md", "docs/start.md", "docs/trackers.md", "docs/train.md",
})  # fmt: skip
"""Pages that take more than five seconds."""


SMALL = "--check-epochs 0 --batch-size 256 --set space.channels=2 --set space.cells_per_stage=1"


@pytest.fixture(scope="module")
def small_run(tmp_path_factory) -> Path:
    """A small run of nb201 and its training, for pages that begin with one."""
    run = tmp_path_factory.mktemp("small") / "run"
    for command in (
        f"search --space nb201 --optimizer ngvi --epochs 1 --quiet {SMALL} --output {run}",
        f"train {run} --epochs 1 --quiet",
    ):
        code, output = balenas(command.split())
        assert code == 0, output
    return run


def _provide(path: Path, folder: Path, small_run: Path) -> None:
    """Put into a folder the runs and images that a page names and does not make."""
    text = "".join(block.source for block in blocks(path))
    made = set(re.findall(r"--output (runs/[\w-]+)", text))
    for name in set(re.findall(r"runs/[\w-]+", text)) - made:
        shutil.copytree(small_run, folder / name)
    for name in re.findall(r"\b[\w-]+\.npz\b", text):
        draw = np.random.default_rng(0)
        images = draw.integers(0, 256, (128, 32, 32, 3), dtype=np.uint8)
        labels = np.arange(128) % 10
        np.savez(folder / name, x_train=images, y_train=labels, x_test=images, y_test=labels)


def _name(path: Path) -> str:
    return str(path.relative_to(ROOT))


@pytest.mark.parametrize(
    "path",
    [
        pytest.param(page, id=_name(page), marks=[pytest.mark.slow] * (_name(page) in SLOW))
        for page in PAGES
        if blocks(page)
    ],
)
def test_a_page_does_what_it_says(path, tmp_path, monkeypatch, small_run):
    monkeypatch.chdir(tmp_path)
    _provide(path, tmp_path, small_run)
    for variable in ("FORCE_COLOR", "BALENAS_DEBUG", "COLUMNS"):
        monkeypatch.delenv(variable, raising=False)
    # Their width is that of the first command of the process.
    console.stdout.cache_clear()
    console.stderr.cache_clear()
    Page(path, tmp_path, runs_code=path.name not in ELSEWHERE).run()


@pytest.mark.parametrize("page", ELSEWHERE)
def test_what_is_run_elsewhere_is_run_there(page):
    assert page in (ROOT / ELSEWHERE[page]).read_text(encoding="utf-8")


@pytest.mark.parametrize("page", sorted(set(explained.PAGES.values())))
def test_an_error_names_a_page_that_is_there(page):
    file, _, anchor = page.partition("#")
    assert not anchor or anchor in anchors(ROOT / "docs" / file)
    assert (ROOT / "docs" / file).is_file()


@pytest.mark.parametrize("path", PAGES, ids=_name)
def test_links_of_a_page_lead_somewhere(path):
    for link in links(path):
        if re.match(r"https?:|mailto:", link):
            continue
        file, _, anchor = link.partition("#")
        target = (path.parent / file).resolve() if file else path
        assert target.exists() or target.is_relative_to(GENERATED), f"{link}: no such file"
        if anchor and target.suffix == ".md" and not target.is_relative_to(GENERATED):
            assert anchor in anchors(target), f"{link}: no such heading"
