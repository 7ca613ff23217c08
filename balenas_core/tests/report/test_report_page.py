"""What a report says, and that it is safe to open."""

from __future__ import annotations

import base64
import hashlib
import itertools
import json
import re
import subprocess
import sys
from html.parser import HTMLParser

import altair as alt
import pytest
from hypothesis import HealthCheck, given, settings, strategies as st

from balenas_core.errors import OutputError, UsageError
from balenas_core.files import RunLock
from balenas_core.report import render_report, write_report

EVIL = "</script><script>alert('x')</script><img src=x onerror=alert(1)>\"'&"


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


@pytest.fixture
def page(registry):
    def page(*runs):
        return Page(render_report(runs, registry=registry, is_static=True))

    return page


def test_a_report_of_one_run_tells_what_was_found(page, write_run):
    found = page(write_run("first"))
    assert found.texts("h1") == ["Search run first"]
    assert found.texts("h2") == [
        "Architecture",
        "Benchmark",
        "Candidates",
        "Learning curves",
        "Distribution",
        "How to reproduce",
    ]
    facts = dict(zip(found.texts("dt"), found.texts("dd"), strict=True))
    assert facts["Benchmark, shapes"] == "90.00 % rank 1 of 9"
    assert facts["Choice alone"].startswith("61.50 %")
    assert facts["Time"] == "1 min 13 s search 3.0 s, selection 1 min 10 s"
    assert facts["selector"] == "synflow > train"
    assert facts["torch"] == "2.14.1"
    assert "The argmax architecture last changed in epoch 2 of 3." in found.texts("p")
    code = found.texts("pre")
    assert "conv-conv" in code
    assert "pip install torch==2.14.1 balenas==0.1.0 balenas search search.yaml" in code[1]
    assert "seed: 0 space: toy" in code


def test_candidates_have_all_their_scores_and_costs(page, write_run):
    rows = page(write_run("first")).rows("Candidates")
    assert rows[0] == ["rank", "synflow", "trained", "params", "draws", "argmax", "architecture"]
    assert rows[1] == ["1", "1e+09", "90", "400", "4", "", "conv-conv"]
    assert rows[2] == ["2", "1e+08", "90", "300", "3", "yes", "conv-skip"]
    assert rows[4] == ["4", "1,000,000", "-", "100", "1", "", "skip-skip"]


def test_stages_survivors_and_the_front_are_shown(page, write_run):
    found = page(write_run("first"))
    assert found.rows("Stages of the selection")[1:] == [
        ["synflow", "4", "2", "0", "1.0 s"],
        ["train", "2", "1", "6", "9.0 s"],
    ]
    assert found.rows("Survivors of synflow")[1:] == [["1", "conv-conv"], ["2", "conv-skip"]]
    start = "Rank against params. On the front: rank 1"
    assert any(text.startswith(start) for text in labels(found))


def test_the_last_weights_are_a_table(page, write_run):
    rows = page(write_run("first")).rows("Weights of operations after epoch 3")
    assert rows[0] == ["slot", "none", "skip", "conv"]
    assert [row[0] for row in rows[1:]] == ["first", "second"]
    for row in rows[1:]:
        assert sum(map(float, row[1:])) == pytest.approx(1, abs=2e-3)


def test_a_training_from_scratch_is_shown(page, write_run):
    found = page(write_run("first", trained=True))
    assert "Trained from scratch" in found.texts("h2")
    facts = dict(zip(found.texts("dt"), found.texts("dd"), strict=True))
    assert facts["Test accuracy"] == "93.25 % trained from scratch, test images"
    assert (facts["preset"], facts["parameters"]) == ("quick", "12,345")
    assert "Accuracy. test accuracy: from 80 % to 90 %, epoch 2." in labels(found)


def test_a_training_of_another_candidate_and_on_held_out_images_says_so(page, write_run):
    run = write_run("first", trained=True)
    path = run / "training" / "result.json"
    told = {"architecture": "skip-skip", "is_held_out": True, "test_images": 1024}
    path.write_text(json.dumps(json.loads(path.read_text()) | told))
    found = page(run)
    facts = dict(zip(found.texts("dt"), found.texts("dd"), strict=True))
    assert facts["tested on"] == "1,024 held-out training images"
    assert "Trained was another architecture than the choice:" in found.texts("p")
    assert "skip-skip" in found.texts("pre")


