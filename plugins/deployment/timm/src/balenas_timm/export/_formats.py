"""The formats of this package: how each is written, and read again."""

from __future__ import annotations

import io
import json
from importlib import import_module
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import timm
import torch
from torch import Tensor, nn

from balenas_core.errors import UsageError
from balenas_core.interfaces.format import Format, Network
from balenas_timm.export._source import example_images
from balenas_timm.models import model_args, pretrained_cfg
from balenas_timm.weights import WEIGHTS, Blueprint, load_network, save_weights

_LARGEST_BATCH = 2**20
_ONNX_MODULES = ("onnx", "onnxruntime", "onnxscript")


def _program(network: nn.Module, blueprint: Blueprint) -> torch.export.ExportedProgram:
    batch = torch.export.Dim("batch", min=1, max=_LARGEST_BATCH)
    example = example_images(blueprint, 2)
    return torch.export.export(network, (example,), dynamic_shapes=({0: batch},))


def _write_program(
    network: nn.Module, blueprint: Blueprint, folder: Path, _opset: int | None
) -> dict[str, Any]:
    about = {"balenas.json": blueprint.model_dump_json(exclude_none=True)}
    # By way of memory: where a disk is full, torch's own writer ends the process.
    data = io.BytesIO()
    torch.export.save(_program(network, blueprint), data, extra_files=about)
    (folder / "model.pt2").write_bytes(data.getbuffer())
    return {}


def _read_program(folder: Path) -> Network:
    return torch.export.load(folder / "model.pt2").module()


def _write_onnx(
    network: nn.Module, blueprint: Blueprint, folder: Path, opset: int | None
) -> dict[str, Any]:
    missing = [name for name in _ONNX_MODULES if find_spec(name) is None]
    if missing:
        raise UsageError(
            f"--format onnx needs {' and '.join(missing)}: pip install 'balenas-timm[onnx]'"
        )
    program = torch.onnx.export(
        _program(network, blueprint),
        dynamo=True,
        input_names=["images"],
        output_names=["logits"],
        opset_version=opset,
        verbose=False,
    )
    assert program is not None, "with dynamo=True and no file a program is returned"
    written = program.model.opset_imports[""]
    if opset is not None and written != opset:
        raise UsageError(
            f"--opset {opset} is not among the versions that torch {torch.__version__} can write "
            f"this network in: it made {written} of it. Leave --opset out, or choose another; "
            f"nothing was kept."
        )
    program.model.metadata_props["balenas"] = blueprint.model_dump_json(exclude_none=True)
    program.save(folder / "model.onnx")
    return {"opset": written}


def _read_onnx(folder: Path) -> Network:
    runtime: Any = import_module("onnxruntime")
    session = runtime.InferenceSession(folder / "model.onnx", providers=["CPUExecutionProvider"])

    def network(images: Tensor) -> Tensor:
        return torch.from_numpy(session.run(["logits"], {"images": images.numpy()})[0])

    return network


def _write_safetensors(
    network: nn.Module, blueprint: Blueprint, folder: Path, _opset: int | None
) -> dict[str, Any]:
    save_weights(folder / WEIGHTS, network.state_dict(), blueprint)
    return {}


def _read_safetensors(folder: Path) -> Network:
    return load_network(folder / WEIGHTS)


def _write_timm(
    network: nn.Module, blueprint: Blueprint, folder: Path, opset: int | None
) -> dict[str, Any]:
    described = pretrained_cfg(blueprint)
    architecture = described.pop("architecture")
    config = {
        "architecture": architecture,
        "num_classes": blueprint.num_classes,
        "model_args": {**model_args(blueprint), "num_classes": blueprint.num_classes},
        "pretrained_cfg": described,
    }
    text = json.dumps(config, indent=2, ensure_ascii=False) + "\n"
    (folder / "config.json").write_text(text, encoding="utf-8")
    _write_safetensors(network, blueprint, folder, opset)
    return {}


def _read_timm(folder: Path) -> Network:
    model: nn.Module = timm.create_model(f"local-dir:{folder}", pretrained=True)
    return model.eval()


ONNX = Format(
    "model.onnx",
    write=_write_onnx,
    read=_read_onnx,
    is_graph=True,
    has_opset=True,
    usage="""\
```python
import onnxruntime

session = onnxruntime.InferenceSession("model.onnx")
(logits,) = session.run(["logits"], {"images": images})  # float32, any batch x {shape}
```""",
)
TORCH_EXPORT = Format(
    "model.pt2",
    write=_write_program,
    read=_read_program,
    is_graph=True,
    usage="""\
```python
import torch

network = torch.export.load("model.pt2").module()
logits = network(images)  # any batch x {shape}
```""",
)
SAFETENSORS = Format(
    WEIGHTS,
    write=_write_safetensors,
    read=_read_safetensors,
    usage="""\
```python
import balenas_timm

model = balenas_timm.load("model.safetensors")
logits = model(images)  # any batch x {shape}
```""",
)
TIMM = Format(
    WEIGHTS,
    write=_write_timm,
    read=_read_timm,
    is_folder=True,
    usage="""\
```python
import balenas_timm  # registers the model
import timm

model = timm.create_model("local-dir:.", pretrained=True).eval()
logits = model(images)  # any batch x {shape}
backbone = timm.create_model("local-dir:.", pretrained=True, features_only=True)
```""",
)
