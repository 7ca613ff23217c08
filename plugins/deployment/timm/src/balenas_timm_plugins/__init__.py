"""What balenas-timm adds to balenas: recipes of trainings, and formats of export.

This package is light, and stands beside ``balenas_timm``, which imports torch and timm.
"""

from __future__ import annotations

from balenas_core import Plugin


def _recipe(summary: str, name: str) -> Plugin:
    return Plugin(
        kind="recipe",
        summary=summary,
        api_version=1,
        implementation=f"balenas_timm_plugins._recipes:{name}",
    )


def _format(summary: str, name: str) -> Plugin:
    return Plugin(
        kind="format",
        summary=summary,
        api_version=1,
        implementation=f"balenas_timm.export._formats:{name}",
    )


quick = _recipe("small images and a first look: 20 epochs", "QUICK")
darts_cifar = _recipe("CIFAR as in the DARTS paper: 600 epochs, 36 channels", "DARTS_CIFAR")
nb201 = _recipe("CIFAR as in the NAS-Bench-201 paper: 200 epochs, 16 channels", "NB201")
onnx = _format("ONNX, a graph that most runtimes read", "ONNX")
torch_export = _format("torch.export, a graph that PyTorch reads without balenas", "TORCH_EXPORT")
safetensors = _format("one file of weights that balenas_timm.load reads", "SAFETENSORS")
timm = _format("a folder that timm.create_model reads", "TIMM")
