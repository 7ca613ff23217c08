"""Requests that cannot be carried out: one message, exit code 2, nothing written."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

TOY = ("search", "--space", "toy", "--optimizer", "toy_adam", "--check-epochs", "0")


def assert_refused(answer, message: str, code: int = 2) -> None:
    assert answer.code == code
    assert answer.out == ""
    assert "Traceback" not in answer.err
    assert re.search(message, answer.err), answer.err


UNKNOWN = {
    "space": (["--space", "toi"], r"--space: no space called 'toi'\. Did you mean 'toy'\?"),
    "optimizer": (["--optimizer", "toy_adm"], r"no optimizer called.*Did you mean 'toy_adam'\?"),
    "distribution": (["--distribution", "gausian"], r"no distribution.*mean 'gaussian'\?"),
    "selector": (["--selector", "toy_param"], r"selector or proxy.*mean 'toy_params'\?"),
    "dataset": (["--data", "digit"], r"no dataset called 'digit'\. Did you mean 'digits'\?"),
    "preset": (["--preset", "toy_preste"], r"no preset called.*Did you mean 'toy_preset'\?"),
    "tracker": (["--set", "trackers=[tensorbord]"], r"no tracker called 'tensorbord'"),
    "tracker of a flag": (
        ["--tracker", "tensorbord"],
        r"^error: --tracker: no tracker called 'tensorbord'",
    ),
    "executor": (["--set", "executor=locla"], r"no executor called 'locla'.*mean 'local'\?"),
    "key": (["--set", "trainin.epochs=3"], r"trainin: unknown key. Did you mean 'training'\?"),
    "option": (["--set", "optimizer.lrr=3"], r"optimizer\.lrr: unknown key.*mean 'lr'\?"),
}


@pytest.mark.parametrize("what", UNKNOWN)
def test_an_unknown_name_suggests_a_close_one(call, tmp_path, what):
    arguments, message = UNKNOWN[what]
    answer = call(*TOY, *arguments)
    assert_refused(answer, message)
    assert len(answer.err.splitlines()) == 1
    assert not (tmp_path / "runs").exists()


VALUES = {
    "no draws": (["--selector", "toy_params", "--draws", "0"], "--draws: must be at least 1"),
    "negative seed": (["--seed", "-1"], r"--seed: must be at least 0 \(got -1\)"),
    "large seed": (["--seed", str(2**63)], "--seed: must be less than 9223372036854775808"),
    "no epochs": (["--epochs", "0"], r"--epochs: must be at least 1 \(got 0\)"),
    "no images": (["--batch-size", "0"], "--batch-size: must be at least 1"),
    "negative lr": (["--lr", "-0.1"], "--lr: must be greater than 0"),
    "infinite lr": (["--lr", "inf"], "--lr: must be a finite number"),
    "device": (["--device", "gpu"], r"--device: must be auto, cpu, cuda.*'gpu'"),
    "precision": (["--precision", "float8"], r"--precision: must be .*float8"),
    "threads": (["--threads", "0"], "--threads: must be at least 1"),
    "no equals sign": (["--set", "seed"], "--set seed: expected KEY=VALUE"),
    "no key": (["--set", "=3"], "--set =3: expected KEY=VALUE"),
    "broken value": (["--set", "seed=[1"], r"--set seed=\[1: "),
    "root of another": (
        ["--data-root", "x", "--set", "data=cifar10", "--set", "data={name: digits}"],
        r"--data-root: dataset 'digits' is in no file or folder",
    ),
    "missing file": (["--data", "npz", "--data-root", "no.npz"], r"no\.npz"),
    "wrong type": (["--set", "training.epochs=many"], "whole number.*'many'"),
    "options of none": (
        ["--data-root", "x"],
        r"--data-root: dataset 'digits' is in no file or folder",
    ),
    "draws of argmax": (
        ["--draws", "4"],
        "--draws: does not apply: selector 'argmax' takes no options",
    ),
    "unfit space": (["--space", "fixed"], "'toy_adam' needs a space that provides 'supernet'"),
    "unfit distribution": (
        ["--optimizer", "frozen", "--distribution", "gaussian"],
        "'frozen' needs a distribution that provides 'logits'",
    ),
}


@pytest.mark.parametrize("what", VALUES)
def test_an_impossible_value_is_refused_by_the_name_of_its_flag(call, tmp_path, what):
    arguments, message = VALUES[what]
    assert_refused(call(*TOY, *arguments), message)
    assert not (tmp_path / "runs").exists()


MALFORMED = {
    "whole number": (["--epochs", "many"], "--epochs: must be a whole number (got 'many')"),
    "number": (["--lr", "fast"], "--lr: must be a number (got 'fast')"),
    "option": (["--zzz", "red"], "no such option: --zzz. See 'balenas search --help'."),
    "argument": (
        ["a", "b"],
        "got unexpected extra argument(s) (b). See 'balenas search --help'.",
    ),
    "value": (["--seed"], "option '--seed' requires an argument."),
}


@pytest.mark.parametrize("what", MALFORMED)
def test_what_the_command_does_not_understand_is_one_line(call, what):
    arguments, message = MALFORMED[what]
    answer = call(*TOY, *arguments)
    assert (answer.code, answer.out) == (2, "")
    assert answer.err == f"error: {message}\n"


def test_an_unknown_command_suggests_a_close_one(call):
    answer = call("serch")
    assert answer.code == 2
    assert answer.err.startswith("error: no such command 'serch'. Did you mean 'search'")
    assert answer.err.endswith("? See 'balenas --help'.\n")


@pytest.mark.parametrize("command", [[], ["runs"]])
def test_a_group_without_a_command_shows_its_help(call, command):
    answer = call(*command)
    assert answer.code == 2
    assert "Usage: balenas" in answer.out + answer.err


def test_all_problems_are_shown_at_once(call):
    answer = call(*TOY, "--seed", "-1", "--epochs", "0", "--selector", "nothing")
    assert answer.code == 2
    assert len(answer.err.splitlines()) == 3
    assert all(line.startswith("error: --") for line in answer.err.splitlines())


def test_without_a_space_the_message_says_what_there_is(call):
    assert_refused(call("search", "--optimizer", "toy_adam"), "space: is missing.*toy")


FILES = {
    "range": (
        b"space: toy\noptimizer: toy_adam\ntraining:\n  epochs: 0\n",
        r"c\.yaml:4: training\.epochs: must be at least 1 \(got 0\)",
    ),
    "unknown key": (
        b"space: toy\noptimizer: toy_adam\nepoch: 3\n",
        r"c\.yaml:3: epoch: unknown key",
    ),
    "broken": (
        b"space: [toy\noptimizer: x\n",
        r"c\.yaml:1:8: not valid YAML: '\[' is opened here and not closed before line 2",
    ),
    "empty": (b"", r"c\.yaml"),
    "list": (b"- space\n", r"c\.yaml"),
    "binary": (b"\x89PNG\r\n\x1a\n\x00\x00\xff\xfe", r"c\.yaml"),
    "twice": (b"space: toy\noptimizer: toy_adam\nspace: toy\n", r"c\.yaml:3: space: "),
}


@pytest.mark.parametrize("command", ["search", "validate"])
@pytest.mark.parametrize("what", FILES)
def test_a_bad_file_is_refused_with_file_and_line(call, tmp_path, what, command):
    content, message = FILES[what]
    Path("c.yaml").write_bytes(content)
    head = ["search"] if command == "search" else ["config", "validate"]
    assert_refused(call(*head, "c.yaml"), message)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["c.yaml"]


def test_a_missing_file_is_refused(call):
    assert_refused(call("search", "nowhere.yaml"), "nowhere.yaml")


def test_a_directory_is_no_configuration(call, tmp_path):
    (tmp_path / "folder").mkdir()
    assert_refused(call("search", "folder"), "folder.*director")


def test_a_preset_that_is_no_mapping_is_the_plugins_fault(call):
    message = (
        r"preset plugin 'no_mapping' \(acme_toys:no_mapping, from acme-toys 1\.0\) failed to load: "
        r"a preset must be a mapping of settings; got float"
    )
    assert_refused(call("search", "--preset", "no_mapping"), message, code=1)


def test_an_existing_run_is_not_touched(call, tmp_path):
    (tmp_path / "old").mkdir()
    (tmp_path / "old" / "config.yaml").write_text("precious")
    assert_refused(call(*TOY, "--output", "old"), "output old already holds a run; ")
    assert [path.name for path in (tmp_path / "old").iterdir()] == ["config.yaml"]
    assert (tmp_path / "old" / "config.yaml").read_text() == "precious"


def test_a_file_is_no_output(call, tmp_path):
    (tmp_path / "file").write_text("x")
    assert_refused(call(*TOY, "--output", "file"), "output file is a file; choose a directory")


def test_an_output_under_a_file_is_no_output(call, tmp_path):
    (tmp_path / "file").write_text("x")
    assert_refused(call(*TOY, "--output", "file/run"), "file/run lies below the file file;")


def test_an_output_that_cannot_be_made_is_a_failure(call):
    # Also for root, for whom read-only folders are writable.
    answer = call(*TOY, "--quiet", "--output", "/proc/balenas/run")
    assert_refused(answer, r"cannot write /proc/balenas/run: ", code=1)


def test_images_too_few_for_a_batch_are_refused(call, tmp_path):
    assert_refused(call(*TOY, "--batch-size", "5000"), "5000")
    assert not (tmp_path / "runs").exists()


LONG = "a" * 300


@pytest.mark.parametrize(
    "arguments",
    [
        ("resume", LONG),
        ("select", LONG, "--selector", "random"),
        ("report", LONG),
        ("runs", "show", LONG),
        ("runs", "list", "--folder", LONG),
        ("runs", "compare", LONG, LONG),
        ("runs", "prune", LONG),
        ("config", "validate", f"{LONG}.yaml"),
        ("search", f"{LONG}.yaml"),
        ("train", "conv-conv", "--space", "toy", "--config", f"{LONG}.yaml"),
        ("export", "conv-conv", "--space", "toy", "--format", "onnx", "--output", f"{LONG}.onnx"),
    ],
    ids=lambda arguments: "-".join(arguments[:2])[:20],
)
def test_a_path_that_is_too_long_is_refused(call, arguments):
    answer = call(*arguments)
    assert_refused(answer, rf"{LONG[:60]}.*(too long|shorter)")


def test_a_list_of_architectures_that_never_ends_is_refused(call, tmp_path):
    arguments = ("score", "--space", "toy", "--proxy", "params", "--file")
    assert_refused(call(*arguments, "/dev/zero"), "--file /dev/zero, line 1: that is no arch")
    (tmp_path / "long").write_text("conv-conv\n" + "-" * 30_000)
    assert_refused(call(*arguments, "long"), "--file long, line 2: that is no architecture")
