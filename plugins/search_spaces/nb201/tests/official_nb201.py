"""Small files in the official formats, made with the official package's own classes."""

import bz2
import pickle

import torch
from nas_201_api.api_utils import ArchResults, ResultsCount

from balenas_space_nb201._architecture import all_architectures

DATASETS = {
    "cifar10-valid": ("x-valid", "ori-test"),
    "cifar10": ("ori-test",),
    "cifar100": ("x-valid", "x-test", "ori-test"),
    "ImageNet16-120": ("x-valid", "x-test", "ori-test"),
}
SEEDS = {"200": (777, 888, 999), "12": (111, 777)}


def number(*key):
    """A number in [50, 100) that depends on all of the key."""
    value = 7
    for part in key:
        for letter in str(part):
            value = (value * 31 + ord(letter)) % 1_000_003
    return 50 + value / 1_000_003 * 50


def trial(text, dataset, seed, epochs):
    """State of one training run."""
    names = DATASETS[dataset]
    config = {"channel": 16, "num_cells": 5, "arch_str": text, "class_num": 10}
    accuracies = {e: number(text, dataset, seed, epochs, "train", e) for e in range(epochs)}
    losses = {e: 3 - accuracy / 50 for e, accuracy in accuracies.items()}
    result = ResultsCount(
        dataset, None, accuracies, losses, number(text, "params") / 100, number(text, "flop"),
        config, seed, epochs, None,
    )  # fmt: skip
    keys = [f"{name}@{epoch}" for name in names for epoch in range(epochs)]
    result.update_eval(
        {key: number(text, dataset, seed, epochs, key) for key in keys},
        {key: number(text, dataset, seed, epochs, key, "loss") for key in keys},
        dict.fromkeys(keys, 0.0),
    )
    # As the authors did, times are the same for every epoch.
    result.reset_pseudo_train_times(number(text, dataset, "time") / 3)
    for name in names:
        result.reset_pseudo_eval_times(name, number(text, dataset, name, "time") / 30)
    if dataset != "cifar100":
        result.update_latency([number(text, dataset, "latency") / 5000])
    return result


def results(index, text, seeds, epochs):
    """State of all runs of an architecture: the released files hold dicts, not objects."""
    made = ArchResults(index, text)
    for dataset in DATASETS:
        for seed in seeds:
            made.update(dataset, seed, trial(text, dataset, seed, epochs))
    return made.state_dict()


def architectures(indices):
    """Text form of some architectures, by the place in ``all_architectures``."""
    texts = [str(a) for a in all_architectures()]
    return [texts[index] for index in indices]


def infos(texts, full="full", less="less"):
    """Index -> results by training schedule; the second architecture was trained once less."""
    return {
        index: {
            less: results(index, text, SEEDS["12"], 12),
            full: results(index, text, SEEDS["200"][: 2 if index == 1 else 3], 200),
        }
        for index, text in enumerate(texts)
    }


def content(texts, **options):
    return {
        "meta_archs": list(texts),
        "arch2infos": infos(texts, **options),
        "evaluated_indexes": set(range(len(texts))),
    }


def write_nb201(path, texts, *, is_zip=True, **options):
    torch.save(content(texts, **options), path, _use_new_zipfile_serialization=is_zip)
    return path


def write_nats_file(path, texts):
    with bz2.open(path, "wb", 1) as file:
        pickle.dump(content(texts, full="200", less="12"), file, 4)
    return path


def write_nats_folder(path, texts):
    path.mkdir()
    whole = content(texts, full="200", less="12")
    _dump(path / "meta.pickle.pbz2", {k: whole[k] for k in ("meta_archs", "evaluated_indexes")})
    for index, info in whole["arch2infos"].items():
        _dump(path / f"{index:06d}.pickle.pbz2", info)
    return path


def _dump(path, value):
    with bz2.open(path, "wb", 1) as file:
        pickle.dump(value, file, 4)


def write_archive(path, texts):
    """The folder of single files, which hold weights too."""
    path.mkdir()
    for index, info in infos(texts).items():
        for run in info["full"]["all_results"].values():
            run["net_state_dict"] = {"weight": torch.ones(3), "bias": torch.zeros(2)}
        torch.save(info, path / f"{index:06d}-FULL.pth")
    return path
