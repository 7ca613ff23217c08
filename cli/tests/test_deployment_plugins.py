"""Recipes of ``balenas train`` and formats of ``balenas export`` that somebody else publishes."""

from __future__ import annotations

import json

import pytest
import yaml

from balenas_core.plugins.plugin import GROUPS

pytest.importorskip("balenas_timm")

DECLARED = """
from balenas_core.plugins.plugin import Plugin

def recipe(name):
    target = f"acme_deploy:{name}"
    return Plugin(kind="recipe", summary="a", api_version=1, implementation=target)

def format(name):
    target = f"acme_deploy_impl:{name}"
    return Plugin(kind="format", summary="a", api_version=1, implementation=target)

FAST = {"training": {"epochs": 1, "batch_size": 256, "lr": 0.2}}
TYPO = {"training": {"epoks": 1}}
LONG = {"space": "toy", "training": {"epochs": 99}}
WORD = "fast"
fast, typo, long, word = map(recipe, ("FAST", "TYPO", "LONG", "WORD"))
npz, dry, none, noise = map(format, ("NPZ", "DRY", "NONE", "NOISE"))
missing, lost = map(format, ("MISSING", "LOST"))
"""
IMPLEMENTED = """
from dataclasses import replace
import numpy, torch
from balenas_timm import Blueprint, Format

def write(network, blueprint, folder, opset):
    (folder / "more").mkdir()
    (folder / "more" / "about.json").write_text(blueprint.model_dump_json())
    numpy.savez(folder / "net.npz", **{k: v.numpy() for k, v in network.state_dict().items()})
    network.half()  # of a copy
    return {"arrays": len(network.state_dict())}

def read(folder):
    about = (folder / "more" / "about.json").read_text()
    network = Blueprint.model_validate_json(about).build()
    arrays = numpy.load(folder / "net.npz")
    network.load_state_dict({k: torch.from_numpy(arrays[k]) for k in arrays.files})
    return network.eval()

def dry(network, blueprint, folder, opset):
    print("no ink")
    raise ValueError("no ink")

NPZ = Format("net.npz", write, read, is_folder=True, usage="Read it, {shape}.")
DRY = replace(NPZ, write=dry)
NONE = "net.npz"
NOISE = replace(NPZ, read=lambda folder: lambda images: torch.rand(len(images), 10))
MISSING = replace(NPZ, file="other.npz")
LOST = replace(NPZ, read=lambda folder: numpy.load(folder / "other.npz"))
"""
TRAIN = ("train", "conv-conv", "--space", "toy", "--threads", "1", "--output", "out", "--quiet")
EXPORT = ("export", "conv-conv", "--space", "toy", "--output", "net")


@pytest.fixture
def acme(call, install, site, monkeypatch):
    """Return ``call``, with the distribution acme-deploy installed."""
    names = {
        "recipe": ("fast", "typo", "long", "word"),
        "format": ("npz", "dry", "none", "noise", "missing", "lost"),
    }
    points = {
        GROUPS[kind]: {name: f"acme_deploy:{name}" for name in found}
        for kind, found in names.items()
    }
    points[GROUPS["recipe"]]["quick"] = "acme_deploy:long"
    points[GROUPS["format"]]["safetensors"] = "acme_deploy:npz"
    install("acme-deploy", "acme_deploy", DECLARED, points)
    (site / "acme_deploy_impl.py").write_text(IMPLEMENTED)
    monkeypatch.syspath_prepend(str(site))
    monkeypatch.setenv("PYTHONPATH", str(site))
    return call


def test_a_recipe_is_found_used_and_recorded(acme, tmp_path):
    answer = acme(*TRAIN, "--preset", "fast", "--json")
    assert answer.code == 0, answer.err
    result = json.loads(answer.out)
    assert (result["preset"], result["epochs"]) == ("acme-deploy:fast", 1)
    written = yaml.safe_load((tmp_path / "out" / "recipe.yaml").read_text())
    assert (written["preset"], written["training"]["lr"]) == ("acme-deploy:fast", 0.2)
    plugins = json.loads((tmp_path / "out" / "environment.json").read_text())["plugins"]
    (used,) = [one for one in plugins if one["kind"] == "recipe"]
    assert (used["name"], used["distribution"], used["version"]) == ("fast", "acme-deploy", "1.2")
    assert len(used["code"]) == 16
    (tmp_path / "all.yaml").write_text((tmp_path / "out" / "recipe.yaml").read_text())
    again = acme(*TRAIN, "--config", "all.yaml", "--dry-run", "--json")
    assert json.loads(again.out)["training"] == written["training"]


def test_a_format_is_found_used_and_recorded(acme, tmp_path):
    answer = acme(*EXPORT, "--format", "npz", "--json")
    assert answer.code == 0, answer.err
    told = json.loads(answer.out)
    assert set(told["files"]) == {"README.md", "more/about.json", "net.npz"}
    assert (told["format"], told["arrays"]) == ("npz", 8)
    assert told["max_difference"] < 1e-5
    used = told["plugin"]
    assert (used["name"], used["distribution"], used["version"]) == ("npz", "acme-deploy", "1.2")
    card = (tmp_path / "net" / "README.md").read_text()
    assert "| format | npz of acme-deploy 1.2 |" in card
    assert "Read it, 3 x 32 x 32." in card
    (tmp_path / "net" / "README.md").unlink()
    (tmp_path / "net" / "net.npz").unlink()
    refused = acme(*EXPORT, "--format", "npz")
    assert "output net/more/about.json exists; replace it with --force" in refused.err


