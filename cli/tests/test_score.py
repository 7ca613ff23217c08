"""``balenas score``."""

import csv
import json

import numpy as np
import pytest

from balenas_core import default_registry
from balenas_core.files import RunLock
from balenas_core.interfaces.space import Task
from balenas_core.scores.formula import fill_by_formula, formula_batch
from balenas_proxy_zerocost import zico

TOY = ("score", "--space", "toy", "--proxy", "toy_params")


def table(path):
    with path.open(newline="") as stream:
        return list(csv.DictReader(stream))


def test_scores_are_printed_in_the_order_of_the_arguments(call):
    answer = call(*TOY, "conv-conv", "skip-skip", "--init", "formula", "--input", "1x8x8")
    assert answer.code == 0, answer.err
    lines = [line.split() for line in answer.out.splitlines()]
    # Stem 1 x 4 + 4, classifier 4 x 10 + 10, convolutions 4 x 4 + 4.
    assert lines == [["toy_params", "architecture"], ["98", "conv-conv"], ["58", "skip-skip"]]
    assert "a plugin that prints" in answer.err


def test_json_has_every_row_and_nothing_else(call):
    answer = call(*TOY, "--all", "--exact", "--json")
    assert answer.code == 0, answer.err
    rows = json.loads(answer.out)
    assert len(rows) == 9
    assert rows[-1] == {"architecture": "conv-conv", "toy_params": 98.0, "scored_as": "conv-conv"}


def test_a_file_is_gone_on_with(call, tmp_path):
    first = call(*TOY, "--random", "3", "--output", "s.csv")
    assert "scored 3 of 3" in first.err
    before = table(tmp_path / "s.csv")
    second = call(*TOY, "--all", "--output", "s.csv")
    assert "scored 6 of 6" in second.err
    assert "s.csv has 9 architectures" in second.err
    rows = table(tmp_path / "s.csv")
    assert rows[:3] == before
    assert len({row["architecture"] for row in rows}) == 9
    third = call(*TOY, "--all", "--output", "s.csv")
    assert third.code == 0
    assert "scored" not in third.err.replace("scored_as", "")


def test_networks_together_score_as_they_do_one_by_one(call):
    common = (
        "score", "--space", "nb201", "--proxy", "naswot,params", "--random", "6",
        "--init", "supernet", "--set", "space.channels=4", "--batch-size", "8",
        "--dtype", "float64", "--json",
    )  # fmt: skip
    alone, together = (json.loads(call(*common, *more).out) for more in ((), ("--together", "3")))
    assert [row["architecture"] for row in alone] == [row["architecture"] for row in together]
    for one, other in zip(alone, together, strict=True):
        assert one["params"] == other["params"]
        assert one["naswot"] == pytest.approx(other["naswot"])


def test_shrunk_images_have_a_quarter_of_the_pixels(call):
    text = "|nor_conv_3x3~0|+|skip_connect~0|none~1|+|skip_connect~0|none~1|nor_conv_1x1~2|"
    common = ("score", text, "--space", "nb201", "--proxy", "flops", "--data", "digits", "--json")
    more = ("--set", "space.channels=4")
    whole, shrunk = (
        json.loads(call(*common, *more, *flags).out)[0]["flops"]
        for flags in ((), ("--shrink", "2"))
    )
    classifier = 16 * 10 + 10
    assert whole - classifier == 4 * (shrunk - classifier)


@pytest.mark.parametrize(
    ("data", "factor", "message"),
    [("digits", "9", "--shrink 9 leaves nothing of 8x8"), ("formula", "2", "set it with --input")],
)
def test_images_that_cannot_shrink_are_refused(call, data, factor, message):
    answer = call(*TOY, "conv-conv", "--data", data, "--shrink", factor)
    assert answer.code == 2
    assert message in " ".join(answer.err.split())


