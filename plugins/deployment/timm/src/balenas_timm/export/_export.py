"""Writing a network so that a file or a folder is whole, right, or not there."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from balenas_core.errors import RunExistsError, UsageError
from balenas_core.files import output_errors, unfinished_directory
from balenas_core.plugins.suggest import did_you_mean
from balenas_timm.export._card import CARD, model_card
from balenas_timm.export._formats import FORMATS, OLDEST_OPSET, Format
from balenas_timm.export._source import Source
from balenas_timm.export._verify import largest_difference
from balenas_timm.weights import Normalized


@dataclass(frozen=True, slots=True)
class Exported:
    """What was written.

    Args:
        path: The file or the folder.
        files: Name of each file -> its bytes.
        max_difference: Largest difference of its logits from PyTorch's, on random images.
        facts: What else its format has, such as the opset.
    """

    path: Path
    files: Mapping[str, int]
    max_difference: float
    facts: Mapping[str, Any]


def export(
    source: Source,
    format: str,
    path: Path,
    *,
    with_normalization: bool = False,
    opset: int | None = None,
    force: bool = False,
) -> Exported:
    """Write a network, read it again, compare, and only then put it in its place.

    Args:
        source: The network.
        format: One of ``FORMATS``.
        path: A folder, for the network and its model card; or a file with the format's suffix,
            for the network alone.
        with_normalization: Whether the graph takes pixels in 0..1 and normalises them itself.
        opset: Version of ONNX's operators; None for that of the exporter.
        force: Whether to replace files of the same names.

    Raises:
        UsageError: There is no such format, or it cannot do what is asked for.
        RunExistsError: There are files of the same names.
        OutputError: The files cannot be written.
        VerificationError: The written network computes something else.
    """
    chosen = _format(format)
    is_file = path.suffix == Path(chosen.file).suffix and format != "timm"
    network = _normalizing(source, format, chosen) if with_normalization else source.network
    if opset is not None and format != "onnx":
        raise UsageError(f"--opset is for --format onnx; got {format}.")
    if opset is not None and opset < OLDEST_OPSET:
        raise UsageError(f"--opset must be at least {OLDEST_OPSET} (got {opset}).")
    _check_is_free(path, chosen, is_file=is_file, force=force)
    with output_errors(path):
        path.parent.mkdir(parents=True, exist_ok=True)
    with output_errors(path), torch.no_grad(), unfinished_directory(path) as made:
        facts = chosen.write(network, source.blueprint, made, opset)
        difference = largest_difference(network, chosen.read(made), source.blueprint)
        if not is_file:
            card = model_card(source, format, difference, is_normalizing=with_normalization)
            (made / CARD).write_text(card, encoding="utf-8")
        names = [chosen.file] if is_file else sorted(file.name for file in made.iterdir())
        files = {name: (made / name).stat().st_size for name in names}
        _publish(made, path, names, is_file=is_file)
    if is_file:
        files = {path.name: files[chosen.file]}
    return Exported(path, files, difference, facts)


class Normalizing(nn.Module):
    """A network that takes pixels in 0..1 and normalises them itself.

    Args:
        network: A network of normalised images.
        normalization: How they were normalised.
    """

    mean: Tensor
    std: Tensor

    def __init__(self, network: nn.Module, normalization: Normalized) -> None:
        super().__init__()
        self.network = network
        for name in ("mean", "std"):
            values = torch.tensor(getattr(normalization, name)).view(1, -1, 1, 1)
            self.register_buffer(name, values)

    def forward(self, x: Tensor) -> Tensor:
        """Map `batch x channels x height x width`-dim pixels to logits."""
        logits: Tensor = self.network((x - self.mean) / self.std)
        return logits


def _format(name: str) -> Format:
    if name not in FORMATS:
        known = ", ".join(FORMATS)
        raise UsageError(f"no format {name!r}.{did_you_mean(name, FORMATS)} Known: {known}.")
    return FORMATS[name]


def _normalizing(source: Source, name: str, format: Format) -> nn.Module:
    normalization = source.blueprint.normalization
    if not format.is_graph:
        raise UsageError(
            f"--with-normalization puts it into a graph, and --format {name} holds weights only; "
            f"use onnx or torch-export."
        )
    if normalization is None:
        raise UsageError(
            "--with-normalization: it is not known how the images were normalised. Leave it out, "
            "or export a run, or a network that 'balenas train' has trained."
        )
    return Normalizing(source.network, normalization).eval()


def _check_is_free(path: Path, format: Format, *, is_file: bool, force: bool) -> None:
    if is_file != (not path.is_dir()) and path.exists():
        kind = "a directory" if path.is_dir() else "a file"
        raise RunExistsError(f"output {path} is {kind}; choose another with --output.")
    taken = [path] if is_file else [path / format.file, path / "config.json", path / CARD]
    existing = [str(file) for file in taken if file.exists()]
    if existing and not force:
        raise RunExistsError(
            f"output {existing[0]} exists; replace it with --force, or choose another with "
            f"--output."
        )


def _publish(made: Path, path: Path, names: list[str], *, is_file: bool) -> None:
    if is_file:
        _move(made / names[0], path)
        return
    path.mkdir(exist_ok=True)
    for name in names:
        _move(made / name, path / name)


def _move(made: Path, path: Path) -> None:
    with made.open("rb") as file:
        os.fsync(file.fileno())
    made.replace(path)
