"""What a page holds that can be run or followed: blocks of code, commands, links, headings."""

from __future__ import annotations

import re
import unicodedata
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path

from markdown_it import MarkdownIt
from markdown_it.token import Token

PROGRAMS = frozenset({
    "$", "balenas", "make", "nice", "pip", "python", "tensorboard", "torchrun", "git",
})  # fmt: skip
"""What an indented block of commands begins with; other indented blocks are text."""

_TITLE = re.compile(r'title="([^"]+)"')
_FENCED = re.compile(r"^```.*?^```$", re.MULTILINE | re.DOTALL)
_PARSER = MarkdownIt("commonmark").enable("table")


@dataclass(frozen=True, slots=True)
class Block:
    """A block of a page: its language, its file name if it has one, its text and its line."""

    language: str
    title: str | None
    source: str
    line: int


@dataclass(frozen=True, slots=True)
class Command:
    """A command, and the lines that the page shows below it."""

    text: str
    shown: tuple[str, ...]


def tokens(path: Path) -> list[Token]:
    """Return the parts of a page."""
    return _PARSER.parse(path.read_text(encoding="utf-8"))


def blocks(path: Path) -> list[Block]:
    """Return every block of code of a page, in its order."""
    found = []
    for token in tokens(path):
        line = token.map[0] + 1 if token.map else 0
        if token.type == "fence":
            title = _TITLE.search(token.info)
            language = token.info.split()[0] if token.info.split() else ""
            found.append(Block(language, title and title[1], token.content, line))
        elif token.type == "code_block":
            first = token.content.split()[0]
            language = "console" if first == "$" else "sh" if first in PROGRAMS else ""
            found.append(Block(language, None, token.content, line))
    return found


def commands(block: Block) -> list[Command]:
    """Return the commands of a block: lines behind ``$`` with what they show, in ``sh`` all."""
    lines = re.sub(r"\\\n\s*", "", block.source).splitlines()
    if block.language == "sh":
        return [Command(line, ()) for line in lines if line.strip()]
    found: list[Command] = []
    for line in lines:
        if line.startswith("$ "):
            found.append(Command(line[2:], ()))
        elif found:
            found[-1] = Command(found[-1].text, (*found[-1].shown, line))
    return found


def links(path: Path) -> list[str]:
    """Return the targets of a page's links and images."""
    return [
        str(child.attrs.get("href", child.attrs.get("src")))
        for token in tokens(path)
        for child in token.children or ()
        if child.type in ("link_open", "image")
    ]


def anchors(path: Path) -> set[str]:
    """Return the anchors of a page's headings, as GitHub and the site make them."""
    parts = tokens(path)
    found: set[str] = set()
    for opening, inline in pairwise(parts):
        if opening.type != "heading_open":
            continue
        text = "".join(child.content for child in inline.children or ())
        text = unicodedata.normalize("NFKD", text).lower()
        slug = re.sub(r"[\s]+", "-", re.sub(r"[^\w\s-]", "", text).strip())
        number = next(n for n in range(1000) if (f"{slug}_{n}" if n else slug) not in found)
        found.add(f"{slug}_{number}" if number else slug)
    return found


def substitutions(path: Path) -> dict[str, str]:
    """Return what the page's last table says: what is written, and what the tests run for it."""
    text = _FENCED.sub("", path.read_text(encoding="utf-8"))
    text = text.partition("\n## How this page is tested\n")[2]
    rows = re.findall(r"^\| `(.+?)` \| (?:`(.*?)`|(.+?)) \|$", text, re.MULTILINE)
    return {written: code or f"*{words}" for written, code, words in rows}
