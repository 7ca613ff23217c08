"""What a selection looked at: candidates, stages, and what they cost."""

from __future__ import annotations

from collections.abc import Sequence

from balenas_core.report._charts import pareto_chart
from balenas_core.report._numbers import as_number, count, duration, percent, short
from balenas_core.report._parts import Cell, Charts, Column, Details, Note, Part, Table
from balenas_core.report._record import Record, RunRecord

_SHOWN = 200


def candidate_parts(run: RunRecord) -> Sequence[Part]:
    """Return candidates with all scores, stages and their survivors, and the Pareto fronts."""
    candidates = run.result.get("candidates") or ()
    if not candidates:
        return ()
    parts: list[Part] = [Note(_told(candidates))]
    stages = run.result.get("stages") or ()
    if stages:
        parts += _stages(stages)
    table = candidate_table(candidates[:_SHOWN])
    if len(candidates) > _SHOWN:
        parts.append(Note(f"The {_SHOWN} best are shown; result.json has all of them."))
    parts.append(table)
    fronts = run.result.get("pareto") or {}
    charts = [
        pareto_chart(cost, _points(candidates, cost, set(front))) for cost, front in fronts.items()
    ]
    return [*parts, Charts(charts)] if charts else parts


def selection_parts(run: RunRecord) -> Sequence[Part]:
    """Return what other selectors chose from the same search."""
    if not run.selections:
        return ()
    columns = [Column("selection"), Column("inherited accuracy", True), Column("choice")]
    rows = [
        [
            Cell(name),
            Cell(percent(accuracy := as_number(made.get("validation_accuracy"))), accuracy),
            Cell(str(made.get("architecture", "")), is_code=True),
        ]
        for name, made in run.selections.items()
    ]
    details = [
        Details(f"Candidates of {name}", [candidate_table(made["candidates"][:_SHOWN], name)])
        for name, made in run.selections.items()
        if made.get("candidates")
    ]
    return [Table("Choices of other selectors", columns, rows), *details]


def candidate_table(candidates: Sequence[Record], of: str = "") -> Table:
    """Return candidates with a column for every score and every cost."""
    scores = _keys(candidates, "scores")
    costs = _keys(candidates, "costs")
    rows = []
    for candidate in candidates:
        numbers = [as_number(candidate["scores"].get(name)) for name in scores]
        numbers += [as_number(candidate.get("costs", {}).get(name)) for name in costs]
        rows.append(
            [
                Cell(str(candidate["rank"]), candidate["rank"]),
                *(Cell(short(number), number) for number in numbers),
                Cell(str(candidate["draws"]), candidate["draws"]),
                Cell("yes" if candidate["is_argmax"] else ""),
                Cell(candidate["architecture"], is_code=True),
            ]
        )
    columns = [
        Column("rank", True),
        *(Column(name, True) for name in (*scores, *costs)),
        Column("draws", True),
        Column("argmax"),
        Column("architecture"),
    ]
    return Table(
        f"Candidates of {of}" if of else "Candidates",
        columns,
        rows,
        sorted_by=0,
        marked=frozenset({0}),
    )


def _told(candidates: Sequence[Record]) -> str:
    argmax = next((c["rank"] for c in candidates if c["is_argmax"]), None)
    told = f"{count(len(candidates), 'different candidate')} were considered."
    return told if argmax is None else f"{told} The argmax of the mean has rank {argmax}."


def _keys(candidates: Sequence[Record], name: str) -> list[str]:
    """Return the names of all scores or costs; the best candidates have those of every stage."""
    return list(dict.fromkeys(key for candidate in candidates for key in candidate.get(name, {})))


def _stages(stages: Sequence[Record]) -> list[Part]:
    columns = [Column("stage"), *(Column(n, True) for n in ("candidates", "survivors", "epochs"))]
    rows = [
        [
            Cell(stage["name"]),
            Cell(f"{stage['candidates']:,}"),
            Cell(f"{len(stage['survivors']):,}"),
            Cell(f"{stage['epochs']:,}"),
            Cell(duration(stage["seconds"])),
        ]
        for stage in stages
    ]
    survivors = [
        Table(
            f"Survivors of {stage['name']}",
            [Column("place", True), Column("architecture")],
            [
                [Cell(str(place)), Cell(text, is_code=True)]
                for place, text in enumerate(stage["survivors"], start=1)
            ],
        )
        for stage in stages
    ]
    listing = Table("Stages of the selection", [*columns, Column("time", True)], rows)
    return [listing, Details("Survivors of every stage", survivors)]


def _points(
    candidates: Sequence[Record], cost: str, front: set[str]
) -> list[tuple[float, int, bool]]:
    return [
        (value, candidate["rank"], candidate["architecture"] in front)
        for candidate in candidates
        if (value := as_number(candidate["costs"].get(cost))) is not None
    ]
