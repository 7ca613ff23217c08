"""Checks of formats."""

from __future__ import annotations

import copy
import json
import shutil
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, ClassVar

import torch
from torch import Tensor, nn

from balenas_core.errors import BalenasError
from balenas_core.testing import PluginConformance
from balenas_timm.export import Exported, Format, Source, export, from_architecture
from balenas_timm.weights import Blueprint, Normalized

_CELL = (
    "|nor_conv_3x3~0|+|nor_conv_1x1~0|nor_conv_3x3~1|"
    "+|skip_connect~0|avg_pool_3x3~1|nor_conv_3x3~2|"
)
_SHAPES = ((3, 16, 16), (1, 12, 12))
_CLASSES = 5


@dataclass(frozen=True, slots=True)
class _Written:
    """A network before it was written and after, and the folder, which is removed at the end."""

    place: TemporaryDirectory[str]
    folder: Path
    source: Source
    network: nn.Module
    facts: object


_written: dict[tuple[type, str, int], _Written] = {}


class FormatConformance(PluginConformance):
    """A format writes any network, and what it reads again computes the same."""

    kind = "format"
    base = Format
    name_form = "[a-z][a-z0-9_-]*"  # it stands in no expression
    may_draw = True  # what reads weights builds a network for them first

    network: ClassVar[Mapping[str, Any]] = {
        "space": {"name": "nb201", "channels": 4, "cells_per_stage": 1},
        "architecture": _CELL,
    }
    """The network that is written; its space is installed."""

    def build(self, **context: Any) -> Any:
        """Return the format: it is not called."""
        value = self.ref().load_implementation()
        self.check_implementation(value)
        return value

    def make(self) -> Format:
        """Return a copy."""
        made: Format = self.build()
        return replace(made)

    def use(self) -> None:
        """Write a network, and read it."""
        with TemporaryDirectory() as folder:
            self.export(self.source(), Path(folder) / "net")

    def check_implementation(self, implementation: Any) -> None:
        """Check that it is a ``Format``."""
        assert isinstance(implementation, Format), (
            f"implementation must name a balenas_timm.Format; got {type(implementation).__name__}"
        )

    def blueprint(self, shape: tuple[int, int, int] = _SHAPES[0]) -> Blueprint:
        """Return what is known of the network."""
        normalized = Normalized(mean=(0.5,) * shape[0], std=(0.2,) * shape[0])
        known = {"input_shape": shape, "num_classes": _CLASSES, "normalization": normalized}
        return Blueprint.model_validate({**self.network, **known})

    def source(self, shape: tuple[int, int, int] = _SHAPES[0], *, seed: int = 0) -> Source:
        """Return a network whose every weight counts."""
        source = from_architecture(self.blueprint(shape), seed=seed)
        _stir(source.network, seed)
        return source

    def export(self, source: Source, path: Path, **how: Any) -> Exported:
        """Write, read and compare a network as ``balenas export`` does.

        Raises:
            AssertionError: That is refused, or the network computes something else.
        """
        try:
            return export(source, self.plugin_name, path, registry=self.registry(), **how)
        except BalenasError as error:
            raise AssertionError(f"a network cannot be exported: {error}") from error

    def written(self, seed: int = 0) -> _Written:
        """Return a network that is written into a folder, which was moved; once for each seed."""
        key = type(self), self.plugin_name, seed
        if key not in _written:
            _written[key] = self._write(self.source(seed=seed))
        return _written[key]

    def _write(self, source: Source) -> _Written:
        place = TemporaryDirectory()
        folder = Path(place.name, "here")
        folder.mkdir()
        network = copy.deepcopy(source.network)
        with torch.no_grad():
            facts = self.build().write(network, source.blueprint, folder, None)
        return _Written(place, folder.rename(folder.with_name("there")), source, network, facts)

    def logits(self, folder: Path, source: Source, batch: int = 2) -> Tensor:
        """Return the logits of the network that is read from a folder."""
        with torch.no_grad():
            logits = self.build().read(folder)(_images(source, batch))
        assert isinstance(logits, Tensor), (
            f"what read() returns must give a tensor; got {type(logits).__name__}"
        )
        return logits

    def test_a_network_is_exported_and_compared(self, tmp_path: Path) -> None:
        exported = self.export(self.source(), tmp_path / "net")
        assert self.build().file in exported.files

    def test_a_file_alone_is_written_where_it_suffices(self, tmp_path: Path) -> None:
        made, source = self.build(), self.source(_SHAPES[1])
        if made.is_folder:
            return
        file = tmp_path / f"alone{Path(made.file).suffix}"
        self.export(source, file)
        alone = tmp_path / "alone"
        alone.mkdir()
        shutil.copy(file, alone / made.file)
        try:
            self.logits(alone, source)
        except Exception as error:
            raise AssertionError(
                f"{made.file} alone cannot be read ({type(error).__name__}: {error}); say "
                f"is_folder=True"
            ) from error

    def test_the_weights_are_those_of_the_network(self) -> None:
        found = []
        for seed in (0, 1):
            written = self.written(seed)
            with torch.no_grad():
                expected = written.source.network(_images(written.source, 2))
            found.append(logits := self.logits(written.folder, written.source))
            error = float((logits - expected).abs().max())
            assert error <= 1e-4, f"read() returns a network whose logits are off by {error:.1e}"
        assert not torch.equal(*found), "read() returns one network, whatever was written"

    def test_a_written_folder_can_be_moved(self) -> None:
        written = self.written()
        try:
            self.logits(written.folder, written.source)
        except Exception as error:
            raise AssertionError(
                f"what was written and moved cannot be read ({type(error).__name__}: {error}); "
                f"let write() store no path, and read() look into the folder that it is given"
            ) from error

    def test_batches_are_of_any_size(self) -> None:
        written = self.written()
        for batch in (1, 2, 7):
            shape = tuple(self.logits(written.folder, written.source, batch).shape)
            assert shape == (batch, _CLASSES), (
                f"the logits of {batch} images in {_CLASSES} classes are of shape {shape}"
            )

    def test_writing_leaves_the_network_as_it_was(self) -> None:
        written = self.written()
        before, after = written.source.network, written.network
        weights = after.state_dict()
        is_same = before.state_dict().keys() == weights.keys() and all(
            torch.equal(value, weights[name]) and value.dtype == weights[name].dtype
            for name, value in before.state_dict().items()
        )
        assert is_same, "write() changes the network's weights; work on a copy"
        modes = [[module.training for module in one.modules()] for one in (before, after)]
        assert modes[0] == modes[1], "write() changes the network's mode; work on a copy"

    def test_facts_are_plain_data(self) -> None:
        facts = self.written().facts
        assert isinstance(facts, Mapping), (
            f"write() must return a mapping of facts, {{}} for none; got {type(facts).__name__}"
        )
        try:
            json.dumps(dict(facts), allow_nan=False)
        except (TypeError, ValueError) as error:
            raise AssertionError(f"facts stand in --json; return plain data: {error}") from error

    def test_a_graph_takes_a_normalization(self, tmp_path: Path) -> None:
        if self.build().is_graph:
            self.export(self.source(), tmp_path / "net", with_normalization=True)

    def test_it_says_how_it_is_used(self) -> None:
        assert self.build().usage.strip(), (
            "say in usage, in Markdown, how such a network is read; it stands in the model card"
        )


def _stir(network: nn.Module, seed: int) -> None:
    """Move the biases and statistics of a fresh network off 0 and 1."""
    source = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for value in network.state_dict().values():
            if value.is_floating_point() and value.dim() == 1:
                value.add_(0.2 * torch.rand(value.shape, generator=source))


def _images(source: Source, batch: int) -> Tensor:
    generator = torch.Generator().manual_seed(batch)
    return torch.rand(batch, *source.blueprint.input_shape, generator=generator)
