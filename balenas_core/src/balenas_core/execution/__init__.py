"""Independent pieces of work, done by the workers of whichever executor.

What an executor is stands in ``interfaces``; here is what is the same for all of them: threads
and limits of time of a worker, further tries, and results in the order of what was asked for.
What the work is, is not known here.
"""

from balenas_core.execution._local import LocalExecutor as LocalExecutor
from balenas_core.execution._run import (
    Outcome as Outcome,
    as_done as as_done,
    in_order as in_order,
    open_workers as open_workers,
)
from balenas_core.execution._work import Answer as Answer, Work as Work
