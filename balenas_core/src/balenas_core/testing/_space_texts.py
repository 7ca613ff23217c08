"""Checks of a space's architectures as values: text form, drawing, canonical form, counting."""

from __future__ import annotations

import copy
import itertools
import pickle
from typing import Any
from xml.etree import ElementTree

from balenas_core.errors import ArchitectureError
from balenas_core.interfaces.architecture import Architecture, Cell
from balenas_core.random import generator
from balenas_core.testing._space_base import SpaceChecks

_COUNTED = 2000
_NONSENSE = ("", " ", "no architecture", "|||", "Genotype()", "none", "-", "0.5", "[]", "\n")


class SpaceTextChecks(SpaceChecks):
    """What holds for architectures by themselves."""

    def test_its_plugin_says_that_it_has_a_supernet(self) -> None:
        provided = self.ref().load().provides
        assert "supernet" in provided, 'declare provides=("supernet",); searches ask for it'

    def test_decisions_have_distinct_names_and_a_shape(self) -> None:
        space = self.space()
        decisions = space.decisions
        assert isinstance(decisions, tuple), f"decisions must be a tuple; got {decisions!r}"
        assert decisions, "a space has at least one decision"
        names = [d.name for d in decisions]
        assert len(set(names)) == len(names), f"names of decisions must differ; got {names}"
        for d in decisions:
            assert isinstance(d.name, str), f"the name of a decision must be text; got {d.name!r}"
            assert d.name, "a decision needs a name"
            assert "." not in d.name, f"{d.name!r}: a point cannot stand in a parameter's name"
            for what, values in (("slots", d.slots), ("choices", d.choices)):
                assert values, f"decision {d.name!r} has no {what}"
                assert len(set(values)) == len(values), f"{d.name!r}: {what} repeat: {values}"
                assert all(isinstance(v, str) and v for v in values), (
                    f"{d.name!r}: {what} must be names; got {values}"
                )
        assert any(len(d.choices) > 1 for d in decisions), "there is nothing to choose"
        assert space.decisions == decisions, "decisions must be the same at every look"
        assert self.space().decisions == decisions, "decisions must follow from the options alone"

    def test_text_form_is_read_back(self) -> None:
        space = self.space()
        for architecture in self.sample(space):
            text = str(architecture)
            assert text, "the text form is empty"
            assert text.isprintable(), f"the text form must be one plain line; got {text!r}"
            assert text == str(architecture), "the text form must be the same at every look"
            again = space.parse(text)
            assert again == architecture, (
                f"parse({text!r}) must return the architecture that prints it; got {again}"
            )
            assert str(again) == text, f"parse({text!r}) prints as {str(again)!r}"

    def test_architectures_are_immutable_values(self) -> None:
        space = self.space()
        for architecture in self.sample(space)[:3]:
            assert isinstance(architecture, Architecture), (
                f"derive {type(architecture).__name__} from balenas_core.Architecture"
            )
            again = space.parse(str(architecture))
            assert hash(again) == hash(architecture), (
                "equal architectures need equal hashes: make the class a frozen dataclass"
            )
            assert copy.deepcopy(architecture) == architecture, "a copy must be equal"
            try:
                sent = pickle.loads(pickle.dumps(architecture))
            except (pickle.PicklingError, AttributeError, TypeError) as error:
                raise AssertionError(
                    f"an architecture must go to other processes: define its class at the top of "
                    f"a module ({error})"
                ) from None
            assert sent == architecture, "an architecture must be equal in another process"
            for name in list(getattr(architecture, "__dataclass_fields__", ()))[:1]:
                _assert_frozen(architecture, name)

    def test_nonsense_is_refused_with_an_architecture_error(self) -> None:
        space = self.space()
        for text in _NONSENSE:
            found = _parsed(space, text)
            assert found is None, (
                f"parse accepted {text!r} as {found}; raise ArchitectureError, saying what is "
                f"expected"
            )

    def test_damaged_text_is_no_silent_architecture(self) -> None:
        space = self.space()
        for architecture in self.sample(space)[:3]:
            text = str(architecture)
            half = len(text) // 2
            damaged = (
                f"{text[:half]}?{text[half:]}",
                f"{text[:half]}?{text[half + 1 :]}",
                f"{text}{text}",
                f"{text} {text}",
                text[:half],
                text[half:],
            )
            for other in damaged:
                found = _parsed(space, other)
                assert found is None or (found != architecture and str(found) != text), (
                    f"parse read {other!r} as {text!r}: every character must count; raise "
                    f"ArchitectureError for what is left over or missing"
                )

    def test_architectures_are_drawn_in_notebooks(self) -> None:
        for architecture in self.sample(self.space())[:3]:
            image = ElementTree.fromstring(architecture._repr_svg_())
            title = image.find("{http://www.w3.org/2000/svg}title")
            assert title is not None, "the drawing needs a title; leave _repr_svg_ as it is"
            assert title.text == str(architecture), "the drawing's title is the text form"

    def test_cells_name_only_nodes_that_exist(self) -> None:
        for architecture in self.sample(self.space()):
            cells = architecture.cells()
            assert isinstance(cells, tuple), f"cells() must return a tuple; got {cells!r}"
            assert cells, f"cells() of {architecture} is empty: describe and reports draw them"
            for cell in cells:
                assert isinstance(cell, Cell), f"cells() must return Cells; got {cell!r}"
                nodes = [*cell.inputs, *cell.nodes]
                assert len(set(nodes)) == len(nodes), f"{cell.name}: nodes repeat: {nodes}"
                assert cell.outputs, f"{cell.name}: name the outputs"
                unknown = set(cell.outputs) - set(nodes)
                assert not unknown, f"{cell.name}: outputs {unknown} are no nodes"
                for edge in cell.edges:
                    assert {edge.source, edge.target} <= set(nodes), (
                        f"{cell.name}: {edge} leads from or to a node that is not listed"
                    )
                    assert edge.operation, f"{cell.name}: {edge} needs the operation's name"
                    assert edge.target in cell.nodes, f"{cell.name}: {edge} ends in an input"
                    assert nodes.index(edge.source) < nodes.index(edge.target), (
                        f"{cell.name}: {edge} runs backwards; list sources first"
                    )
                assert cell.to_text(), f"{cell.name}: to_text() is empty"

    def test_cells_tell_architectures_apart(self) -> None:
        space = self.space()
        drawn = {a.cells(): str(space.canonical(a)) for a in self.sample(space)}
        forms = {str(space.canonical(a)) for a in self.sample(space)}
        assert len(drawn) > 1 or len(forms) == 1, (
            "cells() is the same for every architecture; build it from the architecture's choices"
        )

    def test_canonical_form_is_its_own_canonical_form(self) -> None:
        space = self.space()
        for what in ("canonical", "simplified"):
            form = getattr(space, what)
            for architecture in self.sample(space):
                once = form(architecture)
                assert type(once) is type(architecture), (
                    f"{what} must return an architecture; got {once!r}"
                )
                assert form(once) == once, f"{what} of {once} must be itself; got {form(once)}"
                assert form(architecture) == once, f"{what} must be the same at every call"
                assert space.parse(str(once)) == once, f"{what} left the space: {once}"

    def test_architectures_come_once_each_and_are_as_many_as_the_size(self) -> None:
        space = self.space()
        size = space.size()
        assert size is None or (isinstance(size, int) and size > 0), (
            f"size() must be a positive whole number, or None; got {size!r}"
        )
        found = [str(a) for a in itertools.islice(space.architectures() or (), _COUNTED)]
        assert len(set(found)) == len(found), "architectures() yields some twice"
        assert all(str(space.parse(text)) == text for text in found[: self.samples])
        assert not found or size is None or len(found) == min(size, _COUNTED), (
            f"size() says {size}, architectures() yields {len(found)}"
        )
        drawn = {str(space.random(generator(seed))) for seed in range(50)}
        assert size is None or len(drawn) <= size, f"size() says {size}; {len(drawn)} were drawn"
        if found and len(found) < _COUNTED:
            missing = sorted(drawn - set(found))
            assert not missing, f"architectures() leaves out {missing[0]}"

    def test_its_benchmark_knows_its_architectures(self) -> None:
        space = self.space()
        benchmark = space.benchmark()
        if benchmark is None:
            return
        assert benchmark.name, "give the benchmark a name"
        assert benchmark.datasets, "name the benchmark's datasets"
        assert benchmark.metrics, "name the benchmark's metrics"
        values = benchmark.values(benchmark.datasets[0], benchmark.metrics[0])
        indices = [benchmark.index(a) for a in self.sample(space)]
        assert all(0 <= index < len(values) for index in indices), (
            f"index() must lie in 0..{len(values) - 1}, as values() does; got {indices}"
        )
        forms = {space.canonical(a) for a in self.sample(space)}
        assert len(set(indices)) > 1 or len(forms) == 1, (
            "index() is the same for every architecture"
        )
        for architecture in self.sample(space)[:3]:
            text = benchmark.text(benchmark.index(architecture))
            if text is not None:
                found = benchmark.index(space.parse(text))
                assert found == benchmark.index(architecture), (
                    f"text() and index() disagree on {architecture}: {text}"
                )
            for entry in benchmark.entries(architecture):
                assert 1 <= entry.rank <= entry.total, f"the rank must lie in 1..total; got {entry}"


def _parsed(space: Any, text: str) -> Any:
    try:
        return space.parse(text)
    except ArchitectureError as error:
        assert str(error).strip(), f"say in the error for {text!r} what is expected"
        return None
    except Exception as error:
        raise AssertionError(
            f"parse({text!r}) must raise ArchitectureError, for users type such texts; it raised "
            f"{type(error).__name__}: {error}"
        ) from error


def _assert_frozen(architecture: Any, name: str) -> None:
    try:
        setattr(architecture, name, getattr(architecture, name))
    except (AttributeError, TypeError):
        return
    raise AssertionError(
        f"{type(architecture).__name__}.{name} can be set: write @dataclass(frozen=True)"
    )
