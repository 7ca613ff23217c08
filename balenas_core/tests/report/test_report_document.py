"""That a report is a sound document, and safe to open."""

from __future__ import annotations

import base64
import hashlib
import itertools
import json
import re

import altair as alt
from report_pages import Page

from balenas_core.report import render_report

EVIL = "</script><script>alert('x')</script><img src=x onerror=alert(1)>\"'&"


def test_text_of_users_and_plugins_is_text(registry, write_run):
    run = write_run(
        "evil",
        status="failed",
        message=EVIL,
        config={"space": {"name": EVIL}, "optimizer": {"name": EVIL, EVIL: EVIL}},
    )
    (run / "config.yaml").write_text(f"space: {EVIL}")
    metrics = json.loads((run / "metrics.jsonl").read_text().splitlines()[0])
    lines = [{**metrics, "epoch": e, EVIL: float(e), "architecture": EVIL} for e in range(3)]
    (run / "metrics.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines))
    environment = {"versions": {EVIL: EVIL}, EVIL: EVIL, "command": [EVIL]}
    (run / "environment.json").write_text(json.dumps(environment))
    (run / "distribution.jsonl").write_text(
        json.dumps({"decisions": {EVIL: {"slots": [EVIL], "choices": [EVIL, "other"]}}})
        + "\n"
        + "".join(
            json.dumps({"epoch": e, "weights": {EVIL: [[0.5, 0.5]]}}) + "\n" for e in range(2)
        )
    )
    done = write_run("<script>alert(1)<")
    text = (done / "result.json").read_text().replace("synflow", "</script><b>")
    (done / "result.json").write_text(text.replace("conv-skip", "</code><script>alert(2)"))
    found = Page(render_report([run, done], registry=registry))
    assert found.all("img", "b") == []
    scripts = found.all("script")
    inline = [e for e in scripts if e["attributes"].get("type") != "application/json"]
    assert len(inline) == 3
    assert not any("alert(" in e["text"] for e in inline)
    for element in scripts:
        if element not in inline:
            json.loads(element["text"])
    assert not any(name.startswith("on") for e in found.elements for name in e["attributes"])
    assert "<script>alert(1)<" in [text.partition(" ")[0] for text in found.texts("h2")]


def test_the_policy_allows_the_scripts_of_the_page_and_no_network(registry, whole_run):
    found = Page(render_report([whole_run], registry=registry))
    (policy,) = [
        e["attributes"]["content"]
        for e in found.all("meta")
        if e["attributes"].get("http-equiv") == "Content-Security-Policy"
    ]
    rules = dict(rule.strip().partition(" ")[::2] for rule in policy.split(";"))
    assert rules["default-src"] == "'none'"
    hashes = {
        f"'sha256-{base64.b64encode(hashlib.sha256(e['text'].encode()).digest()).decode()}'"
        for e in found.all("script")
        if "type" not in e["attributes"]
    }
    assert set(rules["script-src"].split()) == hashes
    assert len(hashes) == 3
    loaded = [
        value
        for e in found.elements
        for name, value in e["attributes"].items()
        if name in ("src", "href", "xlink:href", "data", "action", "poster", "srcset")
    ]
    assert all(value.startswith(("#", "data:,")) for value in loaded)


def test_every_chart_is_an_image_and_a_static_page_has_no_library(registry, write_run):
    run, other = write_run("first"), write_run("second", seed=1)
    static = render_report([run, other], registry=registry, is_static=True)
    moving = render_report([run, other], registry=registry)
    assert "vegaEmbed" not in static
    assert len(moving) - len(static) > 500_000
    for text in (static, moving):
        charts = text.split('<figure class="chart">')[1:]
        assert len(charts) > 20
        assert all("<svg" in chart.partition("</figure>")[0] for chart in charts)
    ids = re.findall(r'\sid="([^"]+)"', static)
    assert len(set(ids)) == len(ids)
    for used in re.findall(r"url\(#([^)]+)\)", static):
        assert used in ids


def test_every_chart_is_valid_vega_lite(registry, whole_run, write_run):
    found = Page(render_report([whole_run, write_run("second", seed=1)], registry=registry))
    specs = [e for e in found.all("script") if e["attributes"].get("type") == "application/json"]
    assert len(specs) > 20
    for element in specs:
        alt.Chart.from_dict(json.loads(element["text"]))


def test_headings_come_in_order_and_links_lead_somewhere(page, write_run):
    for found in (page(write_run("a")), page(write_run("b"), write_run("c", seed=1))):
        levels = [int(e["tag"][1]) for e in found.all("h1", "h2", "h3", "h4")]
        assert levels[0] == 1
        assert levels.count(1) == 1
        assert all(b - a <= 1 for a, b in itertools.pairwise(levels))
        ids = {e["attributes"].get("id") for e in found.elements}
        links = [e["attributes"]["href"] for e in found.all("a")]
        assert links
        assert all(link.removeprefix("#") in ids for link in links)
