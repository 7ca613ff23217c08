from balenas_core.testing import ProxyConformance


class TestNaswot(ProxyConformance):
    plugin_name = "naswot"


class TestNaswotByName(ProxyConformance):
    plugin_name = "naswot"
    options = {"layers": "name"}  # noqa: RUF012
