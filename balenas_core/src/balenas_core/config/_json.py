"""JSON, with the line of every key."""

from __future__ import annotations

import json

from balenas_core.config._document import Document, DocumentError
from balenas_core.config._yaml import parse_yaml


def parse_json(text: str) -> Document:
    """Parse a JSON document.

    Raises:
        DocumentError: The text is not JSON.
    """
    if not text.strip():
        return Document(None)
    try:
        data = json.loads(text)
    except json.JSONDecodeError as error:
        message = f"not valid JSON: {error.msg[:1].lower()}{error.msg[1:]}"
        raise DocumentError(message, error.lineno, error.colno) from error
    except RecursionError as error:
        raise DocumentError("nests too deeply") from error
    except ValueError as error:  # an integer of thousands of digits
        raise DocumentError(f"not valid JSON: {error}") from error
    # JSON is YAML but for tabs, which YAML forbids between tokens. Inside its strings JSON has
    # none, so they can become blanks without moving anything.
    located = parse_yaml(text.replace("\t", " "))
    return Document(data, located.lines, located.findings)
