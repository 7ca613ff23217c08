"""What a report of runs says."""

from __future__ import annotations

import json
import sys

import pytest
from report_pages import labels

from balenas_core.errors import OutputError, UsageError
from balenas_core.report import render_report, write_report


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
    assert facts["Inherited"].startswith("61.50 %")
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


def test_further_selections_are_told_of(page, write_run):
    run = write_run("first")
    (run / "selections").mkdir()
    result = json.loads((run / "result.json").read_text())
    result |= {"architecture": "skip-skip", "selector": {"name": "naswot"}}
    (run / "selections" / "naswot.json").write_text(json.dumps(result))
    found = page(run)
    rows = found.rows("Choices of other selectors")
    assert rows[1:] == [["naswot", "61.50 %", "skip-skip"]]
    assert len(found.rows("Candidates of naswot")) == 5


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
