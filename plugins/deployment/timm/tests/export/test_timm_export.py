"""Exported networks, read again by those whom they are for."""

import dataclasses
import importlib.util
import json
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import onnx
import onnxruntime
import pytest
import timm
import torch
import yaml
from found_models import MODELS, NB201, blueprint_of, images, save
from markdown_it import MarkdownIt
from torch.optim.swa_utils import update_bn

import balenas_timm
from balenas_core import Plugin, Registry, Search, SearchConfig
from balenas_core.data import BatchLoader, split
from balenas_core.errors import OutputError, RunExistsError, UsageError
from balenas_core.plugins.registry import default_registry
from balenas_core.random import derive_seed
from balenas_timm import Blueprint
from balenas_timm.export import (
    VerificationError,
    export,
    from_architecture,
    from_file,
    from_run,
)

EVERY = pytest.mark.parametrize("name", MODELS)


def format_of(name):
    return default_registry().find("format", name).load_value()


def holding(name, format):
    """Return a registry with one format."""
    registry = Registry(use_entry_points=False)
    plugin = Plugin(kind="format", summary="a test's", api_version=1, implementation=format)
    registry.add(name, plugin)
    return registry


def source_of(name="balenas_nb201", **changes):
    source = from_architecture(blueprint_of(name, **changes))
    # With the statistics of a fresh network, what its first layers see fades away.
    update_bn([images(16, seed=1)], source.network)
    return source


def onnx_logits(path, x):
    session = onnxruntime.InferenceSession(path, providers=["CPUExecutionProvider"])
    return torch.from_numpy(session.run(["logits"], {"images": x.numpy()})[0])


@EVERY
def test_onnx_runtime_computes_the_same_for_any_batch(name, tmp_path):
    source = source_of(name)
    exported = export(source, "onnx", tmp_path / "net.onnx")
    assert exported.max_difference < 1e-5
    onnx.checker.check_model(tmp_path / "net.onnx", full_check=True)
    for batch in (1, 7):
        x = images(batch)
        got = onnx_logits(tmp_path / "net.onnx", x)
        torch.testing.assert_close(got, source.network(x), rtol=0, atol=1e-5)


@EVERY
def test_programs_are_loaded_without_the_space(name, tmp_path):
    source = source_of(name)
    assert export(source, "torch-export", tmp_path / "net.pt2").max_difference < 1e-5
    about = {"balenas.json": ""}
    program = torch.export.load(tmp_path / "net.pt2", extra_files=about)
    x = images(7)
    torch.testing.assert_close(program.module()(x), source.network(x))
    assert Blueprint.model_validate_json(about["balenas.json"]) == source.blueprint


@EVERY
def test_timm_loads_the_folder_offline(name, tmp_path):
    source = source_of(name)
    assert export(source, "timm", tmp_path / "net").max_difference < 1e-5
    model = timm.create_model(f"local-dir:{tmp_path / 'net'}", pretrained=True).eval()
    torch.testing.assert_close(model(images()), source.network(images()))
    assert model.pretrained_cfg["label_names"] == list("abcdefghij")
    config = timm.data.resolve_model_data_config(model)
    assert (config["mean"], config["input_size"]) == ([0.5, 0.4, 0.3], [3, 32, 32])
    backbone = timm.create_model(
        f"local-dir:{tmp_path / 'net'}", pretrained=True, features_only=True
    )
    assert len(backbone(images())) >= 3


@EVERY
def test_a_safetensors_file_alone_suffices(name, tmp_path):
    source = source_of(name)
    exported = export(source, "safetensors", tmp_path / "net.safetensors")
    assert exported.files == {"net.safetensors": (tmp_path / "net.safetensors").stat().st_size}
    model = balenas_timm.load(tmp_path / "net.safetensors")
    torch.testing.assert_close(model(images()), source.network(images()))


@pytest.mark.parametrize("format", ["onnx", "torch-export"])
def test_a_graph_can_take_pixels(format, tmp_path):
    source = source_of()
    file = tmp_path / format_of(format).file
    export(source, format, file, with_normalization=True)
    pixels = torch.rand(3, 3, 32, 32, generator=torch.Generator().manual_seed(1))
    mean = torch.tensor([0.5, 0.4, 0.3]).view(3, 1, 1)
    std = torch.tensor([0.2, 0.2, 0.1]).view(3, 1, 1)
    expected = source.network((pixels - mean) / std)
    read = (
        (lambda x: onnx_logits(file, x)) if format == "onnx" else torch.export.load(file).module()
    )
    torch.testing.assert_close(read(pixels), expected, rtol=0, atol=1e-5)


