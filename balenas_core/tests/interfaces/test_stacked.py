"""Features of many networks in one tensor."""

from __future__ import annotations

import torch
from torch.utils._python_dispatch import TorchDispatchMode

from balenas_core.interfaces.stacked import Stacked, summed

_INDEXED = (torch.ops.aten.index_select.default, torch.ops.aten.index_add_.default)


class _OneDevice(TorchDispatchMode):
    """Refuses what a GPU refuses: an index that is not on the device of what it indexes."""

    def __init__(self):
        super().__init__()
        self.seen = 0

    def __torch_dispatch__(self, function, types, arguments=(), keywords=None):
        if function in _INDEXED:
            features, _, index = arguments[:3]
            assert index.device == features.device
            self.seen += 1
        return function(*arguments, **(keywords or {}))


def test_features_on_another_device_than_the_cpu_are_indexed_there():
    def stacked(rows):
        return Stacked(torch.empty(6, 2, 4, 4, device="meta"), torch.tensor(rows), 2)

    with _OneDevice() as mode:
        total = summed([stacked([0, 1, -1]), stacked([2, 0, 1])])
        used = total.used_by(torch.tensor([0, 2]))
    assert total.features.shape == (6, 2, 4, 4)
    assert used.features.shape == (4, 2, 4, 4)
    assert mode.seen == 5
