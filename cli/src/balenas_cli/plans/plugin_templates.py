"""The files of a new plugin, from the templates beside this module."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from importlib import resources
from string import Template

from balenas_core import __version__ as core_version
from balenas_core.errors import UsageError
from balenas_core.plugins.plugin import API_VERSION, GROUPS, HOOKS_GROUP
from balenas_core.plugins.suggest import did_you_mean

_LONGEST = 20  # so that no line of a project becomes too long
_NAME = re.compile(rf"[a-z][a-z0-9_]{{0,{_LONGEST - 1}}}")
_OF_EVERY_PROJECT = {
    "pyproject.toml": "pyproject.toml",
    "README.md": "README.md",
    "LICENSE": "LICENSE",
    ".gitignore": "gitignore",
    ".github/workflows/ci.yml": "ci.yml",
}


@dataclass(frozen=True, slots=True)
class _Kind:
    """What differs from kind to kind.

    Args:
        conformance: Class of the kit.
        summary: One line.
        options: Fields of the options model, as Python; None for a plugin of one module.
        fields: Further arguments of the declaration, as Python.
        usage: The last paragraph of the README.
        is_function: Whether the implementation is a function.
        base: Class that the options derive from; of ``balenas_core.plugins.options`` where it is
            not the usual one.
        imports: Further imports of the declaration.
        is_value: Whether the implementation is an object, in a module of its own.
        kit: Package whose ``testing`` has the class of the kit.
    """

    conformance: str
    summary: str
    usage: str
    options: str | None = None
    fields: str = ""
    is_function: bool = False
    base: str = "PluginOptions"
    imports: str = ""
    is_value: bool = False
    kit: str = "balenas_core"


_KINDS: Mapping[str, _Kind] = {
    "space": _Kind(
        "SearchSpaceConformance",
        "stages of convolutions whose kernels and number are searched",
        "balenas search --space $name --optimizer ngvi --selector argmax --data digits",
        """\
    widths: tuple[int, ...] = Field(default=(8, 16), description="Channels of every stage.")
    layers: int = Field(default=2, ge=1, le=100, description="Layers of a stage, at most.")
    kernels: tuple[int, ...] = Field(default=(3, 5), description="Sizes of kernels, odd.")
""",
        '    provides=("supernet",),\n',
    ),
    "distribution": _Kind(
        "DistributionConformance",
        "logits with Gaussian noise of a fixed size",
        "balenas search --space nb201 --optimizer adam --distribution $name --data digits",
        """\
    noise: float = Field(default=0.5, ge=0, description="Standard deviation of the noise.")
""",
        '    provides=("logits",),\n',
    ),
    "optimizer": _Kind(
        "OptimizerConformance",
        "gradient descent with momentum on a draw of the distribution",
        "balenas search --space nb201 --optimizer $name --data digits",
        """    lr: float = Field(default=0.1, gt=0, description="Learning rate.")
    momentum: float = Field(default=0.9, ge=0, lt=1, description="Momentum.")
""",
        '    needs={"space": ("supernet",)},\n    defaults={"distribution": "point"},\n',
    ),
    "selector": _Kind(
        "SelectorConformance",
        "the largest, or the smallest, network of a pool of draws",
        "balenas search --space nb201 --optimizer ngvi --selector $name --data digits",
        """    prefer: Literal["large", "small"] = Field(
        default="large", description="Which networks rank first."
    )
""",
        '    provides=("stage",),\n',
        base="PoolOptions",
        imports="from typing import Literal\n\n",
    ),
    "proxy": _Kind(
        "ProxyConformance",
        "number of parameters, convolutions counted more",
        "balenas search --space nb201 --optimizer ngvi --selector $name --data digits",
        """    convolutions: float = Field(
        default=2.0, gt=0, description="How often a parameter of a convolution counts."
    )
""",
    ),
    "dataset": _Kind(
        "DatasetConformance",
        "stripes that run across or down",
        "balenas search --space nb201 --optimizer ngvi --selector argmax --data $name",
        """    images: int = Field(default=512, ge=8, description="Training images.")
    size: int = Field(default=8, ge=4, le=1024, description="Height and width in pixels.")
""",
        is_function=True,
    ),
    "tracker": _Kind(
        "TrackerConformance",
        "appends a line of JSON for every epoch",
        "balenas search --space nb201 --optimizer ngvi --data digits --tracker $name",
        """\
    path: str = Field(default="record.jsonl", min_length=1, description="File of the record.")
""",
    ),
    "executor": _Kind(
        "ExecutorConformance",
        "processes of this machine, started anew for every piece of work",
        "balenas search --space nb201 --optimizer ngvi --selector naswot --data digits \\\n"
        "        --executor $name",
        """    workers: int = Field(default=2, ge=1, le=4096, description="Processes.")
