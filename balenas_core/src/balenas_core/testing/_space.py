"""Checks of search spaces."""

from __future__ import annotations

from balenas_core.testing._space_networks import SpaceNetworkChecks
from balenas_core.testing._space_supernet import SpaceSupernetChecks
from balenas_core.testing._space_texts import SpaceTextChecks
from balenas_core.testing._space_variation import SpaceVariationChecks


class SearchSpaceConformance(
    SpaceTextChecks, SpaceVariationChecks, SpaceNetworkChecks, SpaceSupernetChecks
):
    """A space's text form, variation, supernet and networks agree with one another."""
