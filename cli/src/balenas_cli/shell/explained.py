"""Which page of the documentation explains an error, and where it is.

The site's address is the project's URL ``Documentation`` in pyproject.toml; until there is one, a
page is named by its place in the repository.
"""

from __future__ import annotations

from importlib import metadata

from balenas_core.errors import (
    BalenasError,
    ConfigChangedError,
    DamagedError,
    PluginConflictError,
    PluginLoadError,
    PluginNotFoundError,
    RunExistsError,
    RunLockedError,
    TooLargeError,
)

PAGES: dict[type[BalenasError], str] = {
    ConfigChangedError: "runs.md",
    DamagedError: "runs.md",
    PluginConflictError: "plugins.md#names",
    PluginLoadError: "plugins.md#check",
    PluginNotFoundError: "plugins.md#find-and-install",
    RunExistsError: "runs.md",
    RunLockedError: "runs.md",
    TooLargeError: "supernets.md",
}
"""Error -> page below ``docs/``, with the anchor of its section."""


def page_of(error: Exception) -> str | None:
    """Return where to read on about an error, None where no page explains it."""
    page = next((page for kind, page in PAGES.items() if type(error) is kind), None)
    if page is None:
        return None
    address = _address()
    if address is None:
        return f"docs/{page}"
    return f"{address.rstrip('/')}/{page.replace('.md', '.html', 1)}"


def _address() -> str | None:
    """Return the site's address from the metadata of this distribution."""
    try:
        urls = metadata.metadata("balenas-cli").get_all("Project-URL") or []
    except metadata.PackageNotFoundError:
        return None
    pairs = (url.partition(",")[::2] for url in urls)
    return next((url.strip() for name, url in pairs if name.strip() == "Documentation"), None)
