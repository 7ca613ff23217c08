"""What is said of one run."""

from __future__ import annotations

import shlex
from collections.abc import Callable, Iterator, Sequence

from balenas_core.drawing import draw_cell
from balenas_core.report._benchmark_section import benchmark_parts
from balenas_core.report._candidates import candidate_parts, selection_parts
from balenas_core.report._charts import band_chart, distribution_chart, line_chart
from balenas_core.report._numbers import ABSENT, as_number, count, duration, percent, short
from balenas_core.report._parts import (
    Cell,
    Chart,
    Charts,
    Code,
    Column,
    Details,
    Drawings,
    Facts,
    Figures,
    Note,
    Part,
    Section,
    Table,
)
from balenas_core.report._record import DAMAGE, Record, RunRecord, attempt, series
from balenas_core.runs.distribution_log import DistributionHistory
from balenas_core.runs.listing import (
    ACTIVE,
    DAMAGED,
    DONE,
    FAILED,
    INTERRUPTED,
    LOST,
    RUNNING,
    STALLED,
)

_LOSSES = {"training": "train_loss", "validation": "validation_loss"}
_ACCURACIES = {"training": "train_accuracy", "validation": "validation_accuracy"}
_STATISTICS = {
    "entropy": "Entropy of the distribution (nats)",
    "weights_entropy": "Entropy of the mean weights, per slot (nats)",
    "kl": "KL divergence from the prior (nats)",
    "hessian_top_eigenvalue": "Top eigenvalue of the Hessian",
    "hessian_trace": "Trace of the Hessian",
}
_SIGMA = ("sigma_mean", "sigma_min", "sigma_max")
_TOLD_ELSEWHERE = {"epoch", "step", "seconds", "lr", *_LOSSES.values(), *_ACCURACIES.values()}

_STATES = {
    RUNNING: "This run is going on; the report shows what there is so far.",
    STALLED: "This run is going on, but nothing was heard of it for long.",
    LOST: "The process of this run was killed before it had chosen an architecture.",
    INTERRUPTED: "This run was interrupted before it had chosen an architecture.",
    FAILED: "This run failed.",
    DAMAGED: "Files of this run are damaged; the report shows what is left.",
}
_GO_ON = {
    LOST: "Go on with it where it lies:",
    INTERRUPTED: "Go on with it where it lies:",
    FAILED: "Once what it failed on is mended, go on with it where it lies:",
}


def run_parts(run: RunRecord) -> list[Part]:
    """Return the sections of a run. What cannot be shown leaves a sentence in its place."""
    makers: tuple[tuple[str, Callable[[RunRecord], Sequence[Part]]], ...] = (
        ("Architecture", _architecture),
        ("Trained from scratch", _trained),
        ("Benchmark", benchmark_parts),
        ("Candidates", candidate_parts),
        ("Further selections", selection_parts),
        ("Learning curves", _curves),
        ("Distribution", _distribution),
        ("How to reproduce", _reproduction),
    )
    parts: list[Part] = [*_state(run)]
    parts += _guarded(_summary, run)
    for title, make in makers:
        found = _guarded(make, run)
        if found:
            parts.append(Section(title, found))
    return parts


def _guarded(make: Callable[[RunRecord], Sequence[Part]], run: RunRecord) -> Sequence[Part]:
    try:
        return make(run)
    except DAMAGE as error:
        told = f"A file of this run is damaged ({type(error).__name__}: {error})."
        return [Note(told, is_warning=True)]


def _state(run: RunRecord) -> Iterator[Part]:
    info = run.info
    if info.status != DONE:
        text = _STATES.get(
            info.status, "It is not known how this run ended: there is no status.json."
        )
        done = f" {count(info.epochs_done, 'epoch')} of {info.epochs or '?'} are done."
        because = f" Reason: {info.message}" if info.message and info.status not in ACTIVE else ""
        yield Note(f"{text}{done}{because}", is_warning=True)
    for problem in run.problems:
        yield Note(problem, is_warning=True)


