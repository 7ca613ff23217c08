"""The selector's section: a selector plugin, or proxies that rank candidates."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from pydantic import Field, SerializationInfo, ValidationError, field_serializer

from balenas_core._suggest import did_you_mean
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
    split_name,
    validate_options,
)
from balenas_core.options import PluginOptions
from balenas_core.plugin import Plugin
from balenas_core.registry import PluginRef, Registry, normalize

DEFAULT_SELECTOR = "argmax"


class RankingOptions(PluginOptions):
    """Options of a selection by proxies, such as ``synflow`` or ``synflow+naswot``."""

    draws: int = Field(
        default=64,
        ge=1,
        strict=True,
        description="Architectures drawn from the distribution; the argmax of its mean joins them.",
    )
    proxies: Mapping[str, PluginSection] = Field(
        min_length=1, description="Options of each proxy, by its name."
    )

    @field_serializer("proxies")
    def _without_names(
        self, proxies: Mapping[str, PluginSection], info: SerializationInfo
    ) -> dict[str, Any]:
        return {
            name: {
                key: value
                for key, value in section.model_dump(mode=info.mode).items()
                if key != "name"
            }
            for name, section in proxies.items()
        }


def parse_selector(text: str) -> tuple[str, ...]:
    """Return the names in a selector expression.

    One name is a selector or a proxy; ``a+b`` ranks by the mean of the ranks under each.

    Raises:
        ValueError: The expression is not of this form.

    Example:
        >>> parse_selector("synflow + naswot")
        ('synflow', 'naswot')
    """
    if ">" in text:
        raise ValueError(
            f"stages ('>') are not supported yet (got {text!r}); join proxies with '+'"
        )
    names = tuple(name.strip() for name in text.split("+"))
    if not all(names):
        raise ValueError(f"must be names joined by '+', such as synflow+naswot (got {text!r})")
    repeated = next((n for n in names if [*map(normalize, names)].count(normalize(n)) > 1), None)
    if repeated is not None:
        raise ValueError(f"names {repeated!r} twice (got {text!r})")
    return names


def resolve_selector(value: Any, registry: Registry) -> PluginSection:
    """Return the section of a selector plugin or of a ranking by proxies.

    A name that is both a selector and a proxy means the selector.

    Raises:
        ValidationError: With packed problems.
    """
    if isinstance(value, PluginSection):
        return _checked(value, registry)
    text, options = split_name("selector", value, registry, default=DEFAULT_SELECTOR)
    try:
        names = parse_selector(text)
    except ValueError as error:
        fail([Problem(("name",), str(error))])
    if len(names) == 1 and registry.has("selector", names[0]):
        return resolve_section("selector", {**options, "name": names[0]}, registry)
    proxies = _find_proxies(names, registry)
    return PluginSection(name="+".join(proxies), options=_ranking_options(proxies, options))


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
            found[canonical_name(name, ref)] = ref, plugin
    if problems:
        fail(problems)
    return found


def _not_found(name: str, registry: Registry) -> str:
    if registry.has("selector", name):
        return f"{name!r} is a selector and stands alone; only proxies can be joined by '+'"
    selectors, proxies = (
        sorted({ref.name for ref in registry.refs(kind) if not ref.is_disabled})
        for kind in ("selector", "proxy")
    )
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
    by_name = {normalize(name): name for name in proxies}
    given: _Given = {name: {} for name in proxies}
    ranking: dict[str, Any] = {}
    lone = next(iter(proxies)) if len(proxies) == 1 else None
    for key, value in options.items():
        if key == "draws":
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
    return unknown_key(key, ["draws", "proxies", *proxies])


def _checked(section: PluginSection, registry: Registry) -> PluginSection:
    if not isinstance(section.options, RankingOptions):
        return resolve_section("selector", section, registry)
    for proxy in section.options.proxies.values():
        resolve_section("proxy", proxy, registry)
    return section