@pytest.mark.parametrize(
    ("status", "message", "told"),
    [
        ("interrupted", None, "This run was interrupted before it had chosen an architecture."),
        ("failed", "the disk was full", "This run failed. 2 epochs of 3 are done. Reason: the"),
        ("running", None, "This run was interrupted"),  # nobody holds its lock
    ],
)
def test_a_run_that_is_not_done_says_so(page, write_run, status, message, told):
    found = page(write_run("first", status=status, epochs=2, message=message))
    assert any(text.startswith(told) for text in found.texts("p"))
    assert any("it is no choice" in text for text in found.texts("p"))
    if status != "running":
        assert any(text.startswith("balenas resume ") for text in found.texts("pre"))


def test_a_run_that_goes_on_is_shown_as_far_as_it_is(page, write_run):
    run = write_run("first", status="running", epochs=1)
    with (run / "metrics.jsonl").open("a") as file:
        file.write('{"epoch": 1, "train')
    lock = RunLock.acquire(run)
    found = page(run)
    lock.release()
    assert any(text.startswith("This run is going on") for text in found.texts("p"))
    assert len(found.rows("Metrics of every epoch")) == 2
    assert not any("damaged" in text for text in found.texts("p"))


def test_a_run_of_an_old_version_is_shown_without_what_it_lacks(page, write_run):
    run = write_run("first")
    (run / "distribution.jsonl").unlink()
    candidates = json.loads((run / "result.json").read_text())["candidates"]
    for candidate in candidates:
        del candidate["costs"]
    _change(run, candidates=candidates, cells=None, stages=None, pareto=None, kept=None)
    found = page(run)
    assert any("this run kept none" in text for text in found.texts("p"))
    assert not any("damaged" in text for text in found.texts("p"))
    header = ["rank", "synflow", "trained", "draws", "argmax", "architecture"]
    assert found.rows("Candidates")[0] == header


def test_a_run_without_any_epoch_is_shown(page, write_run):
    found = page(write_run("first", status="failed", epochs=0, message="no"))
    assert any(text.startswith("No epoch is done") for text in found.texts("p"))


def _change(run, **changes):
    result = json.loads((run / "result.json").read_text()) | changes
    kept = {key: value for key, value in result.items() if value is not None}
    (run / "result.json").write_text(json.dumps(kept))


@pytest.mark.parametrize("has_cells", [True, False])
def test_without_its_space_a_run_is_shown_with_what_it_keeps(page, write_run, has_cells):
    run = write_run("first", config={"space": {"name": "elsewhere"}})
    if not has_cells:
        _change(run, cells=None)
    found = page(run)
    assert ("Drawing of the toy cell" in labels(found)) == has_cells
    told = [text for text in found.texts("p") if "no space called 'elsewhere'" in text]
    assert [text.partition(":")[0] for text in told] == [
        *([] if has_cells else ["its cells cannot be drawn"]),
        "no histogram",
    ]
    assert "conv-conv" in found.texts("pre")


def test_a_run_that_keeps_its_cells_and_has_no_benchmark_needs_no_torch(write_run):
    run = write_run("first")
    _change(run, benchmark=[])
    code = "import sys; from pathlib import Path; from balenas_core.report import render_report; "
    code += "page = render_report([Path(sys.argv[1])], is_static=True); "
    code += "assert 'Drawing of the toy cell' in page; assert 'torch' not in sys.modules"
    subprocess.run([sys.executable, "-c", code, str(run)], check=True)


def test_further_selections_are_told_of(page, write_run):
    run = write_run("first")
    (run / "selections").mkdir()
    result = json.loads((run / "result.json").read_text()) | {"architecture": "skip-skip"}
    (run / "selections" / "naswot.json").write_text(json.dumps(result))
    found = page(run)
    rows = found.rows("Choices of other selectors")
    assert rows[1:] == [["naswot", "61.50 %", "skip-skip"]]
    assert len(found.rows("Candidates of naswot")) == 5


FILES = ("status.json", "result.json", "environment.json", "metrics.jsonl", "distribution.jsonl")


