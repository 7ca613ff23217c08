from balenas_core.testing import ProxyConformance, SelectorConformance


class TestAzExpressivity(ProxyConformance):
    plugin_name = "az_expressivity"


class TestAzProgressivity(ProxyConformance):
    plugin_name = "az_progressivity"


class TestAzTrainability(ProxyConformance):
    plugin_name = "az_trainability"


class TestEpeNas(ProxyConformance):
    plugin_name = "epe_nas"


class TestFeatureCorrelation(ProxyConformance):
    plugin_name = "feature_correlation"


class TestFisher(ProxyConformance):
    plugin_name = "fisher"


class TestFlops(ProxyConformance):
    plugin_name = "flops"


class TestGradNorm(ProxyConformance):
    plugin_name = "grad_norm"


class TestGrasp(ProxyConformance):
    plugin_name = "grasp"


class TestJacov(ProxyConformance):
    plugin_name = "jacov"


class TestL2Norm(ProxyConformance):
    plugin_name = "l2_norm"


class TestLinearRegions(ProxyConformance):
    plugin_name = "linear_regions"


class TestLogsynflow(ProxyConformance):
    plugin_name = "logsynflow"


class TestMeco(ProxyConformance):
    plugin_name = "meco"


class TestNtk(ProxyConformance):
    plugin_name = "ntk"


class TestParams(ProxyConformance):
    plugin_name = "params"


class TestAliveParams(ProxyConformance):
    plugin_name = "params"
    options = {"alive": True}  # noqa: RUF012


class TestPlain(ProxyConformance):
    plugin_name = "plain"


class TestSnip(ProxyConformance):
    plugin_name = "snip"


class TestSwap(ProxyConformance):
    plugin_name = "swap"


class TestZen(ProxyConformance):
    plugin_name = "zen"


class TestZico(ProxyConformance):
    plugin_name = "zico"


class TestAzNas(SelectorConformance):
    plugin_name = "az_nas"


class TestTeNas(SelectorConformance):
    plugin_name = "te_nas"
    options = {"samples": 20}  # noqa: RUF012
