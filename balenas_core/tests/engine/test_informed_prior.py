"""The informed prior: what it says, and that nothing else of a search changes with it."""

import json
import math

import numpy as np
import pytest
import torch

from balenas_core import Search
from balenas_core.config import InformedPriorConfig
from balenas_core.engine.informed_prior import _rounds, form_prior, prior_of
from balenas_core.errors import SearchInterrupted, SelectionError
from balenas_core.interfaces.events import PriorFormed, SelectionProgress, StepEnded
from balenas_core.interfaces.proxy import Batch, Proxy
from balenas_core.interfaces.space import Decision, Task
from balenas_core.scores import ScoringJob
from balenas_core.testing import ToySpace, toy_config, toy_plugin, toy_registry


class Parameters(Proxy):
    """More is better; draws from torch's global generator, as a careless proxy may."""

    def score(self, network, batch):
        del batch
        torch.rand(3)
        return float(sum(p.numel() for p in network.parameters()))


class Broken(Proxy):
    def score(self, network, batch):
        raise ValueError("no such layer")


class Weighted(ToySpace):
    """The toy space with a table that weighs edges."""

    @property
    def decisions(self):
        return (*super().decisions, Decision("in", ("n",), ("0", "1"), weighs_edges=True))

    def one_hot(self, architecture):
        is_conv = float(architecture.operations[0] == "conv")
        return super().one_hot(architecture) | {"in": torch.tensor([[is_conv, 1 - is_conv]])}


TASK = Task((1, 4, 4), 2)


def job(space=None, proxy=None):
    images = torch.rand(8, *TASK.input_shape, generator=torch.Generator().manual_seed(0))
    proxies = {"size": proxy or Parameters()}
    return ScoringJob(space or ToySpace(), TASK, proxies, Batch(images, torch.arange(8) % 2))


def form(count=9, rounds=1, seed=0, report=lambda done, total: None, **changes):
    config = InformedPriorConfig.model_construct(architectures=count, rounds=rounds, scale=1.0)
    return form_prior(job(**changes), config, seed=seed, report=report)


@pytest.fixture
def registry():
    found = toy_registry()
    found.add("size", toy_plugin("proxy", Parameters))
    found.add("broken", toy_plugin("proxy", Broken))
    return found


@pytest.fixture
def make(registry):
    def config(prior=None, **changes):
        changes.setdefault("distribution", "gaussian")
        modifiers = {
            "informed_prior": prior
            if prior is None
            else {"proxies": "size", "architectures": 9, "rounds": 1, **prior}
        }
        return toy_config(registry, modifiers=modifiers, **changes)

    return config


def outcome(run):
    metrics = [json.loads(line) for line in (run / "metrics.jsonl").read_text().splitlines()]
    kept = [{k: v for k, v in record.items() if k != "seconds"} for record in metrics]
    return kept, (run / "distribution.jsonl").read_text()


def distribution_state(run):
    newest = max((run / "checkpoints").glob("*.pt"))
    return torch.load(newest, weights_only=True)["loop"]["distribution"]


def test_what_proxies_like_has_the_largest_effect():
    prior = form()
    table = prior.effects["operations"]
    assert (table.argmax(-1) == 2).all()  # conv has the weights
    assert (table.argmin(-1) == 0).all()  # none is not connected
    torch.testing.assert_close(table.sum(-1), torch.zeros(2), atol=1e-6, rtol=0)
    assert [choice for choice, _ in prior.strongest(ToySpace().decisions)[:2]] in (
        ["conv in operations first", "conv in operations second"],
        ["conv in operations second", "conv in operations first"],
    )


@pytest.mark.parametrize(
    ("architectures", "rounds", "found"),
    [(480, None, 12), (12, None, 4), (3, None, 1), (480, 3, 3), (4, 12, 2)],
)
def test_there_are_as_many_rounds_as_are_asked_for_or_architectures_allow(
    architectures, rounds, found
):
    # Six choices: two rounds together are to have as many architectures.
    config = InformedPriorConfig.model_construct(architectures=architectures, rounds=rounds)
    assert _rounds(ToySpace(), config) == found


def test_a_space_of_fewer_architectures_is_scored_whole():
    assert form(count=400).architectures == 9


def test_architectures_that_are_not_connected_are_the_worst():
    # Of nine, those with a none: it would be liked, if nobody looked at the result.
    class Liked(Proxy):
        def score(self, network, batch):
            return float("none" in network.operations)

    prior = form(proxy=Liked())
    assert prior.unconnected == 5
    assert (prior.effects["operations"].argmin(-1) == 0).all()


def test_the_seed_says_everything():
    first, again, other = form(count=5), form(count=5), form(count=5, seed=1)
    assert torch.equal(first.effects["operations"], again.effects["operations"])
    assert not torch.equal(first.effects["operations"], other.effects["operations"])