@pytest.mark.parametrize("content", [None, b"{", b"[]\n", b"\xff\xfe\n", b"{}\n"])
@pytest.mark.parametrize("name", [*FILES, "training/result.json", "training/metrics.jsonl"])
def test_a_damaged_file_costs_no_more_than_what_it_held(page, write_run, name, content):
    run = write_run("first", trained=True)
    if content is None:
        (run / name).unlink()
    else:
        (run / name).write_bytes(content)
    assert page(run).texts("h1") == ["Search run first"]
    other = write_run("second")
    assert page(run, other).texts("h1") == ["Report of 2 runs"]


JSON = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-3, 3)
    | st.floats(allow_nan=False)
    | st.text("x<", max_size=3),
    lambda inner: st.lists(inner, max_size=2) | st.dictionaries(st.text("ab"), inner, max_size=2),
    max_leaves=4,
)


def _places(value, place=()):
    yield place
    items = value.items() if isinstance(value, dict) else enumerate(value)
    for key, item in items if isinstance(value, dict | list) else ():
        yield from (
            _places(item, (*place, key)) if isinstance(item, dict | list) else [(*place, key)]
        )


def _changed(value, place, new):
    if not place:
        return new
    copy = dict(value) if isinstance(value, dict) else list(value)
    copy[place[0]] = _changed(value[place[0]], place[1:], new)
    return copy


@settings(
    max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(data=st.data())
def test_nothing_in_a_file_ends_the_report(registry, whole_run, data):
    """Any value of any file is replaced by any other."""
    name = data.draw(st.sampled_from([f for f in FILES if f.endswith(".json")]))
    path = whole_run / name
    before = path.read_text()
    value = json.loads(before)
    place = data.draw(st.sampled_from(sorted(_places(value), key=str)))
    path.write_text(json.dumps(_changed(value, place, data.draw(JSON))))
    try:
        Page(render_report([whole_run], registry=registry, is_static=True))
    finally:
        path.write_text(before)


@pytest.fixture
def whole_run(write_run):
    return write_run("first")


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


def test_runs_that_differ_in_the_seed_are_told_of_together(page, write_run):
    runs = [write_run(f"a{seed}", seed=seed) for seed in range(3)]
    other = write_run("b", config={"optimizer": {"name": "adam", "lr": 0.3}})
    found = page(*runs, other)
    assert found.texts("h1") == ["Report of 4 runs"]
    overview = found.rows("All runs")
    assert [row[0] for row in overview[1:]] == ["a0", "a1", "a2", "b"]
    assert [row[2] for row in overview[1:]] == ["A", "A", "A", "B"]
    assert found.rows("Settings in which the groups differ") == [
        ["setting", "group A", "group B"],
        ["optimizer.name", "ngvi", "adam"],
        ["optimizer.lr", "0.1", "0.3"],
    ]
    told = "Mean over seeds, with half the width of its 95 % confidence interval (Student's t)"
    rows = {row[0]: row[1:] for row in found.rows(told)}
    assert rows["number"] == ["group A, 3 runs", "group B, 1 run"]
    assert rows["inherited accuracy"] == ["62.5 ± 2.484", "61.5"]
    assert rows["shapes regret"] == ["10 ± 24.84", "0"]


def test_runs_of_one_name_are_told_apart(page, write_run):
    overview = page(write_run("x/run"), write_run("y/run", seed=1)).rows("All runs")
    assert [row[0] for row in overview[1:]] == ["x/run", "y/run"]


def test_a_report_is_written_as_a_whole(registry, whole_run, tmp_path):
    output = tmp_path / "page.html"
    write_report([whole_run], output, registry=registry)
    assert output.read_text().endswith("</html>")
    with pytest.raises(OutputError, match="cannot write"):
        write_report([whole_run], tmp_path / "none" / "page.html", registry=registry)


@pytest.mark.parametrize("name", ["altair", "jinja2", "vl_convert"])
def test_a_missing_package_is_named_with_the_extra(registry, whole_run, monkeypatch, name):
    monkeypatch.setitem(sys.modules, name, None)
    with pytest.raises(UsageError, match=rf"a report needs {name}.*'balenas-core\[report\]'"):
        render_report([whole_run], registry=registry)


def test_what_is_no_run_is_refused(registry, tmp_path):
    with pytest.raises(UsageError, match="holds no run"):
        render_report([tmp_path], registry=registry)
    with pytest.raises(UsageError, match="at least one run"):
        render_report([], registry=registry)
