"""Macro search spaces: stages of layers, each layer one block out of several.

``MacroSpace`` implements everything of a ``SearchSpace`` but the parts of the networks. A space
of this kind lists its layers and builds its stem, blocks and head; see
``docs/write-a-space.md``.
"""

from balenas_core.macro._architecture import SKIP as SKIP, MacroArchitecture as MacroArchitecture
from balenas_core.macro._network import (
    MacroNetwork as MacroNetwork,
    MacroSupernet as MacroSupernet,
)
from balenas_core.macro._space import LayerChoices as LayerChoices, MacroSpace as MacroSpace
