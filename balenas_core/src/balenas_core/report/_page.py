"""From contents to HTML."""

from __future__ import annotations

import base64
import hashlib
import re
from collections.abc import Iterator, Sequence
from functools import cache
from importlib import resources
from typing import Any

import altair as alt
import jinja2
import vl_convert
from markupsafe import Markup

from balenas_core.report._parts import (
    Chart,
    Charts,
    Contents,
    Details,
    Part,
    Section,
    Table,
)
from balenas_core.report._vega import vega_bundle

_KNOWN = vl_convert.get_vegalite_versions()
_WANTED = re.sub(r"^v(\d+\.\d+).*$", r"\1", alt.SCHEMA_VERSION)
_VERSION = _WANTED if _WANTED in _KNOWN else _KNOWN[-1]
_OWN_ID = re.compile(r'(\bid="|url\(#)(?=[\w-]+["\)])')


def page(contents: Contents, *, is_static: bool) -> str:
    """Return the page. All text is escaped by the template.

    Args:
        contents: What is on it.
        is_static: Leave out the library that makes charts answer to a pointer.
    """
    has_charts = any(_all(contents.parts, Charts))
    scripts = [_file("tables.js")] if any(_all(contents.parts, Table)) else []
    if has_charts and not is_static:
        scripts += [vega_bundle(_VERSION), _file("charts.js")]
    return _template().render(
        page=contents,
        style=Markup(_file("style.css")),
        scripts=[Markup(script) for script in scripts],
        hashes=[_hash(script) for script in scripts],
        is_static=is_static,
        svg=_Images(),
    )


@cache
def _template() -> jinja2.Template:
    environment = jinja2.Environment(
        loader=jinja2.PackageLoader("balenas_core.report"),
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    return environment.get_template("page.html.j2")


class _Images:
    """Renders charts, and gives what they hold names of their own in the page."""

    def __init__(self) -> None:
        self._count = 0

    def __call__(self, chart: Chart) -> Markup:
        """Return a chart as an SVG image."""
        self._count += 1
        image = vl_convert.vegalite_to_svg(
            dict(chart.spec), vl_version=_VERSION, allowed_base_urls=[]
        )
        # Clip paths of every image are called clip0, clip1, ...
        image = _OWN_ID.sub(rf"\g<1>chart{self._count}-", image)
        # The page describes the chart once, for who cannot see it.
        return Markup(image.replace("<svg ", '<svg aria-hidden="true" ', 1))


def _file(name: str) -> str:
    files = resources.files("balenas_core.report") / "templates"
    return (files / name).read_text(encoding="utf-8")


def _hash(script: str) -> str:
    """Return by what the page's policy knows a script."""
    digest = hashlib.sha256(script.encode()).digest()
    return f"'sha256-{base64.b64encode(digest).decode()}'"


def _all(parts: Sequence[Part], kind: type) -> Iterator[Any]:
    for part in parts:
        if isinstance(part, kind):
            yield part
        if isinstance(part, Section | Details):
            yield from _all(part.parts, kind)
