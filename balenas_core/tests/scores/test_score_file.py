"""Files of scores: formats, going on, and what they refuse."""

import csv
import json
import math

import pytest

from balenas_core.errors import OutputError, RunLockedError, UsageError
from balenas_core.scores import ScoreFile
from balenas_core.scores._file import read_table

ROWS = [
    ('|a~0|, "b"', "|a~0|", {"x": 0.1, "y": -math.inf}),
    ("c", "c", {"x": 1e300, "y": 1 / 3}),
]
FORMATS = [".csv", ".json", ".parquet"]


def need(form):
    if form == ".parquet":
        pytest.importorskip("pyarrow", reason="pyarrow is not installed")


def fill(path, rows=ROWS, settings="abcd"):
    file = ScoreFile(path, ["x", "y"], settings)
    for row in rows:
        file.append(*row)
    file.close()
    return file


@pytest.mark.parametrize("form", FORMATS)
def test_every_format_keeps_every_digit(tmp_path, form):
    need(form)
    path = tmp_path / f"scores{form}"
    fill(path)
    columns, rows = read_table(path)
    assert columns == ["architecture", "x", "y", "scored_as", "settings"]
    assert [(r["architecture"], r["scored_as"], {"x": r["x"], "y": r["y"]}) for r in rows] == ROWS


@pytest.mark.parametrize("form", FORMATS)
def test_a_file_goes_on_where_it_ended(tmp_path, form):
    need(form)
    path, whole = tmp_path / f"a{form}", tmp_path / f"b{form}"
    fill(path, ROWS[:1])
    file = ScoreFile(path, ["x", "y"], "abcd")
    assert file.architectures == {ROWS[0][0]}
    assert file.known() == {ROWS[0][1]: ROWS[0][2]}
    file.append(*ROWS[1])
    file.close()
    fill(whole)
    assert path.read_bytes() == whole.read_bytes()


def test_csv_is_on_the_disk_after_each_row_and_standard(tmp_path):
    path = tmp_path / "scores.csv"
    file = ScoreFile(path, ["x", "y"], "abcd")
    file.append(*ROWS[0])
    with path.open(newline="") as stream:
        (row,) = csv.DictReader(stream)
    assert row["architecture"] == ROWS[0][0]
    assert float(row["y"]) == -math.inf


@pytest.mark.parametrize("cut", [1, 5, 20])
def test_a_row_of_csv_that_was_not_finished_is_made_again(tmp_path, cut):
    path = tmp_path / "scores.csv"
    fill(path)
    whole = path.read_bytes()
    path.write_bytes(whole[:-cut])
    file = ScoreFile(path, ["x", "y"], "abcd")
    assert file.architectures == {ROWS[0][0]}
    file.append(*ROWS[1])
    assert path.read_bytes() == whole


def test_json_has_null_for_what_failed(tmp_path):
    path = tmp_path / "scores.json"
    fill(path)
    assert json.loads(path.read_text())[0]["y"] is None


def test_scores_of_other_settings_do_not_mix(tmp_path):
    path = tmp_path / "scores.csv"
    fill(path)
    with pytest.raises(UsageError, match=r"other settings .*abcd, now beef"):
        ScoreFile(path, ["x", "y"], "beef")
    with pytest.raises(UsageError, match=r"has the columns architecture, x, y, .*choose another"):
        ScoreFile(path, ["x"], "abcd")


def test_what_is_no_table_of_scores_is_refused(tmp_path):
    for name, text in (("a.csv", "p,q\n1,2\n"), ("b.json", "{"), ("c.json", '[{"x": 1}]')):
        (tmp_path / name).write_text(text)
        with pytest.raises(UsageError, match="is no table of scores"):
            ScoreFile(tmp_path / name, ["x"], "abcd")
    with pytest.raises(UsageError, match=r"must end in \.csv, \.json, \.parquet; got \.txt"):
        ScoreFile(tmp_path / "a.txt", ["x"], "abcd")


def test_a_place_that_cannot_be_written_is_named(tmp_path):
    (tmp_path / "plain").write_text("")
    with pytest.raises(OutputError, match=r"cannot write .*a\.csv"):
        ScoreFile(tmp_path / "plain" / "a.csv", ["x", "y"], "abcd")


@pytest.mark.parametrize("form", FORMATS)
def test_a_file_that_is_being_written_is_refused(tmp_path, form):
    need(form)
    path, other = tmp_path / f"a{form}", tmp_path / f"link{form}"
    other.symlink_to(path)
    first = ScoreFile(path, ["x", "y"], "abcd")
    for name in (path, other):
        with pytest.raises(RunLockedError, match=rf"a{form} is being written by process \d+"):
            ScoreFile(name, ["x", "y"], "abcd")
    first.append(*ROWS[0])
    first.close()
    assert ScoreFile(path, ["x", "y"], "abcd").architectures == {ROWS[0][0]}


def test_a_refused_file_is_free_again(tmp_path):
    path = tmp_path / "scores.csv"
    fill(path)
    with pytest.raises(UsageError, match="other settings"):
        ScoreFile(path, ["x", "y"], "beef")
    fill(path, [])
    assert [file.name for file in tmp_path.iterdir()] == ["scores.csv"]


def test_nested_brackets_are_no_table(tmp_path):
    path = tmp_path / "a.json"
    path.write_text("[" * 200_000)
    with pytest.raises(UsageError, match="is no table of scores"):
        ScoreFile(path, ["x"], "abcd")


def test_an_empty_file_is_filled(tmp_path):
    path = tmp_path / "scores.csv"
    path.touch()
    fill(path)
    assert len(read_table(path)[1]) == 2
