"""Constants that are added to learned logits: where an informed prior has its mean."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import torch
from torch import Tensor, nn

from balenas_core.interfaces.distribution import LogitTable
from balenas_core.interfaces.space import Decision


class LogitOffset(nn.Module):
    """Constants for the logits of every decision; none until some are set.

    What is learned is the deviation from them, so that a prior of mean zero on the deviation is
    one of this mean on the logits. Without any, logits, states and checkpoints are what they are
    without this module, to the bit.

    Args:
        decisions: The decisions of the search space.
    """

    values: Tensor | None
    """All decisions' constants, one after the other; None for none."""
    _like: Tensor

    def __init__(self, decisions: Sequence[Decision]) -> None:
        super().__init__()
        self._shapes = {d.name: d.shape for d in decisions}
        self.register_buffer("values", None)
        # Empty; goes where the module goes, so that constants come to the same device and type.
        self.register_buffer("_like", torch.empty(0), persistent=False)
        self.register_load_state_dict_pre_hook(_make_room)  # type: ignore[no-untyped-call]

    @torch.no_grad()
    def set(self, offset: Mapping[str, Tensor]) -> None:
        """Set the constants; those of decisions that are left out are zero.

        Args:
            offset: Decision -> `slots x choices`-dim tensor.

        Raises:
            ValueError: There is no such decision, or its table has another shape.
        """
        for name, value in offset.items():
            if self._shapes.get(name) != tuple(value.shape):
                raise ValueError(
                    f"an offset must have the shape of a decision, one of {self._shapes}; got "
                    f"{name!r} with {tuple(value.shape)}"
                )
        parts = [offset.get(name, torch.zeros(shape)) for name, shape in self._shapes.items()]
        self.values = torch.cat([part.to(self._like).flatten() for part in parts])

    def tables(self) -> dict[str, Tensor] | None:
        """Return the constants by decision, `slots x choices`-dim; None for none."""
        if self.values is None:
            return None
        parts = self.values.split([slots * choices for slots, choices in self._shapes.values()])
        shapes = self._shapes.items()
        return {name: part.view(shape) for (name, shape), part in zip(shapes, parts, strict=True)}

    def added_to(self, logits: LogitTable) -> dict[str, Tensor]:
        """Return logits with the constants added."""
        tables = self.tables()
        if tables is None:
            return dict(logits.items())
        return {name: tables[name] + value for name, value in logits.items()}


def _make_room(module: nn.Module, state: Mapping[str, Any], prefix: str, *_: Any) -> None:
    """Let a module without constants take those of a state."""
    assert isinstance(module, LogitOffset)
    found = state.get(f"{prefix}values")
    if found is not None and module.values is None:
        module.values = torch.zeros(found.shape).to(module._like)