def _summary(run: RunRecord) -> Sequence[Part]:
    info, result = run.info, run.result
    figures = []
    tested = as_number(run.training.get("test_accuracy"))
    if tested is not None:
        figures.append(("Test accuracy", percent(tested), f"trained from scratch, {_images(run)}"))
    entries = result.get("benchmark") or ()
    if entries:
        entry = entries[0]
        rank = f"rank {entry['rank']:,} of {entry['total']:,}" if "total" in entry else ""
        figures.append((f"Benchmark, {entry['dataset']}", percent(entry["value"]), rank))
    supernet = run.series("validation_accuracy")
    if supernet:
        told = "validation, at the mean of the distribution"
        figures.append(("Supernet", percent(supernet[-1][1]), told))
    inherited = as_number(result.get("validation_accuracy"))
    if inherited is not None:
        figures.append(("Inherited", percent(inherited), "the choice with the supernet's weights"))
    check = result.get("check")
    if check:
        told = (
            f"after {check['epochs']} epochs; a uniform draw {percent(check['control_accuracy'])}"
        )
        figures.append(("Choice alone", percent(check["accuracy"]), told))
    seconds = result.get("seconds") or {}
    if seconds:
        told = ", ".join(f"{name} {duration(value)}" for name, value in seconds.items())
        figures.append(("Time", duration(sum(seconds.values())), told))
    names = ("space", "distribution", "optimizer", "selector", "data", "seed")
    known = [(name, info.setting(name)) for name in names]
    facts = [(name, str(value)) for name, value in known if value is not None]
    if info.created:
        facts.append(("started", info.created.replace("T", " ")[:16]))
    return [Figures(figures), Facts(facts)] if figures else [Facts(facts)]


def _architecture(run: RunRecord) -> Sequence[Part]:
    text = run.architecture
    if text is None:
        return [Note("No epoch is done: nothing is known of an architecture yet.")]
    parts: list[Part] = []
    if not run.result:
        parts.append(Note("The argmax of the distribution after the last epoch; it is no choice."))
    problems: list[str] = []
    cells = attempt(run.cells, problems, "its cells cannot be drawn")
    parts += [Note(problem, is_warning=True) for problem in problems]
    if cells:
        parts.append(Drawings([(cell.heading, draw_cell(cell)) for cell in cells]))
    return [*parts, Code(text, "Text form of the architecture")]


def _trained(run: RunRecord) -> Sequence[Part]:
    told = run.training
    if not told and not run.training_metrics:
        return ()
    facts = [
        ("preset", str(told.get("preset", ABSENT))),
        ("test accuracy", percent(as_number(told.get("test_accuracy")))),
        ("tested on", _images(run) if told else ABSENT),
        ("epochs", short(as_number(told.get("epochs")))),
        ("parameters", short(as_number(told.get("parameters")))),
        ("time", duration(as_number(told.get("seconds")))),
    ]
    shown = [(name, text) for name, text in facts if text != ABSENT]
    names = list(dict.fromkeys(name for record in run.training_metrics for name in record))
    charts = []
    for word, unit in (("loss", ""), ("accuracy", "%")):
        lines = {
            name.replace("_", " "): series(run.training_metrics, name)
            for name in names
            if word in name
        }
        charts += _lines(word.capitalize(), lines, unit)
    parts: list[Part] = [Facts(shown)] if shown else [Note("The training is not done.")]
    trained = told.get("architecture")
    if trained not in (None, run.architecture):
        parts += [Note("Trained was another architecture than the choice:", is_warning=True)]
        parts += [Code(str(trained), "Architecture that was trained")]
    return [*parts, Charts(charts)] if charts else parts


def _images(run: RunRecord) -> str:
    """Return on what a trained network was tested."""
    images = "held-out training images" if run.training.get("is_held_out") else "test images"
    number = as_number(run.training.get("test_images"))
    return images if number is None else f"{number:,.0f} {images}"


def _curves(run: RunRecord) -> Sequence[Part]:
    charts = [
        *_lines("Loss", {name: run.series(key) for name, key in _LOSSES.items()}),
        *_lines("Accuracy", {name: run.series(key) for name, key in _ACCURACIES.items()}, "%"),
    ]
    if not charts:
        return [Note("There are no epochs.")] if not run.metrics else ()
    return [Charts(charts), Details("Numbers of every epoch", [_epochs(run)])]


def _lines(title: str, lines: dict[str, list[tuple[int, float]]], unit: str = "") -> list[Chart]:
    known = {name: points for name, points in lines.items() if points}
    return [line_chart(title, known, unit=unit)] if known else []


def _epochs(run: RunRecord) -> Table:
    names = [name for name in _names(run.metrics) if name != "epoch"]
    rows = []
    for number, record in enumerate(run.metrics, start=1):
        values = [as_number(record.get(name)) for name in names]
        epoch = as_number(record.get("epoch"))
        shown = number if epoch is None else int(epoch) + 1
        rows.append([Cell(str(shown), shown), *(Cell(short(v), v) for v in values)])
    columns = [Column("epoch", True), *(Column(name.replace("_", " "), True) for name in names)]
    return Table("Metrics of every epoch", columns, rows, sorted_by=0)


def _names(records: Sequence[Record]) -> list[str]:
    """Return what is a number in some record, in the order in which it comes."""
    names = dict.fromkeys(name for record in records for name in record)
    return [name for name in names if any(as_number(r.get(name)) is not None for r in records)]


