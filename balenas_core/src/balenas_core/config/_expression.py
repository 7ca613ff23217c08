"""Selector expressions: names joined by ``+``, stages joined by ``>``."""

from __future__ import annotations

from balenas_core.plugins.registry import normalize


def parse_selector(text: str) -> tuple[str, ...]:
    """Return the names in a selector expression without stages.

    One name is a selector or a proxy; ``a+b`` combines the ranks under each.

    Raises:
        ValueError: The expression is not of this form.

    Example:
        >>> parse_selector("synflow + naswot")
        ('synflow', 'naswot')
    """
    stages = parse_stages(text)
    if len(stages) > 1:
        raise ValueError(f"must be one stage, without '>' (got {text!r})")
    return stages[0]


def parse_stages(text: str) -> tuple[tuple[str, ...], ...]:
    """Return the names in each stage of a selector expression.

    ``a+b > c > d`` is a ranking by proxies a and b, whose best are ranked by c, whose best are
    ranked by d.

    Raises:
        ValueError: The expression is not of this form; the message names the place.

    Example:
        >>> parse_stages("synflow+jacov > supernet > train")
        (('synflow', 'jacov'), ('supernet',), ('train',))
    """
    stages: list[tuple[str, ...]] = []
    seen: set[str] = set()
    position = 0
    for stage in text.split(">"):
        names = []
        for part in stage.split("+"):
            name = part.strip()
            if not name:
                form = "stages joined by '>'" if ">" in text else "names joined by '+'"
                example = "synflow+naswot > supernet" if ">" in text else "synflow+naswot"
                raise ValueError(
                    f"must be {form}, such as {example}; expected a name at character "
                    f"{position + len(part) + 1} (got {text!r})"
                )
            if normalize(name) in seen:
                where = position + part.index(name) + 1
                raise ValueError(f"names {name!r} twice, again at character {where} (got {text!r})")
            seen.add(normalize(name))
            names.append(name)
            position += len(part) + 1
        stages.append(tuple(names))
    return tuple(stages)