""",
        base="WorkerOptions",
    ),
    "preset": _Kind(
        "PresetConformance",
        "adam with a larger step, for short searches",
        "balenas search --preset $name --space nb201 --data digits",
    ),
    "recipe": _Kind(
        "RecipeConformance",
        "nesterov with smoothed labels, for small images",
        "balenas train runs/mine --preset $name",
        kit="balenas_timm",
    ),
    "format": _Kind(
        "FormatConformance",
        "one file of NumPy arrays",
        "balenas export runs/mine --format $name",
        is_value=True,
        kit="balenas_timm",
    ),
    "hook": _Kind(
        "HookConformance",
        "tells the log how far searches are",
        "balenas search --space nb201 --optimizer ngvi --data digits",
    ),
}
KINDS = tuple(_KINDS)


def project_files(kind: str, name: str, *, now: datetime) -> dict[str, str]:
    """Return path -> text of every file of a new plugin.

    Args:
        kind: Kind of the plugin.
        name: Name by which users call it.
        now: Gives the licence its year.

    Raises:
        UsageError: There is no such kind, or the name cannot be one.
    """
    if kind not in _KINDS:
        raise UsageError(
            f"no template for kind {kind!r}.{did_you_mean(kind, KINDS)} Kinds: {', '.join(KINDS)}."
        )
    if not _NAME.fullmatch(name):
        better = re.sub(r"[^a-z0-9]+", "_", name.lower()).strip("_0123456789") or "my_plugin"
        raise UsageError(
            f"{name!r} cannot be a plugin's name: take up to {_LONGEST} lower-case letters, digits "
            f"and _, a letter first, such as {better[:_LONGEST]!r}."
        )
    values = _values(kind, name, now)
    package = values["package"]
    files = {path: _filled(template, values) for path, template in _OF_EVERY_PROJECT.items()}
    files[f"src/{package}/py.typed"] = ""
    files[f"tests/test_{package}.py"] = _filled("test.py", values)
    if _KINDS[kind].options is None and not _KINDS[kind].is_value:
        files[f"src/{package}/__init__.py"] = _filled(f"kinds/{kind}.py", values)
        files["README.md"] = "".join(
            line
            for line in files["README.md"].splitlines(keepends=True)
            if "_implementation.py" not in line
        )
    else:
        declaration = "value.py" if _KINDS[kind].is_value else "declaration.py"
        files[f"src/{package}/__init__.py"] = _filled(declaration, values)
        files[f"src/{package}/_implementation.py"] = _filled(f"kinds/{kind}.py", values)
    return files


def _values(kind: str, name: str, now: datetime) -> dict[str, str]:
    about = _KINDS[kind]
    words = name.split("_")
    package = f"balenas_{kind}_{name}"
    class_name = "".join(word.capitalize() for word in words)
    implementation = f"load_{name}" if about.is_function else class_name
    if about.is_value:
        implementation = name.upper()
    major, minor = core_version.split(".")[:2]
    versions = f">={major}.{minor},<{major}.{int(minor) + 1}"
    needed = dict.fromkeys(("balenas_core", about.kit))
    return {
        "kind": kind,
        "name": name,
        "package": package,
        "distribution": package.replace("_", "-"),
        "group": GROUPS.get(kind, HOOKS_GROUP),
        "entry_point": package if kind == "hook" else f"{package}:plugin",
        "summary": about.summary,
        "conformance": about.conformance,
        "kit": about.kit,
        "dependencies": ", ".join(f'"{one.replace("_", "-")}{versions}"' for one in needed),
        "class_name": class_name,
        "function_name": f"load_{name}",
        "implementation": implementation,
        "options": Template(about.options or "").substitute(name=name),
        "fields": about.fields,
        "api_version": str(API_VERSION),
        "year": str(now.year),
        "usage": f"    {Template(about.usage).substitute(name=name)}",
    }


def _filled(template: str, values: Mapping[str, str]) -> str:
    file = resources.files("balenas_cli.plans") / "templates" / f"{template}.txt"
    text = Template(file.read_text(encoding="utf-8")).substitute(values)
    base = _KINDS[values["kind"]].base
    if template == "declaration.py":
        if base != "PluginOptions":
            text = text.replace(
                "import Plugin, PluginOptions\n",
                f"import Plugin\nfrom balenas_core.plugins.options import {base}\n",
            ).replace("class Options(PluginOptions)", f"class Options({base})")
        imports = _KINDS[values["kind"]].imports
        text = text.replace("from balenas_core import", f"{imports}from balenas_core import", 1)
    return text
