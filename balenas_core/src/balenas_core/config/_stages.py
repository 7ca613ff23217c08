"""The selector's section where it has stages: ``synflow+jacov > supernet > train``."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Annotated, Any, Self

from pydantic import (
    Field,
    SerializationInfo,
    ValidationError,
    field_serializer,
    model_validator,
)

from balenas_core.config._problems import (
    Path,
    Problem,
    dotted,
    fail,
    problems_of,
    shown,
    unknown_key,
)
from balenas_core.config._ranking import RankingOptions, resolve_stage, without
from balenas_core.config._sections import PluginSection, find_plugin
from balenas_core.plugins.checking import loadable
from balenas_core.plugins.names import normalize, short
from balenas_core.plugins.registry import Registry
from balenas_core.plugins.selector_options import PoolOptions

STAGE = "stage"
"""What a selector plugin provides that can be a stage."""

_POOL_KEYS = tuple(PoolOptions.model_fields)
LOOSE_KEYS = ("aggregate", "weights", "drawn")
"""Options of a ranking that may stand loose where only one stage has several proxies."""
_FACTOR = 4


class StagedOptions(PoolOptions):
    """Options of a selection in stages."""

    survivors: tuple[Annotated[int, Field(ge=1, strict=True)], ...] = Field(
        description="How many candidates go on from each stage but the last. By default 4 into "
        "the last stage, 16 into the one before, and so on."
    )
    stages: Mapping[str, PluginSection] = Field(
        min_length=2, description="Options of each stage, by its part of the name."
    )

    @model_validator(mode="after")
    def _survivors_fit(self) -> Self:
        count = len(self.stages) - 1
        if len(self.survivors) != count:
            fail([Problem(("survivors",), f"must be {_numbers(count)}, one for each stage but the "
                                          f"last (got {len(self.survivors)})")])  # fmt: skip
        for position, (before, after) in enumerate(
            zip(self.survivors, self.survivors[1:], strict=False), start=1
        ):
            if after > before:
                fail([Problem(("survivors", position),
                              f"must be at most {before}, those of the stage before "
                              f"(got {after})")])  # fmt: skip
        return self

    @field_serializer("stages")
    def _without_pools(
        self, stages: Mapping[str, PluginSection], info: SerializationInfo
    ) -> dict[str, Any]:
        # The pool is the whole selection's.
        hidden = {"name", *_POOL_KEYS}
        return {name: without(section, hidden, info) for name, section in stages.items()}


def _numbers(count: int) -> str:
    return "one number" if count == 1 else f"{count} numbers"


def default_survivors(stages: int) -> tuple[int, ...]:
    """Return how many go on from each stage but the last.

    Example:
        >>> default_survivors(3)
        (16, 4)
    """
    return tuple(_FACTOR ** (stages - number) for number in range(1, stages))


def resolve_stages(
    stages: tuple[tuple[str, ...], ...], options: Mapping[str, Any], registry: Registry
) -> PluginSection:
    """Return the section of a staged selection.

    Options of a stage stand under ``stages``, by its part of the name, or under the name of its
    selector or proxy; ``LOOSE_KEYS`` may stand loose where only one stage has several proxies.

    Raises:
        ValidationError: With packed problems.
    """
    given = _Given(stages, registry)
    for key, value in options.items():
        given.sort(key, value)
    problems = list(given.problems)
    sections: dict[str, PluginSection] = {}
    for names in stages:
        try:
            section = _stage(names, given.options[names], registry)
        except ValidationError as error:
            problems += [
                given.moved(names, problem)
                for problem in problems_of(error, PluginSection, given.options[names])
            ]
        else:
            sections[section.name] = section
    try:
        if problems:
            # Without all stages their number is unknown; only the other options are checked.
            PoolOptions.model_validate({k: v for k, v in given.whole.items() if k in _POOL_KEYS})
        else:
            whole = {"survivors": default_survivors(len(stages)), **given.whole}
            return PluginSection(
                name=" > ".join(sections),
                options=StagedOptions.model_validate({**whole, "stages": sections}),
            )
    except ValidationError as error:
        problems += problems_of(error, StagedOptions, given.whole)
    fail(problems)


class _Given:
    """Sorts the keys of a section into those of the whole selection and those of each stage."""

    def __init__(self, stages: tuple[tuple[str, ...], ...], registry: Registry) -> None:
        self.options: dict[tuple[str, ...], dict[str, Any]] = {names: {} for names in stages}
        self.whole: dict[str, Any] = {}
        self.problems: list[Problem] = []
        self._places: dict[tuple[str, ...], dict[Path, Path]] = {names: {} for names in stages}
        self._selectors = {
            names for names in stages if len(names) == 1 and registry.means_selector(names[0])
        }

    def sort(self, key: str, value: Any) -> None:
        """Take one key of the section."""
        if key in _POOL_KEYS or key == "survivors":
            self.whole[key] = value
            return
        if key == "stages":
            self._sort_stages(value)
            return
        joint = [names for names in self.options if len(names) > 1]
        if key in LOOSE_KEYS and len(joint) == 1:
            self._add(joint[0], (key,), value, (key,))
            return
        for names in self.options:
            known_as = {normalize(form) for name in names for form in (name, short(name))}
            if normalize(key) in known_as:
                self._add_named(names, key, value)
                return
        if key in LOOSE_KEYS:
            message = (
                f"belongs to one stage; write it as stages.{'+'.join(joint[0])}.{key}"
                if joint
                else "is for a stage of several proxies, and there is none"
            )
            self.problems.append(Problem((key,), message))
            return
        known = ["survivors", "stages", *_POOL_KEYS, *(n for names in self.options for n in names)]
        self.problems.append(Problem((key,), unknown_key(key, known)))

    def moved(self, names: tuple[str, ...], problem: Problem) -> Problem:
        """Return a problem of a stage at the place where its option is written."""
        for length in range(len(problem.path), -1, -1):
            place = self._places[names].get(problem.path[:length])
            if place is not None:
                path = (*place, *problem.path[length:])
                return Problem(path, problem.message, problem.load_error)
        if problem.path in ((), ("name",)):
            return Problem(("name",), problem.message, problem.load_error)
        return Problem(
            ("stages", "+".join(names), *problem.path), problem.message, problem.load_error
        )

    def _sort_stages(self, value: Any) -> None:
        if not isinstance(value, Mapping):
            self.problems.append(
                Problem(("stages",), f"must be a mapping of stages (got {shown(value)})")
            )
            return
        by_text = {_comparable(short("+".join(names))): names for names in self.options}
        by_text |= {_comparable("+".join(names)): names for names in self.options}
        for text, nested in value.items():
            names = by_text.get(_comparable(str(text)))
            if names is None:
                known = ["+".join(names) for names in self.options]
                self.problems.append(Problem(("stages", text), unknown_key(str(text), known)))
            else:
                self._add_all(names, nested, ("stages", text))

    def _add_named(self, names: tuple[str, ...], key: str, value: Any) -> None:
        if names in self._selectors:
            self._add_all(names, value, (key,))
        else:
            self._add(names, ("proxies", key), value, (key,))

    def _add_all(self, names: tuple[str, ...], nested: Any, path: Path) -> None:
        if nested is None:
            return
        if not isinstance(nested, Mapping):
            self.problems.append(
                Problem(path, f"must be a mapping of options (got {shown(nested)})")
            )
            return
        for option, value in nested.items():
            if option in _POOL_KEYS:
                message = f"belongs to the whole selection; write it as selector.{option}"
                self.problems.append(Problem((*path, option), message))
            else:
                self._add(names, (option,), value, (*path, option))

    def _add(self, names: tuple[str, ...], inner: Path, value: Any, path: Path) -> None:
        if inner in self._places[names]:
            earlier = dotted(self._places[names][inner])
            self.problems.append(Problem(path, f"is also given as {earlier}; keep one"))
            return
        self._places[names][inner] = path
        node = self.options[names]
        for part in inner[:-1]:
            node = node.setdefault(str(part), {})
        node[str(inner[-1])] = value


def _comparable(text: str) -> str:
    return normalize(text).replace(" ", "")


def _stage(names: tuple[str, ...], options: Mapping[str, Any], registry: Registry) -> PluginSection:
    section = resolve_stage(names, options, registry)
    if isinstance(section.options, RankingOptions):
        return section
    _, plugin = find_plugin("selector", section.name, registry)
    if STAGE not in plugin.provides:
        fitting = ", ".join(_stage_names(registry)) or "none"
        message = (
            f"{section.name!r} is a selector that cannot be a stage: it ranks no given candidates. "
            f"Proxies and these can: {fitting}."
        )
        fail([Problem(("name",), message)])
    return section


def _stage_names(registry: Registry) -> Iterator[str]:
    for ref in loadable(registry.refs("selector")):
        try:
            _, plugin = find_plugin("selector", ref.name, registry)
        except ValidationError:
            continue  # what cannot be loaded is no remedy
        if STAGE in plugin.provides:
            yield ref.name
