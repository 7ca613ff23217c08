import pytest
from pydantic import ValidationError

from balenas_core.registry import default_registry
from balenas_core.space import Task
from balenas_core.testing import SearchSpaceConformance


class TestPartialChannels(SearchSpaceConformance):
    plugin_name = "darts"
    options = {"channels": 4, "partial_channels": 4}  # noqa: RUF012


def _weights(partial_channels):
    ref = default_registry().find("space", "darts")
    options = ref.load().options(channels=8, partial_channels=partial_channels)
    supernet = ref.build(options).supernet(Task((3, 16, 16), 10))
    cells = supernet.cells
    return sum(p.numel() for cell in cells for edge in cell.edges for p in edge.parameters())


def test_operations_have_fewer_weights_by_the_square_of_the_parts():
    # Convolutions of channels x channels shrink by parts^2; depthwise ones by parts.
    assert _weights(1) / 16 <= _weights(4) <= _weights(1) / 4


def test_parts_that_do_not_divide_the_channels_are_refused():
    model = default_registry().find("space", "darts").load().options
    with pytest.raises(ValidationError, match=r"partial_channels \(3\) must divide channels \(8\)"):
        model(channels=8, partial_channels=3)
