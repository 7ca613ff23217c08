"""The plugins that docs/write-a-plugin.md shows, installed as pip would."""

import json
import re
import subprocess
import sys
from pathlib import Path

import pytest

PAGE = Path(__file__).parents[2] / "docs" / "write-a-plugin.md"
CELLS = ("|nor_conv_3x3~0|+|none~0|none~1|+|none~0|nor_conv_1x1~1|none~2|",
         "|nor_conv_3x3~0|+|none~0|none~1|+|skip_connect~0|none~1|none~2|")  # fmt: skip

pytestmark = pytest.mark.skipif(not PAGE.is_file(), reason="the page is not beside this package")


def block(start):
    """Return the page's block of Python that begins with some text."""
    found = re.findall(r"```python\n(.*?)```", PAGE.read_text(encoding="utf-8"), re.DOTALL)
    (text,) = (code for code in found if code.startswith(start))
    return text


def scores(balenas, names, *more):
    """Return the scores of both cells by each proxy."""
    answer = balenas(
        "score", *CELLS, "--space", "nb201", "--proxy", names, "--json", "--quiet", "--init",
        "formula", "--set", "space.channels=2", "--batch-size", "2", "--input", "3x8x8", *more,
    )  # fmt: skip
    assert answer.returncode == 0, answer.stderr
    rows = json.loads(answer.stdout)
    return [[row[name] for row in rows] for name in names.split(",")]


def test_the_plugin_of_one_file_has_thirty_lines_and_scores(balenas, install):
    source = block("from balenas_core import Plugin\n")
    assert len(source.strip().splitlines()) <= 30
    install(
        "acme-depth", "acme_depth", source, {"balenas.proxies": {"acme_depth": "acme_depth:plugin"}}
    )
    # Stem, two blocks of reduction of three, and in each of three stages the cell's own.
    assert scores(balenas, "acme_depth") == [[1 + 6 + 3 * 2, 1 + 6]]


def test_the_plugin_of_three_files_scores_takes_its_option_and_passes_the_kit(
    balenas, install, site, environment, tmp_path
):
    (site / "acme_params").mkdir()
    install(
        "acme-params",
        "acme_params/__init__",
        block("from balenas_core import Plugin, PluginOptions"),
        {"balenas.proxies": {"acme_params": "acme_params:plugin"}},
    )
    (site / "acme_params" / "proxy.py").write_text(block("from balenas_core import Batch, Proxy"))
    everything, parameters = scores(balenas, "acme_params,params")
    assert everything == parameters
    (convolutions,) = scores(balenas, "acme_params", "--set", "acme_params.only_convolutions=true")
    assert all(few < many for few, many in zip(convolutions, everything, strict=True))
    (tmp_path / "test_params.py").write_text(block("from balenas_core.testing import"))
    kit = subprocess.run(
        [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", "test_params.py"],
        cwd=tmp_path,
        env=environment,
        capture_output=True,
        text=True,
        check=False,
    )
    assert kit.returncode == 0, kit.stdout
