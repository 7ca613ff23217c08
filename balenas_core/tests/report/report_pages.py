"""Pages of reports, read for tests."""

from __future__ import annotations

import json
from html.parser import HTMLParser


class Page(HTMLParser):
    """Elements of a page with their text."""

    VOID = frozenset({"meta", "link", "img", "br", "input"})

    def __init__(self, text):
        super().__init__(convert_charrefs=True)
        self.elements = []
        self._open = []
        self.feed(text)
        self.close()
        assert self._open == []

    def handle_starttag(self, tag, attributes):
        element = {"tag": tag, "attributes": dict(attributes), "text": ""}
        self.elements.append(element)
        if tag not in self.VOID:
            self._open.append(element)

    def handle_startendtag(self, tag, attributes):
        self.elements.append({"tag": tag, "attributes": dict(attributes), "text": ""})

    def handle_endtag(self, tag):
        assert self._open.pop()["tag"] == tag

    def handle_data(self, data):
        for element in self._open:
            element["text"] += data

    def all(self, *tags):
        return [e for e in self.elements if e["tag"] in tags]

    def texts(self, *tags):
        return [" ".join(e["text"].split()) for e in self.all(*tags)]

    def rows(self, caption):
        """Return the table with a caption as lists of texts."""
        start = next(
            i
            for i, e in enumerate(self.elements)
            if e["tag"] == "caption" and e["text"].strip() == caption
        )
        rows = []
        for element in self.elements[start:]:
            if element["tag"] == "table":
                break
            if element["tag"] == "tr":
                rows.append([])
            elif element["tag"] in ("th", "td"):
                rows[-1].append(" ".join(element["text"].split()))
        return rows


def labels(page):
    """Return what is said of elements to those who cannot see them."""
    return [e["attributes"].get("aria-label", "") for e in page.elements]


def change_result(run, **changes):
    """Change fields of a run's result; None takes one out."""
    result = json.loads((run / "result.json").read_text()) | changes
    kept = {key: value for key, value in result.items() if value is not None}
    (run / "result.json").write_text(json.dumps(kept))
