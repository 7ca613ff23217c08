"""Cells as SVG, and results as HTML for notebooks.

Drawings know shapes and texts, not searches: what is drawn says itself what there is to show.
"""

from balenas_core.drawing._notebook import (
    choice_html as choice_html,
    facts_html as facts_html,
    table_html as table_html,
)
from balenas_core.drawing._svg import (
    draw_architecture as draw_architecture,
    draw_cell as draw_cell,
)