def _distribution(run: RunRecord) -> Sequence[Part]:
    parts: list[Part] = []
    told = _statistics(run)
    if told:
        parts.append(Charts(told))
    pictures = [distribution_chart(h) for h in run.distribution if len(h.epochs) > 1]
    if pictures:
        parts += [
            Note(
                "How the weight of every choice moved, at the centre of the distribution: one "
                "small picture for each slot, epochs from left to right. The taller a colour "
                "stands, the larger the weight; together they are one."
            ),
            Charts(pictures),
            *(Note(_largest(h)) for h in run.distribution if h.epochs),
        ]
    for history in run.distribution:
        if history.epochs:
            parts.append(Details(f"Last weights, {history.decision}", [_weights(history)]))
    if run.metrics and not run.distribution:
        parts.append(
            Note("The weights of single choices over time are not known: this run kept none.")
        )
    changed = _last_change(run.metrics)
    if changed is not None:
        parts.append(
            Note(f"The argmax architecture last changed in epoch {changed} of {len(run.metrics)}.")
        )
    return parts


def _statistics(run: RunRecord) -> list[Chart]:
    charts = []
    middle, low, high = map(run.series, _SIGMA)
    if middle:
        charts.append(band_chart("Sigma: mean, smallest and largest", middle, low, high))
    for name, title in _STATISTICS.items():
        charts += _lines(title, {"value": run.series(name)})
    others = set(_names(run.metrics)) - _TOLD_ELSEWHERE - set(_SIGMA) - set(_STATISTICS)
    for name in sorted(others):
        points = run.series(name)
        if len({value for _, value in points}) > 1:
            charts += _lines(name.replace("_", " ").capitalize(), {"value": points})
    return charts


def _largest(history: DistributionHistory) -> str:
    weight, slot, choice = max(
        (weight, slot, choice)
        for slot, row in zip(history.slots, history.weights[-1], strict=True)
        for choice, weight in zip(history.choices, row, strict=True)
    )
    return (
        f"The largest weight of {history.decision} in the end is {weight:.3f}, of {choice} in slot "
        f"{slot}; equal weights would be {1 / len(history.choices):.3f}."
    )


def _weights(history: DistributionHistory) -> Table:
    columns = [Column("slot"), *(Column(choice, True) for choice in history.choices)]
    rows = [
        [Cell(slot), *(Cell(f"{value:.3f}", value) for value in row)]
        for slot, row in zip(history.slots, history.weights[-1], strict=True)
    ]
    epoch = history.epochs[-1] + 1
    return Table(f"Weights of {history.decision} after epoch {epoch}", columns, rows)


def _last_change(metrics: Sequence[Record]) -> int | None:
    """Return the epoch, from one, since which the architecture is the same; None if unknown."""
    names = [record.get("architecture") for record in metrics]
    if not names or None in names:
        return None
    since = len(names)
    while since > 1 and names[since - 2] == names[-1]:
        since -= 1
    return since


def _reproduction(run: RunRecord) -> Sequence[Part]:
    seed = run.info.setting("seed")
    parts: list[Part] = []
    if run.info.stated in _GO_ON:
        parts += [
            Note(_GO_ON[run.info.stated]),
            Code(shlex.join(["balenas", "resume", str(run.info.path)]), "Command to go on"),
        ]
    versions = run.environment.get("versions")
    lines = ["balenas search search.yaml --output again"]
    if isinstance(versions, dict) and versions:
        used = run.environment.get("plugins", ())
        others = {one["distribution"]: one["version"] for one in used if one["version"]}
        pinned = [f"{name}=={version}" for name, version in {**versions, **others}.items()]
        lines.insert(0, shlex.join(["pip", "install", *pinned]))
    threads = run.environment.get("threads")
    told = "Save the configuration below as search.yaml and run this"
    told += f" for the same search (seed {seed})." if seed is not None else " for the same search."
    if threads is not None:
        told += f" It is the same to the bit on the CPU with {count(threads, 'thread')}."
    parts += [Note(told), Code("\n".join(lines), "Commands")]
    parts.append(Details("Configuration", [Code(run.config_text, "Configuration")]))
    environment = _environment(run.environment)
    if environment:
        parts.append(Details("Environment", [Facts(environment)]))
    return parts


def _environment(environment: Record) -> list[tuple[str, str]]:
    facts = []
    for name, value in environment.items():
        if name == "versions" and isinstance(value, dict):
            facts += [(package, str(version)) for package, version in value.items()]
        elif name == "plugins" and isinstance(value, list):
            facts += [
                (
                    f"{used['kind']} {used['name']}",
                    f"{used['distribution']} {used['version']}, code {used['code'] or 'unknown'}",
                )
                for used in value
            ]
        elif isinstance(value, list):
            facts.append((name, shlex.join(map(str, value))))
        else:
            facts.append((name, str(value)))
    return facts
