"""What the JSON files of a run must hold: one model for each, and the one reader of them all.

Further keys are allowed, so that files of later versions can be read. Imports pydantic; whoever
must not do so imports this module where a file is read.
"""

from __future__ import annotations

from datetime import datetime
from functools import cache
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, TypeAdapter, ValidationError
from pydantic_core import ErrorDetails, from_json

from balenas_core.errors import DamagedError
from balenas_core.files import read_regular

LARGEST = 1 << 28
"""Bytes of JSON: the result of a hundred thousand candidates has a fifth of it."""

Count = Annotated[int, Field(ge=0, lt=1 << 63)]


def _moment(text: str) -> str:
    if datetime.fromisoformat(text).tzinfo is None:
        raise ValueError("a time without its zone")
    return text


Moment = Annotated[str, AfterValidator(_moment)]


class Stored(BaseModel):
    """A JSON object of which some keys are known."""

    model_config = ConfigDict(strict=True, extra="allow", frozen=True)


class Named(Stored):
    """A section of a configuration: a plugin's name, with its options beside it."""

    name: str


class StoredConfig(Stored):
    """The configuration of a search or a training, as far as the core reads it from a status."""

    space: Named
    data: Named
    seed: Count
    training: dict[str, Any] = {}


class StoredBeat(Stored):
    """The last sign of life in a status."""

    at: Moment
    phase: str
    done: Count
    total: Count
    slowest: Annotated[float, Field(ge=0)]


class StoredStatus(Stored):
    """``status.json``."""

    status: Literal["running", "interrupted", "failed", "done"]
    created: Moment | None = None
    updated: Moment | None = None
    message: str | None = None
    config: StoredConfig | None = None
    heartbeat: StoredBeat | None = None


class StoredPlugin(Stored):
    """A plugin that a run used."""

    kind: str
    name: str
    distribution: str
    version: str
    code: str


class StoredEnvironment(Stored):
    """``environment.json``."""

    python: str | None = None
    command: list[str] = []
    device: str | None = None
    threads: Count | None = None
    versions: dict[str, str] = {}
    plugins: list[StoredPlugin] = []


class StoredEdge(Stored):
    """One operation of a cell."""

    source: str
    target: str
    operation: str


class StoredCell(Stored):
    """A cell as a graph."""

    name: str
    inputs: list[str]
    nodes: list[str]
    outputs: list[str]
    edges: list[StoredEdge]


class StoredCandidate(Stored):
    """A candidate of a selection; a score that was not finite is null."""

    rank: Count
    architecture: str
    scores: dict[str, float | None]
    is_argmax: bool
    draws: Count
    costs: dict[str, float | None] = {}
    failure: str | None = None


class StoredStage(Stored):
    """A stage of a selection."""

    name: str
    candidates: Count
    survivors: list[str]
    epochs: Count
    seconds: float


class StoredEntry(Stored):
    """What a benchmark knows of the choice; what was not measured is null."""

    dataset: str
    metric: str
    value: float | None
    best: float | None
    rank: Count
    total: Count
    is_cost: bool = False
    regret: float | None = None


class StoredCheck(Stored):
    """The choice after a short training of its own, and a uniform draw after the same."""

    epochs: Count
    accuracy: float
    control: str
    control_accuracy: float


class StoredResult(Stored):
    """``result.json`` of a search."""

    architecture: str
    cells: list[StoredCell] = []
    validation_accuracy: float | None
    check: StoredCheck | None = None
    benchmark: list[StoredEntry]
    candidates: Annotated[list[StoredCandidate], Field(min_length=1)]
    kept: list[str] = []
    stages: list[StoredStage] = []
    pareto: dict[str, list[str]] = {}
    seconds: dict[str, float]


class StoredSelection(StoredResult):
    """``selections/NAME.json``."""

    selector: Named


class StoredTraining(Stored):
    """``training/result.json``, as far as it is shown with the search."""

    epochs: Count
    test_accuracy: float | None
    seconds: float | None = None


class StoredMetrics(Stored):
    """A line of ``metrics.jsonl``."""

    epoch: Count


class StoredScore(Stored):
    """A line of ``selection.jsonl`` after the first; infinite scores are words."""

    key: str
    scores: dict[str, float | Literal["inf", "-inf", "nan"]]
    seconds: float


class StoredScores(Stored):
    """The first line of ``selection.jsonl``."""

    checkpoint: str


class StoredChoices(Stored):
    """Slots and choices of a decision."""

    slots: list[str]
    choices: list[str]


class StoredDecisions(Stored):
    """The first line of ``distribution.jsonl``."""

    decisions: dict[str, StoredChoices]


class StoredWeights(Stored):
    """A line of ``distribution.jsonl`` after the first."""

    epoch: Count
    weights: dict[str, list[list[float]]]


@cache
def _adapter(model: type) -> TypeAdapter[Any]:
    return TypeAdapter(model)


def parsed(data: bytes, model: type) -> dict[str, Any]:
    """Return a JSON object as it stands there, once it is what a model describes.

    Args:
        data: The JSON.
        model: A model, or a dataclass.

    Raises:
        ValueError: It is not; the message says where and why.
    """
    try:
        _adapter(model).validate_json(data, strict=True)
    except ValidationError as error:
        raise ValueError(_told(error.errors(include_url=False)[0])) from error
    value = from_json(data)
    assert isinstance(value, dict), "the model describes an object"
    return value


def checked(value: Any, model: type[Stored]) -> None:
    """Check plain data that is no JSON.

    Raises:
        ValueError: It is not what the model describes; the message says where and why.
    """
    try:
        model.model_validate(value)
    except ValidationError as error:
        raise ValueError(_told(error.errors(include_url=False)[0])) from error


def read_stored(path: Path, model: type, remedy: str = "") -> dict[str, Any]:
    """Return what a JSON file of a run holds.

    Args:
        path: The file.
        model: What it must be.
        remedy: What to do where it is not, as sentences.

    Raises:
        FileNotFoundError: There is none.
        DamagedError: It is not what the model describes, no regular file, or cannot be read.
    """
    try:
        data = read_regular(path, limit=LARGEST)
    except FileNotFoundError:
        raise
    except OSError as error:
        raise DamagedError(f"{path} cannot be read: {error.strerror}. {remedy}".rstrip()) from error
    try:
        return parsed(data, model)
    except ValueError as error:
        raise DamagedError(f"{path} is damaged: {error}. {remedy}".rstrip()) from error


def _told(problem: ErrorDetails) -> str:
    """Return a problem as a phrase, with its place."""
    place = ""
    for key in problem["loc"]:
        place += f"[{key}]" if isinstance(key, int) else f".{key}" if place else str(key)
    what = problem["msg"].removeprefix("Invalid JSON: ").removeprefix("Value error, ")
    what = what[:1].lower() + what[1:]
    if problem["type"] in ("json_invalid", "missing"):
        return f"{place}: {what}" if place else what
    shown = repr(problem["input"])
    return f"{place or 'all of it'}: {what} (got {shown[:40]}{'...' if len(shown) > 40 else ''})"
