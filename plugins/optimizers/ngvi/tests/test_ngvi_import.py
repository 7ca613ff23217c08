"""What importing the package costs, and that its documentation runs."""

import doctest
import importlib
import subprocess
import sys

import pytest

import balenas_optimizer_ngvi


def test_importing_the_package_imports_no_torch():
    code = "import sys, balenas_optimizer_ngvi; assert 'torch' not in sys.modules"
    subprocess.run([sys.executable, "-c", code], check=True, env={"PYTHONPATH": ":".join(sys.path)})


def test_everything_public_can_be_had():
    for name in balenas_optimizer_ngvi.__all__:
        assert getattr(balenas_optimizer_ngvi, name) is not None


def test_an_unknown_name_is_an_attribute_error():
    with pytest.raises(AttributeError, match="no attribute 'NVGI'"):
        _ = balenas_optimizer_ngvi.NVGI


@pytest.mark.parametrize("module", ["_optimizer", "_per_sample", "schedules"])
def test_examples_in_docstrings_run(module):
    loaded = importlib.import_module(f"balenas_optimizer_ngvi.{module}")
    assert doctest.testmod(loaded).failed == 0