def test_zico_compares_the_batches_of_the_formula(call):
    text = "|nor_conv_3x3~0|+|skip_connect~0|none~1|+|skip_connect~0|none~1|nor_conv_1x1~2|"
    answer = call(
        "score", text, "--space", "nb201", "--proxy", "zico", "--init", "formula", "--json",
        "--set", "space.channels=4", "--batch-size", "4", "--batches", "2", "--input", "3x8x8",
    )  # fmt: skip
    space = build("nb201", channels=4)
    network = space.network(space.parse(text), Task((3, 8, 8), 10)).double()
    fill_by_formula(network, space.formula_labels(network))
    expected = zico(network, [formula_batch(4, (3, 8, 8), 10, index=k) for k in (0, 1)])
    assert json.loads(answer.out)[0]["zico"] == pytest.approx(expected, rel=1e-9)


def build(name, **options):
    plugin = default_registry().find("space", name).load()
    return plugin.load_implementation()(plugin.options(**options))


def test_random_architectures_depend_on_the_seed_alone(call):
    texts = [
        [
            row["architecture"]
            for row in json.loads(call(*TOY, "--random", "5", "--json", *more).out)
        ]
        for more in ((), ("--exact",), ("--seed", "1"))
    ]
    assert texts[0] == texts[1] != texts[2]
    assert len(set(texts[0])) == 5


def test_a_file_of_architectures_may_have_comments(call, tmp_path):
    (tmp_path / "list.txt").write_text("# two\nconv-skip\n\n  skip-conv\nconv-skip\n")
    rows = json.loads(call(*TOY, "--file", "list.txt", "--json").out)
    assert [row["architecture"] for row in rows] == ["conv-skip", "skip-conv"]


def test_jobs_give_the_same_file(call, tmp_path):
    call(*TOY, "--all", "--output", "a.csv")
    answer = call(*TOY, "--all", "--output", "b.csv", "--jobs", "2")
    assert answer.code == 0, answer.err
    assert (tmp_path / "a.csv").read_bytes() == (tmp_path / "b.csv").read_bytes()


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("score",), "name the proxies with --proxy"),
        (("score", "--proxy", "toy_params"), "name the search space with --space"),
        (("score", "--space", "toy", "--proxy", "toy_param", "--all"), "Did you mean 'toy_params'"),
        (("score", "--space", "toy", "--proxy", "toy_params,", "--all"), "name the proxies with"),
        ((*TOY[:-1], "toy_params,toy_params", "--all"), "names 'toy_params' twice"),
        (TOY, "nothing to score; give architectures, --random N, --file FILE or --all."),
        ((*TOY, "conv"), "expected two of"),
        ((*TOY, "--file", "none.txt"), "cannot read --file none.txt"),
        (
            ("score", "--space", "darts", "--proxy", "toy_params", "--all"),
            "--all: space 'darts' has 1,076,746,950,455,072,400 architectures; take a part with",
        ),
        ((*TOY, "--random", "10"), "found only 9 different architectures"),
        (
            (*TOY, "--all", "--init", "fomula"),
            "--init must be default, formula, supernet; got 'fomula'",
        ),
        ((*TOY, "--all", "--dtype", "half"), "--dtype must be float32 or float64; got 'half'"),
        ((*TOY, "--all", "--init", "formula", "--input", "3x8"), "--input must be CxHxW"),
        ((*TOY, "--all", "--set", "x.y=1"), "nothing called 'x' here"),
        ((*TOY, "--all", "--set", "y"), "expected KEY=VALUE"),
        ((*TOY, "--all", "--output", "a.xls"), "must end in .csv, .json, .parquet; got .xls"),
        ((*TOY, "--all", "--input", "1x8x8"), "--input is for images by formula"),
        ((*TOY, "--all", "--batches", "2"), "--batches is for images by formula"),
        ((*TOY, "--all", "--batch-size", "9999"), "--batch-size 9999: digits has 1438 images only"),
        ((*TOY, "--all", "--together", "4"), "set the initialisation to supernet (got default)"),
        ((*TOY, "--all", "--classes", "3"), "those of 'digits' have their own"),
        ((*TOY, "--all", "--data", "formula", "--data-root", "x"), "are in no file"),
        ((*TOY, "--all", "--data-root", "x"), "--data-root: dataset 'digits' is in no file"),
        (("score", "-s", "toi", "-p", "toy_params", "--all"), "error: --space: no space called"),
        ((*TOY, "--all", "--device", "gpu"), "device must be auto, cpu, cuda, cuda:N or mps"),
        ((*TOY, "--all", "--device", "cuda:99"), "device 'cuda:99' is not available here; use"),
        ((*TOY, "--all", "--executor", "joblab"), "error: --executor: no executor called 'joblab'"),
        (
            (*TOY, "--all", "--executor", "local", "--jobs", "2"),
            "--jobs 2: executor 'local' has one worker, which is this process",
        ),
        ((*TOY, "--all", "--set", "executor.workers=2"), "executor.workers: unknown key"),
    ],
)
def test_what_cannot_be_scored_is_explained(call, arguments, message):
    answer = call(*arguments)
    assert answer.code == 2
    assert message in answer.err
    assert answer.out == ""
    assert "Traceback" not in answer.err


