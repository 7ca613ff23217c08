"""Log records and Python warnings as single lines on stderr."""

from __future__ import annotations

import logging
import os


class _OneLineHandler(logging.Handler):
    """Writes ``warning: message``; the traceback of a record only under ``BALENAS_DEBUG``."""

    def emit(self, record: logging.LogRecord) -> None:
        from rich.text import Text

        from balenas_cli.shell.console import stderr

        try:
            message = record.getMessage().strip()
            if record.name == "py.warnings":
                message = message.splitlines()[0]  # the second is the source
            message = " ".join(message.split())
            if record.exc_info and os.environ.get("BALENAS_DEBUG"):
                message += "\n" + logging.Formatter().formatException(record.exc_info)
            level = record.levelname.lower()
            # Through rich's console: a live display would overwrite a bare write.
            stderr().print(Text(f"{level}: ", style="yellow") + Text(message), soft_wrap=True)
        except Exception:
            self.handleError(record)


def install() -> None:
    """Show warnings and errors of balenas and its plugins."""
    root = logging.getLogger()
    if not any(isinstance(handler, _OneLineHandler) for handler in root.handlers):
        root.addHandler(_OneLineHandler(logging.WARNING))
    logging.captureWarnings(True)
