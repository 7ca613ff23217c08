from balenas_core.testing import OptimizerConformance, SelectorConformance


class TestAdam(OptimizerConformance):
    plugin_name = "adam"


class TestUnrolledAdam(OptimizerConformance):
    plugin_name = "adam"
    options = {"unrolled": True}  # noqa: RUF012


class TestBayesByBackprop(OptimizerConformance):
    plugin_name = "bayes_by_backprop"
    options = {"lr": 0.01}  # noqa: RUF012


class TestReinforce(OptimizerConformance):
    plugin_name = "reinforce"


class TestRandom(OptimizerConformance):
    plugin_name = "random"


class TestRandomSearch(SelectorConformance):
    plugin_name = "random_search"
    options = {"evaluations": 5}  # noqa: RUF012


class TestEvolution(SelectorConformance):
    plugin_name = "evolution"
    options = {"evaluations": 15, "population": 4, "tournament": 2}  # noqa: RUF012
