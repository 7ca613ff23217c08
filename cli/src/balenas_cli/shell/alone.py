"""Commands that use one process, where torchrun has started several."""

from __future__ import annotations

import os
import sys


def check_is_alone(what: str) -> None:
    """Refuse a command that several processes were launched for; the first one says why.

    Args:
        what: What the command does, as the subject of a message.

    Raises:
        UsageError: Several were launched.
    """
    from balenas_core.engine.launch import refuse_others
    from balenas_core.errors import UsageError

    try:
        refuse_others(what)
    except UsageError as error:
        if os.environ.get("RANK", "0") != "0":
            sys.exit(error.exit_code)
        raise
