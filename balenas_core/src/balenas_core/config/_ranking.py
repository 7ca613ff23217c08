"""The selector's section where it is one stage: a selector plugin, or proxies that rank."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from typing import Annotated, Any, Literal, Self

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
from balenas_core.config._sections import (
    PluginSection,
    canonical_name,
    find_plugin,
    resolve_section,
    validate_options,
)
from balenas_core.plugins.names import normalize, short
from balenas_core.plugins.plugin import Plugin
from balenas_core.plugins.registry import PluginRef, Registry
from balenas_core.plugins.selector_options import PoolOptions
from balenas_core.plugins.suggest import did_you_mean


class RankingOptions(PoolOptions):
    """Options of a selection by proxies, such as ``synflow`` or ``synflow+naswot``."""

    aggregate: Literal["mean_rank", "log_rank", "weighted"] = Field(
        default="log_rank",
        description="How several proxies become one order: by AZ-NAS's sum of log(rank / n), by "
        "the mean of the ranks, or by the mean of the ranks weighted by 'weights'.",
    )
    weights: Mapping[str, Annotated[float, Field(ge=0, strict=True)]] = Field(
        default_factory=dict,
        description="Weight of each proxy for 'weighted'; 1 for those left out.",
    )
    drawn: bool = Field(
        default=False,
        description="Whether how often a candidate was drawn ranks it too, as one proxy more, so "
        "that what was learned has a say where draws repeat.",
    )
    proxies: Mapping[str, PluginSection] = Field(
        min_length=1, description="Options of each proxy, by its name."
    )

    @model_validator(mode="after")
    def _weights_fit(self) -> Self:
        if self.weights and self.aggregate != "weighted":
            fail([Problem(("weights",), f"needs aggregate: weighted (got {self.aggregate})")])
        unknown = next((name for name in self.weights if name not in self.proxies), None)
        if unknown is not None:
            fail([Problem(("weights", unknown), unknown_key(unknown, list(self.proxies)))])
        if self.weights and not any(self.weights.get(name, 1.0) for name in self.proxies):
            fail([Problem(("weights",), "must have one that is greater than 0")])
        return self

    @field_serializer("proxies")
    def _without_names(
        self, proxies: Mapping[str, PluginSection], info: SerializationInfo
    ) -> dict[str, Any]:
        return {name: without(section, {"name"}, info) for name, section in proxies.items()}


RANKING_KEYS = tuple(name for name in RankingOptions.model_fields if name != "proxies")
"""Options of the ranking itself. An option of a lone proxy of the same name is written below it."""


def without(section: PluginSection, keys: Collection[str], info: SerializationInfo) -> Any:
    values = section.model_dump(mode=info.mode)
    return {key: value for key, value in values.items() if key not in keys}


def resolve_stage(
    names: tuple[str, ...], options: Mapping[str, Any], registry: Registry
) -> PluginSection:
    """Return the section of a selector plugin or of a ranking by proxies.

    Raises:
        ValidationError: With packed problems.
    """
    if len(names) == 1 and registry.means_selector(names[0]):
        return resolve_section("selector", {**options, "name": names[0]}, registry)
    return resolve_ranking(names, registry, options)


def resolve_ranking(
    names: tuple[str, ...], registry: Registry, options: Mapping[str, Any] | None = None
) -> PluginSection:
    """Return the section of a ranking by proxies.

    Raises:
        ValidationError: With packed problems.
    """
    proxies = _find_proxies(names, registry)
    return PluginSection(name="+".join(proxies), options=_ranking_options(proxies, options or {}))


_Proxies = Mapping[str, tuple[PluginRef, Plugin]]
_Given = dict[str, dict[str, tuple[Any, Path]]]


def _find_proxies(names: tuple[str, ...], registry: Registry) -> _Proxies:
    found: dict[str, tuple[PluginRef, Plugin]] = {}
    problems: list[Problem] = []
    for name in names:
        if not registry.has("proxy", name):
            problems.append(Problem(("name",), _not_found(name, registry)))
            continue
        try:
            ref, plugin = find_plugin("proxy", name, registry)
        except ValidationError as error:
            problems += problems_of(error, PluginSection, {})
        else:
            found[canonical_name(name, ref, registry)] = ref, plugin
    if problems:
        fail(problems)
    return found


def _not_found(name: str, registry: Registry) -> str:
    if registry.has("selector", name):
        return f"{name!r} is a selector and stands alone; only proxies can be joined by '+'"
    selectors, proxies = registry.names("selector"), registry.names("proxy")
    hint = did_you_mean(normalize(name), [*selectors, *proxies])
    return (
        f"no selector or proxy called {name!r}.{hint} Selectors: {', '.join(selectors) or 'none'}. "
        f"Proxies: {', '.join(proxies) or 'none'}."
    )


def _ranking_options(proxies: _Proxies, options: Mapping[str, Any]) -> RankingOptions:
    problems: list[Problem] = []
    given, ranking = _sort_options(proxies, options, problems)
    sections: dict[str, PluginSection] = {}
    for name, (ref, plugin) in proxies.items():
        paths = {key: path for key, (_, path) in given[name].items()}
        values = {key: value for key, (value, _) in given[name].items()}
        try:
            sections[name] = PluginSection(name=name, options=validate_options(ref, plugin, values))
        except ValidationError as error:
            problems += [
                _moved(problem, paths, ("proxies", name))
                for problem in problems_of(error, PluginSection, values)
            ]
    try:
        result = RankingOptions.model_validate({**ranking, "proxies": sections})
    except ValidationError as error:
        # Without its section a proxy that failed would be reported a second time.
        problems += [
            problem
            for problem in problems_of(error, RankingOptions, ranking)
            if problem.path != ("proxies",)
        ]
    if problems:
        fail(problems)
    return result


def _moved(problem: Problem, paths: Mapping[str, Path], otherwise: Path) -> Problem:
    """Return the problem at the place where its option is written."""
    first = problem.path[:1]
    path = paths[str(first[0])] if first and first[0] in paths else (*otherwise, *first)
    return Problem((*path, *problem.path[1:]), problem.message, problem.load_error)


def _sort_options(
    proxies: _Proxies, options: Mapping[str, Any], problems: list[Problem]
) -> tuple[_Given, dict[str, Any]]:
    """Sort a section's keys into each proxy's options and those of the ranking.

    Options of a proxy stand under ``proxies``, under the proxy's name or, where there is only
    one proxy, loose in the section.
    """
    # A run that was stored when a name was clear has it without the distribution.
    by_name = {normalize(short(name)): name for name in proxies}
    by_name |= {normalize(name): name for name in proxies}
    given: _Given = {name: {} for name in proxies}
    ranking: dict[str, Any] = {}
    lone = next(iter(proxies)) if len(proxies) == 1 else None
    for key, value in options.items():
        if key in RANKING_KEYS:
            ranking[key] = value
        elif key == "proxies":
            if not isinstance(value, Mapping):
                problems.append(
                    Problem((key,), f"must be a mapping of proxies (got {shown(value)})")
                )
                continue
            for proxy, nested in value.items():
                if normalize(str(proxy)) in by_name:
                    _add(given[by_name[normalize(str(proxy))]], nested, (key, proxy), problems)
                else:
                    known = list(proxies)
                    message = f"{unknown_key(str(proxy), known)} It is not in the selector's name."
                    problems.append(Problem((key, proxy), message))
        elif normalize(key) in by_name:
            _add(given[by_name[normalize(key)]], value, (key,), problems)
        elif lone is not None:
            _add_one(given[lone], key, value, (key,), problems)
        else:
            problems.append(Problem((key,), _stray(key, proxies)))
    return given, ranking


def _add(
    given: dict[str, tuple[Any, Path]], nested: Any, path: Path, problems: list[Problem]
) -> None:
    if nested is None:
        return
    if not isinstance(nested, Mapping):
        problems.append(Problem(path, f"must be a mapping of options (got {shown(nested)})"))
        return
    for key, value in nested.items():
        _add_one(given, str(key), value, (*path, key), problems)


def _add_one(
    given: dict[str, tuple[Any, Path]],
    key: str,
    value: Any,
    path: Path,
    problems: list[Problem],
) -> None:
    if key in given:
        problems.append(Problem(path, f"is also given as {dotted(given[key][1])}; keep one"))
    else:
        given[key] = value, path


def _stray(key: str, proxies: _Proxies) -> str:
    owners = [
        name
        for name, (_, plugin) in proxies.items()
        if plugin.options is not None and key in plugin.options.model_fields
    ]
    if owners:
        return f"belongs to a proxy; write it as {owners[0]}.{key}"
    return unknown_key(key, [*RANKING_KEYS, "proxies", *proxies])
