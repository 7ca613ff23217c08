from balenas_core.testing import ProxyConformance


class TestSynflow(ProxyConformance):
    plugin_name = "synflow"


class TestSynflowWithBatchNormalisation(ProxyConformance):
    plugin_name = "synflow"
    options = {"bn": "keep", "log": True}  # noqa: RUF012


class TestSynflowClosedForm(ProxyConformance):
    plugin_name = "synflow_closed_form"