def test_onnx_files_say_what_they_are(tmp_path):
    source = source_of()
    facts = export(source, "onnx", tmp_path / "net.onnx", opset=18).facts
    model = onnx.load(tmp_path / "net.onnx")
    assert facts == {"opset": 18}
    assert model.opset_import[0].version == 18
    said = {entry.key: entry.value for entry in model.metadata_props}["balenas"]
    assert Blueprint.model_validate_json(said) == source.blueprint
    assert model.graph.input[0].type.tensor_type.shape.dim[0].dim_param


@pytest.mark.parametrize(
    ("opset", "message"),
    [
        (0, r"--opset must be at least 18 \(got 0\)"),
        (17, r"--opset must be at least 18 \(got 17\)"),
        (99, "--opset 99 is not among the versions that torch .* can write.*it made"),
    ],
)
def test_a_version_of_operators_that_cannot_be_written_is_refused(opset, message, tmp_path):
    with pytest.raises(UsageError, match=message):
        export(source_of(), "onnx", tmp_path / "net.onnx", opset=opset)
    assert list(tmp_path.iterdir()) == []


_ON_A_FULL_DISK = """
import resource, sys
from pathlib import Path
from found_models import blueprint_of
from balenas_core.errors import OutputError
from balenas_timm.export import export, from_architecture

source = from_architecture(blueprint_of("balenas_nb201"))
resource.setrlimit(resource.RLIMIT_FSIZE, (4096, 4096))
try:
    export(source, sys.argv[1], Path(sys.argv[2]))
except OutputError as error:
    print(error)
"""


