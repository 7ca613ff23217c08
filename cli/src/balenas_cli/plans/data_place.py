"""Where ``--data-root`` belongs among the options of a dataset."""

from __future__ import annotations

from typing import Final

from balenas_core.errors import ConfigError, PluginError
from balenas_core.plugins.registry import default_registry

_PLACES: Final = ("root", "path")


def place_option(dataset: str) -> str:
    """Return the option of a dataset that says where its file or folder is.

    Raises:
        ConfigError: It has none.
    """
    try:
        ref = default_registry().find("dataset", dataset)
        model = ref.load().options
    except PluginError:  # validation says what is wrong with the name
        return _PLACES[0]
    fields = {} if model is None else model.model_fields
    found = next((name for name in _PLACES if name in fields), None)
    if found is None:
        raise ConfigError(
            f"--data-root: dataset {ref.name!r} is in no file or folder that could be given; "
            f"leave --data-root out, or choose another --data."
        )
    return found
