"""The plain choice of DARTS and BaLeNAS."""

from __future__ import annotations

from balenas_core.interfaces.selection import Candidate, Selection, SelectionContext, Selector


class ArgmaxSelector(Selector):
    """Takes the discretisation of the distribution's mean."""

    def select(self, context: SelectionContext) -> Selection:
        """Return the argmax as the only candidate."""
        architecture = context.distribution.argmax(context.space)
        return Selection((Candidate(architecture, 1, {}, is_argmax=True, draws=0),))
