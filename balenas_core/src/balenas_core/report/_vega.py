"""The library that makes charts answer to a pointer."""

from __future__ import annotations

import contextlib
import re
from importlib import metadata

import vl_convert

from balenas_core.benchmarks import cache_folder
from balenas_core.errors import DataError
from balenas_core.files import write_atomically


def vega_bundle(version: str) -> str:
    """Return Vega, Vega-Lite and Vega-Embed as one script, for a version of Vega-Lite.

    Putting it together takes a second, so that it is kept with other caches, where one can write.
    """
    bundle = None
    with contextlib.suppress(OSError, DataError):
        made_by = metadata.version("vl-convert-python")
        path = cache_folder() / "report" / f"vega-lite-{version}-{made_by}.js"
        if path.exists():
            return path.read_text(encoding="utf-8")
        bundle = _made(version)
        path.parent.mkdir(parents=True, exist_ok=True)
        data = bundle.encode()
        write_atomically(path, lambda file: file.write(data))
    return bundle or _made(version)


def _made(version: str) -> str:
    bundle = vl_convert.javascript_bundle("window.vegaEmbed = vegaEmbed;", version)
    # In HTML this would end the script.
    return re.sub(r"</(?=script)", r"<\\/", bundle, flags=re.IGNORECASE)
