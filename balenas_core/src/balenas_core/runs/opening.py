"""What is to be done for a configuration at its place: begin, go on, or nothing."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from enum import Enum
from types import TracebackType
from typing import Any, Self, TypeVar

from balenas_core.config import MOST_THREADS
from balenas_core.runs.checkpoints import Candidates, Checkpoint, MisfitError
from balenas_core.runs.directory import SEARCH, RunDirectory, RunKind, check_is_free
from balenas_core.runs.environment import warn_of_other_versions
from balenas_core.runs.resume import MAY_DIFFER, SELECTOR, Resumable, Resume, existing_run

Refuse = Callable[[RunDirectory, Checkpoint | None, frozenset[str]], None]
"""Raises ConfigChangedError where more than the named keys differs from what the run is of."""


T = TypeVar("T")


class Todo(Enum):
    """What is to be done."""

    BEGIN = "begin"
    GO_ON = "go on"
    NOTHING = "nothing"


@dataclass(frozen=True, slots=True)
class Opening:
    """What is to be done at a place, and what it is done with; a context that unlocks the run.

    Args:
        todo: To begin, to go on, or nothing, because the result is there.
        run: The directory, locked; None where one is still to be made, or none is written.
        candidates: The checkpoints to go on from, of which the first is tried first.
        may_differ: Keys of the configuration that may be others than the run's.
    """

    todo: Todo
    run: RunDirectory | None
    candidates: Candidates
    may_differ: frozenset[str]

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        if self.run is not None:
            self.run.release()

    @property
    def checkpoint(self) -> Checkpoint | None:
        """Where the work goes on from, unless it is rejected; None for its beginning."""
        return self.candidates.current

    @property
    def threads(self) -> int | None:
        """With how many threads the run was begun: with others its last digits would differ."""
        known = self.run.read_environment().get("threads") if self.run is not None else None
        return known if isinstance(known, int) and 1 <= known <= MOST_THREADS else None

    def reopen(self, config_yaml: str, config: Mapping[str, Any]) -> None:
        """Record in the run that work goes on, and make its files those of the checkpoint.

        Raises:
            OutputError: A file cannot be written.
        """
        assert self.run is not None, "only what is there can be reopened"
        checkpoint = self.checkpoint
        self.run.tidy(checkpoint)
        self.run.reopen(config_yaml, config)
        self.run.log.restore(None if checkpoint is None else checkpoint.state["logs"])


def misfit_of(resume: Callable[[T], object], state: T) -> MisfitError | None:
    """Go on from a state, and return why it does not fit; None where it does."""
    try:
        resume(state)
    except MisfitError as error:
        return error
    return None


def reject(opening: Opening | None, misfit: MisfitError | None) -> None:
    """Let a checkpoint pass that one of the processes cannot load; the first one calls this.

    Raises:
        MisfitError: There is no other.
    """
    assert opening is not None, "the first process has opened it"
    opening.candidates.reject(misfit or MisfitError("another process cannot load it"))


def open_run(
    config: Resumable, resume: Resume, refuse: Refuse, *, kind: RunKind = SEARCH
) -> Opening:
    """Return what is to be done for a configuration at its output. Nothing is written.

    Args:
        config: What is asked for.
        resume: What to do where there is a run.
        refuse: Compares the configuration with the run's.
        kind: What the run is of.

    Raises:
        UsageError: ``resume`` needs an output, or a run, and there is none.
        RunExistsError: A run is to begin where other files are.
        ConfigChangedError: The run has another configuration.
        RunLockedError: Another process works in the run.
        OutputError: The run cannot be read.
    """
    run = existing_run(config, resume, kind)
    if run is None:
        if config.output is not None:
            check_is_free(config.output, kind)
        return Opening(Todo.BEGIN, None, Candidates(iter(())), frozenset())
    try:
        if run.read_status().get("status") == "done":
            refuse(run, None, MAY_DIFFER)
            return Opening(Todo.NOTHING, run, Candidates(iter(())), MAY_DIFFER)
        return _at_its_checkpoint(run, refuse)
    except BaseException:
        run.release()
        raise


def open_finished(config: Resumable, refuse: Refuse) -> Opening:
    """Return the run at an output with its last state, to choose from it anew.

    What can go wrong is what can with ``open_run``.
    """
    run = existing_run(config, "must")
    assert run is not None, "it must be there"
    try:
        return _at_its_checkpoint(run, refuse)
    except BaseException:
        run.release()
        raise


def _at_its_checkpoint(run: RunDirectory, refuse: Refuse) -> Opening:
    free = MAY_DIFFER | SELECTOR
    candidates = Candidates(_of_the_same(run, refuse, free))
    if candidates.current is None:
        refuse(run, None, free)
    warn_of_other_versions(run.read_environment().get("versions", {}))
    return Opening(Todo.GO_ON, run, candidates, free)


def _of_the_same(run: RunDirectory, refuse: Refuse, free: frozenset[str]) -> Iterator[Checkpoint]:
    for checkpoint in run.read_checkpoints():
        refuse(run, checkpoint, free)
        yield checkpoint
