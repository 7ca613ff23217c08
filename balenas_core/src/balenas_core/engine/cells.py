"""Cells of a supernet, compiled."""

from __future__ import annotations

import logging
import warnings
from collections.abc import Sequence

import torch
from torch import nn

_log = logging.getLogger(__name__)

_RECOMPILE_LIMIT = 64
"""Cells differ in shape, and architecture steps need other gradients than weight steps."""


def compile_cells(cells: Sequence[nn.Module], device: torch.device) -> None:
    """Compile the cells' calls, each at its first; warn and leave them where nothing can.

    Args:
        cells: Modules; those of one shape share their code.
        device: Where they are.
    """
    try:
        # What was compiled in an earlier process says nothing of the compiler's presence.
        caches = torch.compiler.config.patch(force_disable_caches=True)  # type: ignore[attr-defined]
        with caches, warnings.catch_warnings():
            warnings.simplefilter("ignore")  # that there is no cache
            torch.compile(torch.sin)(torch.ones(8, device=device))
    except Exception as error:
        _log.warning(
            "training.compile is left out, since torch.compile does not work here: %s. "
            "Install a C++ compiler (g++ or clang++).",
            str(error).strip().partition("\n")[0],
        )
        return
    torch._dynamo.config.recompile_limit = max(
        torch._dynamo.config.recompile_limit, _RECOMPILE_LIMIT
    )
    for cell in cells:
        cell.compile(dynamic=False)
