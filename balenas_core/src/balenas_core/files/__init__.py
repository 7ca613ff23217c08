"""Files that are written whole or not at all, locked, and whose errors say what to do.

What a run or a table of scores keeps in them is not known here.
"""

from balenas_core.files._atomic import (
    is_unfinished as is_unfinished,
    remove_unfinished as remove_unfinished,
    unfinished_directory as unfinished_directory,
    write_atomically as write_atomically,
)
from balenas_core.files._lock import (
    LOCK as LOCK,
    Holder as Holder,
    RunLock as RunLock,
    holder as holder,
)
from balenas_core.files._output_errors import output_errors as output_errors
