"""Writing a network so that a file or a folder is whole, right, or not there."""

from __future__ import annotations

import copy
import json
import os
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from balenas_core.errors import BalenasError, RunExistsError, UsageError, is_out_of_memory, told
from balenas_core.files import output_errors, unfinished_directory
from balenas_core.interfaces.format import CARD, Format
from balenas_core.plugins.registry import PluginRef, Registry, default_registry
from balenas_core.runs.used_plugins import Used, used_plugin
from balenas_timm.export._card import model_card
from balenas_timm.export._source import Source
from balenas_timm.export._verify import largest_difference
from balenas_timm.weights import Normalized

_OLDEST_OPSET = 18
"""torch has implementations from this version of ONNX's operators on; it converts to later ones."""


@dataclass(frozen=True, slots=True)
class Exported:
    """What was written.

    Args:
        path: The file or the folder.
        files: Name of each file -> its bytes.
        max_difference: Largest difference of its logits from PyTorch's, on random images.
        facts: What else its format has, such as the opset.
        plugin: The format by distribution, version and code, as runs keep plugins.
    """

    path: Path
    files: Mapping[str, int]
    max_difference: float
    facts: Mapping[str, Any]
    plugin: Used


def export(
    source: Source,
    format: str,
    path: Path,
    *,
    with_normalization: bool = False,
    opset: int | None = None,
    force: bool = False,
    registry: Registry | None = None,
) -> Exported:
    """Write a network, read it again, compare, and only then put it in its place.

    Args:
        source: The network.
        format: Name of the format.
        path: A folder, for the network and its model card; or a file with the format's suffix,
            for the network alone.
        with_normalization: Whether the graph takes pixels in 0..1 and normalises them itself.
        opset: Version of ONNX's operators; None for that of the exporter.
        force: Whether to replace files of the same names.
        registry: Where the format is looked up; the process's own by default.

    Raises:
        UsageError: There is no such format, or it cannot do what is asked for.
        RunExistsError: There are files of the same names.
        OutputError: The files cannot be written.
        VerificationError: The written network computes something else.
        BalenasError: The format raises, or writes something else than it says.
    """
    registry = registry or default_registry()
    ref = registry.find("format", format)
    chosen: Format = ref.load_value()
    is_file = path.suffix == Path(chosen.file).suffix and not chosen.is_folder
    network = _normalizing(source, ref.name, chosen) if with_normalization else source.network
    if opset is not None and not chosen.has_opset:
        raise UsageError(f"--opset is for ONNX, and --format {ref.name} is not; leave it out.")
    if opset is not None and opset < _OLDEST_OPSET:
        raise UsageError(f"--opset must be at least {_OLDEST_OPSET} (got {opset}).")
    _check_is_free(path, (chosen.file, CARD), is_file=is_file, force=force)
    with output_errors(path):
        path.parent.mkdir(parents=True, exist_ok=True)
    with output_errors(path), torch.no_grad(), unfinished_directory(path) as made:
        with _named(ref, "while it wrote the network", made):
            # A copy: it is the network as it was that is compared.
            written = chosen.write(copy.deepcopy(network), source.blueprint, made, opset)
            facts = _plain(written)
        with _named(ref, "while what it had written was read", made):
            difference = largest_difference(network, chosen.read(made), source.blueprint)
        origin = f"{ref.name} of {ref.origin}"
        if not is_file:
            card = model_card(source, chosen, origin, difference, is_normalizing=with_normalization)
            (made / CARD).write_text(card, encoding="utf-8")
        files = {name: (made / name).stat().st_size for name in _written(made)}
        if chosen.file not in files:
            raise BalenasError(f"format {origin} wrote no {chosen.file!r}. {ref.remedy}")
        if is_file:
            _move(made / chosen.file, path)
            files = {path.name: files[chosen.file]}
        else:
            _check_is_free(path, files, is_file=False, force=force)
            _publish(made, path, files)
    return Exported(path, files, difference, facts, used_plugin("format", format, registry))


@contextmanager
def _named(ref: PluginRef, doing: str, made: Path) -> Iterator[None]:
    """Run code of a format; what it raises is an error with its name, or one of the disk."""
    try:
        with ref.called(doing):
            yield
    except BalenasError:
        raise
    except Exception as error:
        if is_out_of_memory(error) or _is_of_disk(error, made):
            raise
        raise BalenasError(
            f"format {ref.name!r} (from {ref.origin}) failed {doing}: {told(error)}. {ref.remedy}"
        ) from error


def _is_of_disk(error: Exception, made: Path) -> bool:
    """Whether an error is one of writing the files; those of a full disk name none."""
    if not isinstance(error, OSError) or error.errno is None:
        return False
    if isinstance(error, FileNotFoundError) and made.is_dir():  # the format looks for another
        return False
    return error.filename is None or Path(str(error.filename)).is_relative_to(made)


def _plain(facts: object) -> dict[str, Any]:
    if not isinstance(facts, Mapping):
        raise TypeError(f"write must return a mapping of facts; got {type(facts).__name__}")
    plain: dict[str, Any] = json.loads(json.dumps(dict(facts), allow_nan=False))
    return plain


def _written(folder: Path) -> list[str]:
    """Return the files below a folder, by their place in it."""
    return sorted(
        file.relative_to(folder).as_posix() for file in folder.rglob("*") if file.is_file()
    )


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


def _check_is_free(path: Path, names: Iterable[str], *, is_file: bool, force: bool) -> None:
    if is_file != (not path.is_dir()) and path.exists():
        kind = "a directory" if path.is_dir() else "a file"
        raise RunExistsError(f"output {path} is {kind}; choose another with --output.")
    taken = [path] if is_file else [path / name for name in names]
    existing = [str(file) for file in taken if file.exists()]
    if existing and not force:
        raise RunExistsError(
            f"output {existing[0]} exists; replace it with --force, or choose another with "
            f"--output."
        )


def _publish(made: Path, path: Path, names: Iterable[str]) -> None:
    for name in names:
        (path / name).parent.mkdir(parents=True, exist_ok=True)
        _move(made / name, path / name)


def _move(made: Path, path: Path) -> None:
    with made.open("rb") as file:
        os.fsync(file.fileno())
    made.replace(path)
