"""Partial channels and edge normalisation, in every space that has them."""

import pytest
from pydantic import ValidationError

from balenas_core.interfaces.space import Task
from balenas_core.plugins.registry import default_registry

SPACES = ("darts", "nb201")


def _options(space, **options):
    return default_registry().find("space", space).load().options(**options)


def _space(space, **options):
    return default_registry().find("space", space).build(_options(space, **options))


def _weights(space, partial_channels):
    supernet = _space(space, channels=8, partial_channels=partial_channels).supernet(
        Task((3, 16, 16), 10)
    )
    return sum(p.numel() for cell in supernet.cells for e in cell.edges for p in e.parameters())


@pytest.mark.parametrize("space", SPACES)
def test_operations_have_fewer_weights_by_the_square_of_the_parts(space):
    # Convolutions of channels x channels shrink by parts^2; depthwise ones by parts.
    assert _weights(space, 1) / 16 <= _weights(space, 4) <= _weights(space, 1) / 4


@pytest.mark.parametrize("space", SPACES)
def test_parts_that_do_not_divide_the_channels_are_refused(space):
    with pytest.raises(ValidationError, match=r"partial_channels \(3\) must divide channels \(8\)"):
        _options(space, channels=8, partial_channels=3)


@pytest.mark.parametrize(
    ("space", "tables"),
    [
        (
            "darts",
            {f"{kind}_inputs_{node}": (1, node) for kind in ("normal", "reduce")
             for node in (2, 3, 4, 5)},
        ),
        ("nb201", {"cell_inputs_2": (1, 2), "cell_inputs_3": (1, 3)}),
    ],
)  # fmt: skip
def test_each_node_of_several_inputs_has_a_table_of_edges(space, tables):
    plain = {d.name: d.shape for d in _space(space).decisions}
    with_edges = {d.name: d.shape for d in _space(space, edge_normalization=True).decisions}
    assert with_edges == plain | tables