@pytest.mark.skipif(importlib.util.find_spec("resource") is None, reason="needs POSIX limits")
@pytest.mark.parametrize("format", default_registry().names("format"))
def test_a_disk_that_is_full_is_one_message_and_nothing_is_kept(format, tmp_path):
    beside = str(Path(__file__).parent.parent)  # found_models
    done = subprocess.run(
        [sys.executable, "-c", _ON_A_FULL_DISK, format, str(tmp_path / "net")],
        capture_output=True, text=True, check=False,
        env=os.environ | {"PYTHONPATH": beside},
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    assert done.stdout.startswith("cannot write ")
    assert "Free some space" in done.stdout
    assert list(tmp_path.iterdir()) == []


def test_the_card_tells_what_the_network_is_and_how_to_use_it(tmp_path):
    export(source_of(), "timm", tmp_path)
    card = (tmp_path / "README.md").read_text()
    front, _, text = card.removeprefix("---\n").partition("---\n")
    assert yaml.safe_load(front)["library_name"] == "timm"
    assert "> **Note:** the weights are fresh, not trained" in text
    assert "| parameters | 24,158 |" in text
    assert "with mean (0.5, 0.4, 0.3) and std (0.2, 0.2, 0.1)" in text
    assert "`a`, `b`, `c`" in text
    assert NB201 in text
    assert 'timm.create_model("local-dir:.", pretrained=True)' in text


@pytest.mark.parametrize(
    "provenance",
    [
        {"search": 3},
        {"search": {"config": {}}},
        {"search": {"config": {"optimizer": "ngvi"}, "scores": [1]}},
        {"training": "long"},
        {"training": {"test_accuracy": "high"}},
        {"training": {"test_accuracy": None}},
        {"recipe": [1]},
    ],
)
def test_an_origin_that_balenas_did_not_write_is_left_out(tmp_path, provenance):
    save(tmp_path / "a.safetensors", blueprint_of("balenas_nb201", provenance=provenance))
    source = from_file(tmp_path / "a.safetensors")
    (warning,) = source.warnings
    assert "what the file says of its origin is left out" in warning
    export(source, "safetensors", tmp_path / "out")
    assert "## Search" not in (tmp_path / "out" / "README.md").read_text()


HOSTILE = "<script>alert(1)</script> ``` [x](javascript:x) | *b* ` ![](x) $x$\\\x1b[2J\u202e\n\n# h"


def test_the_card_takes_no_text_from_outside_for_markup(tmp_path):
    search = {
        "config": {
            **{key: {"name": HOSTILE} for key in ("optimizer", "distribution", "selector", "data")},
            "training": {"epochs": 1},
            "seed": HOSTILE,
            HOSTILE: "\n```\n<script>\n",
        },
        "created": HOSTILE,
        "architecture": NB201,
        "candidates": 1,
        "scores": {HOSTILE: 1.0},
        "inherited_accuracy": None,
        "benchmark": [{"dataset": HOSTILE, "metric": HOSTILE}],
        "versions": {HOSTILE: HOSTILE},
    }
    source = dataclasses.replace(
        source_of(
            class_names=tuple(f"{HOSTILE}{n}" for n in range(10)),
            provenance={"search": search, "training": {HOSTILE: HOSTILE}, "recipe": {"a": HOSTILE}},
        ),
        weights=HOSTILE,
        warnings=(HOSTILE,),
    )
    export(source, "timm", tmp_path)
    card = (tmp_path / "README.md").read_text().partition("---\n")[2].partition("---\n")[2]
    page = MarkdownIt("commonmark", {"html": True}).enable("table").render(card)
    tags = set(re.findall(r"<([a-z0-9]+)", page))
    assert tags <= {"h1", "h2", "p", "table", "thead", "tbody", "tr", "th", "td", "pre", "code"} | {
        "blockquote",
        "strong",
    }
    assert page.count("<script") == 0
    assert page.count("<strong>") == 1  # the note's own
    assert page.count("&lt;script&gt;") >= 30
    assert not re.search("[\x00-\x08\x0b-\x1f\u202e]", card)
    assert all(row.count("<td") == 2 for row in re.findall(r"(?s)<tr>.*?</tr>", page)[1:6])


def test_what_exists_is_replaced_only_by_force(tmp_path):
    source = source_of()
    (tmp_path / "notes.txt").write_text("mine")
    export(source, "timm", tmp_path)
    before = (tmp_path / "model.safetensors").read_bytes()
    with pytest.raises(RunExistsError, match=r"model\.safetensors exists; replace it with --force"):
        export(source, "timm", tmp_path)
    other = from_architecture(source.blueprint, seed=1)
    export(other, "timm", tmp_path, force=True)
    assert (tmp_path / "model.safetensors").read_bytes() != before
    names = {"README.md", "config.json", "model.safetensors", "notes.txt"}
    assert {file.name for file in tmp_path.iterdir()} == names
    (tmp_path / "folder.onnx").mkdir()
    with pytest.raises(RunExistsError, match="is a directory; choose another"):
        export(source, "onnx", tmp_path / "folder.onnx", force=True)


def test_a_network_that_was_written_wrongly_is_not_kept(tmp_path):
    source = source_of()
    wrong = from_architecture(source.blueprint, seed=1).network
    broken = dataclasses.replace(format_of("onnx"), read=lambda _: wrong)
    (tmp_path / "net.onnx").write_bytes(b"the old one")
    with pytest.raises(VerificationError, match=r"logits are off by .* nothing was kept"):
        export(source, "onnx", tmp_path / "net.onnx", force=True, registry=holding("onnx", broken))
    assert (tmp_path / "net.onnx").read_bytes() == b"the old one"
    assert len(list(tmp_path.iterdir())) == 1


@pytest.mark.parametrize(
    ("format", "keywords", "message"),
    [
        ("onxx", {}, r"no format called 'onxx'. Did you mean 'onnx'\?"),
        ("timm", {"with_normalization": True}, "--format timm holds weights only; use onnx"),
        ("timm", {"opset": 18}, "--opset is for ONNX, and --format timm is not; leave it out"),
    ],
)
def test_requests_that_fit_no_format_are_refused(format, keywords, message, tmp_path):
    with pytest.raises(UsageError, match=message):
        export(source_of(), format, tmp_path / "net", **keywords)
    assert list(tmp_path.iterdir()) == []


def test_a_normalization_that_is_not_known_cannot_be_put_into_the_graph(tmp_path):
    source = source_of(normalization=None)
    with pytest.raises(UsageError, match="it is not known how the images were normalised"):
        export(source, "onnx", tmp_path / "net", with_normalization=True)


def test_the_missing_extra_is_named(tmp_path, monkeypatch):
    monkeypatch.setattr(
        "balenas_timm.export._formats.find_spec", lambda name: None if name == "onnx" else name
    )
    message = r"--format onnx needs onnx: pip install 'balenas-timm\[onnx\]'"
    with pytest.raises(UsageError, match=message):
        export(source_of(), "onnx", tmp_path / "net")
    assert list(tmp_path.iterdir()) == []


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    folder = tmp_path_factory.mktemp("runs") / "found"
    config = SearchConfig(
        space={"name": "nb1shot1", "channels": 4},
        optimizer="adam",
        selector="argmax",
        data="digits",
        training={"epochs": 1, "batch_size": 128},
        check_epochs=0,
        threads=1,
        output=folder,
    )
    return Search(config).run()


def test_a_run_without_training_has_fresh_weights_and_says_so(run):
    source = from_run(run.run)
    assert source.blueprint.architecture == str(run.architecture)
    assert source.blueprint.input_shape == (1, 8, 8)
    assert source.blueprint.normalization is not None
    assert source.weights == "fresh, seed 0"
    assert "the weights are fresh, not trained" in source.warnings[0]
    search = source.blueprint.provenance["search"]
    assert search["config"]["optimizer"]["name"] == "adam"
    assert "output" not in search["config"]
    assert str(run.run) not in json.dumps(source.blueprint.provenance)


def test_inherited_weights_have_the_accuracy_that_the_search_reports(run, tmp_path):
    source = from_run(run.run, is_inherited=True)
    config = SearchConfig.model_validate(source.blueprint.provenance["search"]["config"])
    dataset = default_registry().find("dataset", "digits").build(config.data.options)
    parts = split(dataset, 0.5, seed=derive_seed(0, "split"), batch_size=128)
    loader = BatchLoader(parts.validation, batch_size=128, seed=0, shuffle=False, drop_last=False)
    hits = torch.cat([source.network(b.images).argmax(1) == b.labels for b in loader.iterate(0)])
    assert 100 * hits.double().mean().item() == pytest.approx(run.validation_accuracy)
    exported = export(source, "onnx", tmp_path / "net.onnx")
    assert exported.max_difference < 1e-5


def test_of_trainings_by_seed_the_best_is_taken_or_the_one_that_is_named(run, tmp_path):
    copy = tmp_path / "found"
    shutil.copytree(run.run, copy, ignore=shutil.ignore_patterns("training*"))
    plain = from_run(copy).blueprint
    networks = {}
    for seed, accuracy in ((2, 90.0), (10, 97.5), (11, 95.0)):
        facts = {"seed": seed, "test_accuracy": accuracy, "test_images": 359}
        folder = copy / f"training-seed{seed}"
        folder.mkdir()
        (folder / "recipe.yaml").write_text(f"training: {{epochs: 3}}\nseed: {seed}\n")
        blueprint = plain.model_copy(update={"provenance": {"training": facts}})
        networks[seed] = save(folder / "model.safetensors", blueprint, seed=seed)
    (copy / "training-seed12").mkdir()  # one that has only begun
    source = from_run(copy)
    torch.testing.assert_close(source.network.state_dict(), networks[10].state_dict())
    assert source.weights == (
        "trained: found/training-seed10/model.safetensors, the best of 3 seeds on the images it "
        "was tested on"
    )
    named = from_run(copy, seed=2)
    torch.testing.assert_close(named.network.state_dict(), networks[2].state_dict())
    assert named.weights == "trained: found/training-seed2/model.safetensors"
    assert named.blueprint.provenance["recipe"]["seed"] == 2
    with pytest.raises(UsageError, match=r"no training of seed 5, but of: 2, 10, 11\. Make"):
        from_run(copy, seed=5)


@pytest.mark.parametrize("recipe", ["", "null", "[[[[", "[]", "just a text", "\x00"])
def test_a_damaged_recipe_is_named(run, tmp_path, recipe):
    copy = tmp_path / "found"
    shutil.copytree(run.run, copy, ignore=shutil.ignore_patterns("training*"))
    (copy / "training").mkdir()
    (copy / "training" / "recipe.yaml").write_text(recipe)
    save(copy / "training" / "model.safetensors", from_run(run.run).blueprint, seed=1)
    with pytest.raises(OutputError, match=r"training/recipe\.yaml.*train again"):
        from_run(copy)


def test_the_weights_of_its_training_come_first(run, tmp_path):
    trained = from_run(run.run).blueprint.model_copy(
        update={"provenance": {"training": {"test_accuracy": 97.5, "test_images": 359}}}
    )
    folder = run.run / "training"
    folder.mkdir()
    (folder / "recipe.yaml").write_text("training: {epochs: 3}\nseed: 5\noutput: somewhere\n")
    network = save(folder / "model.safetensors", trained, seed=4)
    source = from_run(run.run)
    torch.testing.assert_close(source.network.state_dict(), network.state_dict())
    assert source.weights == "trained: found/training/model.safetensors"
    assert source.warnings == ()
    export(source, "safetensors", tmp_path / "net")
    card = (tmp_path / "net" / "README.md").read_text()
    assert "| test accuracy | 97.50 % of 359 test images |" in card
    assert "balenas search config.yaml --output runs/again" in card
    assert "`recipe.yaml`:\n\n```yaml\ntraining:\n  epochs: 3\nseed: 5\n```" in card
    again = from_file(tmp_path / "net" / "model.safetensors")
    assert again.blueprint == source.blueprint
    other = from_run(run.run, tmp_path / "net" / "model.safetensors")
    assert other.weights == "file model.safetensors"


def test_a_run_that_is_not_done_has_nothing_to_export(tmp_path):
    with pytest.raises(UsageError, match="holds no run"):
        from_run(tmp_path)
    (tmp_path / "config.yaml").write_text("space: nb201\n")
    with pytest.raises(UsageError, match=r"it has chosen no architecture yet. Finish it with"):
        from_run(tmp_path)


def test_an_inherited_network_that_needs_whole_batches_says_so():
    source = source_of(is_inherited=True)
    assert any("uses the statistics of each batch" in warning for warning in source.warnings)
    assert len(source_of().warnings) == 1