def test_a_file_is_tried_without_being_installed(call, tmp_path):
    (tmp_path / "acme_try.py").write_text(
        "from acme_try_impl import NPZ\n"
        "from balenas_core import Plugin\n"
        "def of(kind, value):\n"
        "    return Plugin(kind=kind, summary='a', api_version=1, implementation=value)\n"
        "tiny = of('recipe', {'training': {'epochs': 3}})\n"
        "npz = of('format', NPZ)\n"
    )
    (tmp_path / "acme_try_impl.py").write_text(IMPLEMENTED)
    plugin = ("--plugin", "acme_try.py")
    answer = call(*TRAIN, *plugin, "--preset", "tiny", "--dry-run", "--json")
    assert answer.code == 0, answer.err
    job = json.loads(answer.out)
    assert (job["preset"], job["training"]["epochs"]) == ("tiny", 3)
    answer = call(*EXPORT, *plugin, "--format", "npz", "--json")
    assert answer.code == 0, answer.err
    assert json.loads(answer.out)["plugin"]["distribution"] == "(run time)"


def test_names_of_balenas_stay_its_own(acme):
    ours = acme(*TRAIN, "--preset", "quick", "--dry-run", "--json")
    assert json.loads(ours.out)["training"]["epochs"] == 20
    assert "recipe 'quick' is that of balenas-timm; acme-deploy offers one of that name" in ours.err
    theirs = acme(*TRAIN, "--preset", "acme-deploy:quick", "--dry-run", "--json")
    assert json.loads(theirs.out)["training"]["epochs"] == 99
    answer = acme(*EXPORT, "--format", "safetensors", "--json")
    assert "format 'safetensors' is that of balenas-timm" in answer.err
    assert "model.safetensors" in json.loads(answer.out)["files"]


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ((*TRAIN, "--preset", "fast"), "recipe plugin 'fast'"),
        ((*EXPORT, "--format", "npz"), "format plugin 'npz'"),
    ],
)
def test_what_is_not_allowed_is_not_imported(acme, monkeypatch, tmp_path, arguments, message):
    monkeypatch.setenv("BALENAS_ALLOW_PLUGINS", "acme-toys")
    before = set(tmp_path.iterdir())
    answer = acme(*arguments)
    assert answer.code == 1
    assert (
        f"error: {message} (from acme-deploy) is not allowed by BALENAS_ALLOW_PLUGINS=acme-toys; "
        f"add 'acme-deploy' to it to use it."
    ) in answer.err
    assert set(tmp_path.iterdir()) == before


@pytest.mark.parametrize(
    ("arguments", "code", "message"),
    [
        ((*TRAIN, "--preset", "fest"), 2, "no recipe called 'fest'. Did you mean 'fast'? "
         "Installed: darts-cifar, fast, long, nb201, quick, typo, word."),
        ((*TRAIN, "--preset", "word"), 1, "recipe plugin 'word' (acme_deploy:word, from "
         "acme-deploy 1.2) failed to load: a recipe must be a mapping of settings; got str."),
        ((*TRAIN, "--preset", "typo"), 2, "error: --preset acme-deploy:typo: training.epoks: "
         "unknown key. Did you mean 'epochs'?"),
        (("train", "conv", "--space", "nb201", "--preset", "long"), 2, "--preset acme-deploy:long "
         "is for networks of space 'toy', and this one is of 'nb201'."),
        ((*EXPORT, "--format", "none"), 1, "failed to load: a format must be a "
         "Format; got str. Update it with"),
        ((*EXPORT, "--format", "dry"), 1, "error: format 'dry' (from acme-deploy 1.2) failed "
         "while it wrote the network: ValueError: no ink. Update it with"),
        ((*EXPORT, "--format", "lost"), 1, "error: format 'lost' (from acme-deploy 1.2) failed "
         "while what it had written was read: FileNotFoundError: "),
        ((*EXPORT, "--format", "noise"), 1, "logits are off by"),
        ((*EXPORT, "--format", "missing"), 1, "error: format missing of acme-deploy 1.2 wrote no "
         "'other.npz'."),
        ((*EXPORT, "--format", "npz", "--opset", "18"), 2, "--opset is for ONNX, and --format npz "
         "is not; leave it out."),
    ],
)  # fmt: skip
def test_what_cannot_be_used_is_one_line_and_leaves_nothing(
    acme, tmp_path, arguments, code, message
):
    before = set(tmp_path.iterdir())
    answer = acme(*arguments)
    assert (answer.code, answer.out) == (code, "")
    assert message in answer.err
    assert set(tmp_path.iterdir()) == before


@pytest.mark.slow
def test_lists_say_what_is_wrong_with_a_recipe(acme):
    answer = acme("plugins", "list", "--check", "--kind", "recipe", "--json")
    status = {(row["distribution"], row["name"]): row for row in json.loads(answer.out)}
    assert status["balenas-timm", "quick"]["status"] == "ok"
    assert status["acme-deploy", "fast"]["status"] == "ok"
    assert "epoks: unknown key" in status["acme-deploy", "typo"]["reason"]
    assert status["acme-deploy", "word"]["reason"] == (
        "a recipe must be a mapping of settings; got str"
    )


def test_a_recipe_is_explained_with_its_settings(acme):
    facts = json.loads(acme("plugins", "info", "recipe", "fast", "--json").out)
    assert facts[0]["settings"] == {"training": {"epochs": 1, "batch_size": 256, "lr": 0.2}}
    assert acme("plugins", "info", "word").code == 1
