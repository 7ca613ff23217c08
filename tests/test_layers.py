"""What may know what: the engine names no plugin, and cheap commands import little."""

import ast
import re
import subprocess
import sys
from pathlib import Path

import pytest

CORE = Path(__file__).parents[1] / "balenas_core" / "src"
MAP = Path(__file__).parents[1] / "docs" / "architecture.md"
CLI = Path(__file__).parents[1] / "cli" / "src"
PLUGIN_PACKAGES = re.compile(r"balenas_(space|optimizer|proxy)_\w+")


def _imported_by(statement: str) -> set[str]:
    code = f"{statement}\nimport sys; print(*sys.modules, sep='\\n', file=sys.stderr)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    return {line.partition(".")[0] for line in done.stderr.splitlines()}


@pytest.mark.parametrize("folder", [CORE, CLI], ids=["core", "cli"])
def test_no_plugin_package_is_named(folder):
    named = {
        f"{path.name}: {match.group()}"
        for path in folder.rglob("*.py")
        for match in PLUGIN_PACKAGES.finditer(path.read_text())
    }
    assert named == set()


def test_importing_the_core_imports_neither_torch_nor_pydantic():
    assert _imported_by("import balenas_core").isdisjoint({"torch", "pydantic"})


def test_the_configuration_imports_no_torch():
    assert "torch" not in _imported_by("import balenas_core.config")


def test_public_names_of_the_core_resolve():
    import balenas_core

    assert all(getattr(balenas_core, name) is not None for name in balenas_core.__all__)


ROOMS = sorted(path.parent.name for path in CORE.glob("balenas_core/*/__init__.py"))


@pytest.mark.parametrize("room", ROOMS)
def test_a_room_says_what_lives_there_and_the_map_shows_it(room):
    docstring = ast.get_docstring(
        ast.parse((CORE / "balenas_core" / room / "__init__.py").read_text())
    )
    assert docstring is not None
    assert docstring.count(".") >= 2, "a sentence on what lives there, and one on what does not"
    assert re.search(rf"\b{room}\b", MAP.read_text())


def test_nothing_lies_outside_of_the_rooms():
    flat = {path.name for path in (CORE / "balenas_core").glob("*.py")}
    assert flat == {"__init__.py", "errors.py", "random.py"}