def test_choices_that_no_architecture_has_stay_in_the_middle():
    space = ToySpace()
    seen = [space.parse(f"{a}-{b}") for a in ("skip", "conv") for b in ("none", "skip", "conv")]
    target = np.array([a.operations[0] == "conv" for a in seen], dtype=float)
    table = prior_of(space, seen, target).effects["operations"]
    assert table[0, 0] == 0
    assert table[0, 1] == -table[0, 2] < 0


def test_tables_that_weigh_edges_get_no_mean():
    assert set(form(space=Weighted()).effects) == {"operations"}


def test_a_proxy_that_fails_everywhere_ends_it_with_its_reason():
    message = r"no architecture has a score .*'size': ValueError: no such layer.*Choose other"
    with pytest.raises(SelectionError, match=message):
        form(proxy=Broken())


@pytest.mark.parametrize("distribution", ["gaussian", "point"])
def test_forming_it_draws_nothing_that_the_search_uses(make, registry, tmp_path, distribution):
    for name, prior in (("without", None), ("with", {"scale": 0.0})):
        config = make(prior, distribution=distribution, output=tmp_path / name)
        Search(config, registry=registry).run()
    assert outcome(tmp_path / "with") == outcome(tmp_path / "without")
    without, state = (distribution_state(tmp_path / name) for name in ("without", "with"))
    assert state.keys() - without.keys() == {"offset.values"}
    assert all(torch.equal(state[name], value) for name, value in without.items())
    assert not (tmp_path / "without" / "prior.json").exists()


def test_the_run_begins_at_the_prior_and_records_it(make, registry, tmp_path):
    events = []
    config = make({"scale": 2.0}, output=tmp_path / "run")
    Search(config, registry=registry, listeners=[events.append]).run()
    record = json.loads((tmp_path / "run" / "prior.json").read_text())
    (formed,) = [e for e in events if isinstance(e, PriorFormed)]
    assert record["proxies"] == "size"
    assert (record["architectures"], record["unconnected"], record["scale"]) == (9, 5, 2.0)
    assert formed.architectures == 9
    assert formed.strongest[0][0] == record["strongest"][0]["choice"]
    rows = [list(row.values()) for row in record["effects"]["operations"].values()]
    offset = distribution_state(tmp_path / "run")["offset.values"]
    torch.testing.assert_close(offset.view(2, 3), 2 * torch.tensor(rows))
    kinds = [type(e) for e in events]
    assert kinds.index(PriorFormed) < kinds.index(StepEnded)


def test_a_killed_search_goes_on_with_its_prior_and_does_not_form_another(make, registry, tmp_path):
    Search(make({}, distribution="point", output=tmp_path / "whole"), registry=registry).run()
    search = Search(make({}, distribution="point", output=tmp_path / "run"), registry=registry)

    def stop(event):
        if isinstance(event, StepEnded) and (event.epoch, event.step) == (1, 1):
            search.request_stop()

    search._listeners.append(stop)
    with pytest.raises(SearchInterrupted):
        search.run()
    events = []
    Search.of_run(tmp_path / "run", registry=registry, listeners=[events.append]).run(resume="must")
    assert not any(isinstance(e, PriorFormed) for e in events)
    assert outcome(tmp_path / "run") == outcome(tmp_path / "whole")


def test_a_search_that_is_stopped_while_it_forms_its_prior_begins_anew(make, registry, tmp_path):
    Search(make({}, output=tmp_path / "whole"), registry=registry).run()
    search = Search(make({}, output=tmp_path / "run"), registry=registry)

    def stop(event):
        if isinstance(event, SelectionProgress) and event.phase == "prior" and event.done == 3:
            search.request_stop()

    search._listeners.append(stop)
    with pytest.raises(SearchInterrupted):
        search.run()
    assert not list((tmp_path / "run" / "checkpoints").glob("*.pt"))
    Search.of_run(tmp_path / "run", registry=registry).run(resume="must")
    assert outcome(tmp_path / "run") == outcome(tmp_path / "whole")


def test_the_kl_begins_at_the_same_value(make, registry):
    # The toy optimizer takes a step; the first of the distribution is what is asked for.
    from balenas_core.engine.components import build_components

    plain = build_components(make(), registry).distribution
    informed = build_components(make(), registry).distribution
    informed.set_offset(form().offset(3.0))
    assert torch.equal(informed.kl(1.0), plain.kl(1.0))
    assert not math.isclose(
        informed.mean_weights()["operations"][0, 2].item(),
        plain.mean_weights()["operations"][0, 2].item(),
        rel_tol=0.1,
    )