def test_the_place_of_any_dataset_is_its_data_root(call, tmp_path):
    images = np.random.default_rng(0).integers(0, 256, (96, 8, 8, 1), np.uint8)
    labels = np.arange(96) % 3
    np.savez(tmp_path / "i.npz", x_train=images, y_train=labels, x_test=images, y_test=labels)
    answer = call(*TOY, "--all", "--json", "--data", "npz", "--data-root", "i.npz")
    assert answer.code == 0, answer.err
    assert len(json.loads(answer.out)) > 1
    shown = call(
        "config", "show", "--space", "toy", "--optimizer", "toy_adam", "--json",
        "--data", "npz", "--data-root", "i.npz",
    )  # fmt: skip
    assert json.loads(shown.out)["data"]["path"] == "i.npz"


def test_a_wrong_line_of_a_file_is_named(call, tmp_path):
    (tmp_path / "list.txt").write_text("conv-skip\nconv-pool\n")
    answer = call(*TOY, "--file", "list.txt")
    assert answer.code == 2
    assert "list.txt:2: expected two of" in answer.err


def test_options_inside_of_options_can_be_set(call, tmp_path):
    x = np.random.default_rng(0).integers(-1000, 3000, (40, 8, 8), dtype=np.int16)
    y = np.arange(40) % 3
    np.savez(tmp_path / "ct.npz", photos=x, y_train=y, x_test=x, y_test=y)
    arguments = ("score", "--space", "nb201", "--proxy", "synflow", "--random", "1", "--json",
                 "--batch-size", "8", "--data", "npz", "--data-root", "ct.npz",
                 "--set", "space.channels=4", "--set", "data.arrays.x_train=photos")  # fmt: skip
    advised = call(*arguments)
    assert advised.code == 2
    assert "photos holds int16 pixels" in advised.err
    assert "set data.range to" in advised.err
    done = call(*arguments, "--set", "data.range=[-1000,3000]")
    assert done.code == 0, done.err
    wrong = call(*arguments, "--set", "data.arrays=3", "--set", "data.arrays.x_test=photos")
    assert "--set data.arrays.x_test=photos: 'arrays' is set to 3 before." in wrong.err


def test_a_file_that_another_process_fills_is_refused(call, tmp_path):
    arguments = ("score", "--space", "nb201", "--proxy", "synflow", "--random", "1",
                 "--set", "space.channels=4", "--output", "scores.csv", "--quiet")  # fmt: skip
    lock = RunLock.acquire_file(tmp_path / "scores.csv")
    refused = call(*arguments)
    lock.release()
    assert refused.code == 1
    assert "scores.csv is being written by process" in refused.err
    assert not (tmp_path / "scores.csv").exists()
    assert call(*arguments).code == 0
    assert [path.name for path in tmp_path.iterdir() if path.is_file()] == ["scores.csv"]
