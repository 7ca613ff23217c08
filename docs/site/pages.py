"""The written pages: which files they are, and how each is turned into a page of the site."""

from __future__ import annotations

import os
import re
import tomllib
from functools import cache
from pathlib import Path

from latex2mathml.converter import convert

ROOT = Path(__file__).parents[2]
DOCS = ROOT / "docs"
_ASSETS = frozenset({".md", ".svg", ".png", ".ipynb", ".css"})
_LINK = re.compile(r"\[(?P<text>[^\]]*)\]\((?P<path>[^)#\s:]+)(?P<anchor>#[^)\s]*)?\)")
_FENCE = re.compile(
    r"^(?P<fence>```+)(?P<language>\w*)[^\n]*\n(?P<body>.*?)^(?P=fence)$", re.M | re.S
)
GENERATED = ("reference/command-line.md", "reference/configuration.md", "reference/plugins.md",
             "reference/run-files.md")  # fmt: skip


@cache
def carried() -> dict[Path, Path]:
    """Return every file of the repository that the site takes, with its place there."""
    found = {
        path: path.relative_to(DOCS)
        for path in sorted(DOCS.rglob("*"))
        if path.suffix in _ASSETS and "site" not in path.relative_to(DOCS).parts
    }
    found |= {
        path: Path("results") / path.name
        for path in sorted((ROOT / "benchmarks" / "results").glob("*.md"))
    }
    return found | {
        ROOT / "CHANGELOG.md": Path("changelog.md"),
        ROOT / "CODE_OF_CONDUCT.md": Path("code-of-conduct.md"),
        ROOT / "CONTRIBUTING.md": Path("contributing.md"),
        ROOT / "SECURITY.md": Path("security.md"),
        ROOT / "plugins" / "optimizers" / "ngvi" / "README.md": Path("ngvi-readme.md"),
        ROOT / "plugins" / "proxies" / "README.md": Path("proxies-list.md"),
    }


@cache
def repository() -> str | None:
    """Return the address of the project's files, once pyproject.toml names one."""
    with (ROOT / "pyproject.toml").open("rb") as file:
        urls = tomllib.load(file)["project"].get("urls", {})
    return urls.get("Source")


def converted(source: Path, target: Path) -> str:
    """Return a page of the repository as a page of the site."""
    text, parts, end = source.read_text(encoding="utf-8"), [], 0
    for block in _FENCE.finditer(text):  # what stands in code blocks is nobody's link
        parts.append(_relinked(text[end : block.start()], source, target))
        is_math = block["language"] == "math"
        parts.append(_formula(block["body"]) if is_math else block.group())
        end = block.end()
    return "".join((*parts, _relinked(text[end:], source, target)))


def _formula(latex: str) -> str:
    return f'<div class="formula">{convert(latex.strip(), display="block")}</div>'


def _relinked(text: str, source: Path, target: Path) -> str:
    def replaced(match: re.Match[str]) -> str:
        path = Path(os.path.normpath(source.parent / match["path"]))
        anchor = match["anchor"] or ""
        if path.is_relative_to(DOCS) and str(path.relative_to(DOCS)) in GENERATED:
            place = path.relative_to(DOCS)
        elif path in carried():
            place = carried()[path]
        else:
            return _outside(match["text"], path)
        return f"[{match['text']}]({os.path.relpath(place, target.parent)}{anchor})"

    return _LINK.sub(replaced, text)


def _outside(text: str, path: Path) -> str:
    """Return what stands for a link to a file of the repository that is no page."""
    address = repository()
    return text if address is None else f"[{text}]({address}/blob/main/{path.relative_to(ROOT)})"


def write(path: Path, text: str) -> None:
    """Write a page, and its folder."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text, encoding="utf-8")
