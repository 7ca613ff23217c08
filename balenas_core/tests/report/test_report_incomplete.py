"""What a report says of a run that is not done, old, damaged or without its plugins."""

from __future__ import annotations

import json
import subprocess
import sys

import pytest
from hypothesis import HealthCheck, given, settings, strategies as st
from report_pages import Page, change_result, labels

from balenas_core.files import RunLock
from balenas_core.report import render_report

FILES = ("status.json", "result.json", "environment.json", "metrics.jsonl", "distribution.jsonl")


@pytest.mark.parametrize(
    ("status", "message", "told"),
    [
        ("interrupted", None, "This run was interrupted before it had chosen an architecture."),
        ("failed", "the disk was full", "This run failed. 2 epochs of 3 are done. Reason: the"),
        ("running", None, "The process of this run was killed"),  # nobody holds its lock
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
    change_result(run, candidates=candidates, cells=None, stages=None, pareto=None, kept=None)
    found = page(run)
    assert any("this run kept none" in text for text in found.texts("p"))
    assert not any("damaged" in text for text in found.texts("p"))
    header = ["rank", "synflow", "trained", "draws", "argmax", "architecture"]
    assert found.rows("Candidates")[0] == header


def test_a_run_without_any_epoch_is_shown(page, write_run):
    found = page(write_run("first", status="failed", epochs=0, message="no"))
    assert any(text.startswith("No epoch is done") for text in found.texts("p"))


@pytest.mark.parametrize("has_cells", [True, False])
def test_without_its_space_a_run_is_shown_with_what_it_keeps(page, write_run, has_cells):
    run = write_run("first", config={"space": {"name": "elsewhere"}})
    if not has_cells:
        change_result(run, cells=None)
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
    change_result(run, benchmark=[])
    code = "import sys; from pathlib import Path; from balenas_core.report import render_report; "
    code += "page = render_report([Path(sys.argv[1])], is_static=True); "
    code += "assert 'Drawing of the toy cell' in page; assert 'torch' not in sys.modules"
    subprocess.run([sys.executable, "-c", code, str(run)], check=True)


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
