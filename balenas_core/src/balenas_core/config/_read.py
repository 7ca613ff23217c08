"""Configuration files: found, of a sane size, decoded and parsed."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from balenas_core.config._document import Document, DocumentError
from balenas_core.config._json import parse_json
from balenas_core.config._problems import shown
from balenas_core.config._toml import parse_toml
from balenas_core.config._yaml import parse_yaml
from balenas_core.errors import ConfigError
from balenas_core.plugins.suggest import did_you_mean_file

MAX_BYTES = 256 * 1024
"""Largest file that is read; a complete configuration has about 4 KiB."""

_PARSERS: dict[str, Callable[[str], Document]] = {
    ".yaml": parse_yaml,
    ".yml": parse_yaml,
    ".toml": parse_toml,
    ".json": parse_json,
}


def read_document(path: Path) -> Document:
    """Read a YAML, TOML or JSON file whose top level is a mapping.

    Raises:
        ConfigError: It cannot be read, is too large, is not text, or cannot be parsed.
    """
    parse = _parser(path)
    text = _decode(path, _read(path))
    try:
        document = parse(text)
    except DocumentError as error:
        place = "".join(f":{n}" for n in (error.line, error.column) if n is not None)
        raise ConfigError(f"{path}{place}: {error.message}") from error
    if document.data is None or document.data == {}:
        raise ConfigError(
            f"{path}: is empty; a configuration names at least a space and an optimizer. "
            "'balenas config init' writes a complete one."
        )
    if not isinstance(document.data, dict):
        raise ConfigError(
            f"{path}:1: must be a mapping of keys to values, such as 'space: NAME' "
            f"(got {shown(document.data)})"
        )
    document.data.pop("$schema", None)  # by which editors find the JSON schema
    return document


def _parser(path: Path) -> Callable[[str], Document]:
    if path.is_dir():
        raise ConfigError(f"{path}: is a directory; name a .yaml, .toml or .json file")
    if not path.exists():
        raise ConfigError(f"{path}: no such file.{_similar(path)}")
    parse = _PARSERS.get(path.suffix.lower())
    if parse is None:
        raise ConfigError(
            f"{path}: unknown format {path.suffix!r}; name the file .yaml, .yml, .toml or .json"
        )
    return parse


def _similar(path: Path) -> str:
    try:
        names = [p.name for p in path.parent.iterdir() if p.suffix.lower() in _PARSERS]
    except OSError:
        return f" There is no directory {str(path.parent)!r}."
    return did_you_mean_file(path.name, names)


def _read(path: Path) -> bytes:
    try:
        with path.open("rb") as file:
            content = file.read(MAX_BYTES + 1)
    except OSError as error:
        raise ConfigError(f"{path}: cannot be read: {error.strerror or error}") from error
    if len(content) > MAX_BYTES:
        raise ConfigError(
            f"{path}: is larger than {MAX_BYTES // 1024} KiB, which no configuration is; "
            "check the file name"
        )
    return content


def _decode(path: Path, content: bytes) -> str:
    if b"\0" in content:
        raise ConfigError(f"{path}: is a binary file; expected text in UTF-8")
    try:
        return content.decode("utf-8-sig").replace("\r\n", "\n")
    except UnicodeDecodeError as error:
        line = content.count(b"\n", 0, error.start) + 1
        raise ConfigError(
            f"{path}:{line}: is not text in UTF-8 (byte {content[error.start]:#04x})"
        ) from error
