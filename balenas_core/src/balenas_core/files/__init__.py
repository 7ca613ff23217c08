"""Files that are written whole or not at all, locked, and whose errors say what to do.

Text that came out of one is made printable here; what a run or a table of scores keeps in them
is not known.
"""

from balenas_core.files._atomic import (
    is_unfinished as is_unfinished,
    remove_unfinished as remove_unfinished,
    unfinished_directory as unfinished_directory,
    write_atomically as write_atomically,
)
from balenas_core.files._json import finite as finite, json_line as json_line
from balenas_core.files._lock import (
    LOCK as LOCK,
    Holder as Holder,
    RunLock as RunLock,
    holder as holder,
    in_use as in_use,
)
from balenas_core.files._output_errors import output_errors as output_errors
from balenas_core.files._printable import (
    json_text as json_text,
    one_line as one_line,
    printable as printable,
)
from balenas_core.files._regular import (
    append_to as append_to,
    open_in_place as open_in_place,
    open_regular as open_regular,
    read_regular as read_regular,
)
