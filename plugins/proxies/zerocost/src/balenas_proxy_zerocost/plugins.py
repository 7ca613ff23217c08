"""What the package's entry points resolve to. Imports no torch."""

from __future__ import annotations

from balenas_core.plugins.plugin import Plugin
from balenas_proxy_zerocost.options import (
    AzNasOptions,
    AzNasSelectorOptions,
    GraspOptions,
    LinearRegionsOptions,
    LogsynflowOptions,
    MecoOptions,
    NtkOptions,
    ParamsOptions,
    SwapOptions,
    TeNasSelectorOptions,
    ZenOptions,
    ZicoOptions,
)

az_expressivity = Plugin(
    kind="proxy",
    summary="AZ-NAS expressivity: entropy of the features' principal components",
    api_version=1,
    implementation="balenas_proxy_zerocost._az_nas:AzExpressivity",
    options=AzNasOptions,
)
az_nas = Plugin(
    kind="selector",
    summary="AZ-NAS: log ranks of expressivity, progressivity, trainability and multiply-adds",
    api_version=1,
    implementation="balenas_proxy_zerocost._selectors:az_nas",
    options=AzNasSelectorOptions,
    provides=("stage",),
)
az_progressivity = Plugin(
    kind="proxy",
    summary="AZ-NAS progressivity: smallest growth of expressivity with depth",
    api_version=1,
    implementation="balenas_proxy_zerocost._az_nas:AzProgressivity",
    options=AzNasOptions,
)
az_trainability = Plugin(
    kind="proxy",
    summary="AZ-NAS trainability: how evenly blocks pass gradients back",
    api_version=1,
    implementation="balenas_proxy_zerocost._az_nas:AzTrainability",
    options=AzNasOptions,
)
epe_nas = Plugin(
    kind="proxy",
    summary="EPE-NAS: correlation of input Jacobians within each class",
    api_version=1,
    implementation="balenas_proxy_zerocost._jacobian:EpeNas",
)
feature_correlation = Plugin(
    kind="proxy",
    summary="how little the last block's features of different images correlate",
    api_version=1,
    implementation="balenas_proxy_zerocost._feature_correlation:FeatureCorrelation",
)
fisher = Plugin(
    kind="proxy",
    summary="Fisher information of the channels' activations",
    api_version=1,
    implementation="balenas_proxy_zerocost._fisher:Fisher",
)
flops = Plugin(
    kind="proxy",
    summary="multiply-adds of convolutions and linear layers",
    api_version=1,
    implementation="balenas_proxy_zerocost._size:Flops",
)
grad_norm = Plugin(
    kind="proxy",
    summary="sum over layers of the gradient's norm",
    api_version=1,
    implementation="balenas_proxy_zerocost._gradients:GradNorm",
)
grasp = Plugin(
    kind="proxy",
    summary="GraSP: weight times Hessian-gradient product (second order)",
    api_version=1,
    implementation="balenas_proxy_zerocost._grasp:Grasp",
    options=GraspOptions,
)
jacov = Plugin(
    kind="proxy",
    summary="Jacobian covariance: how little responses to images correlate",
    api_version=1,
    implementation="balenas_proxy_zerocost._jacobian:Jacov",
)
l2_norm = Plugin(
    kind="proxy",
    summary="sum over layers of the weight's norm",
    api_version=1,
    implementation="balenas_proxy_zerocost._size:L2Norm",
)
linear_regions = Plugin(
    kind="proxy",
    summary="TE-NAS: linear regions that random inputs fall into",
    api_version=1,
    implementation="balenas_proxy_zerocost._patterns:LinearRegions",
    options=LinearRegionsOptions,
)
logsynflow = Plugin(
    kind="proxy",
    summary="SynFlow with logarithms of the gradients (no data)",
    api_version=1,
    implementation="balenas_proxy_zerocost._flow:Logsynflow",
    options=LogsynflowOptions,
)
meco = Plugin(
    kind="proxy",
    summary="MeCo: smallest eigenvalues of the channels' correlation",
    api_version=1,
    implementation="balenas_proxy_zerocost._features:Meco",
    options=MecoOptions,
)
ntk = Plugin(
    kind="proxy",
    summary="TE-NAS: condition number of the neural tangent kernel (slow)",
    api_version=1,
    implementation="balenas_proxy_zerocost._ntk:Ntk",
    options=NtkOptions,
)
params = Plugin(
    kind="proxy",
    summary="number of parameters",
    api_version=1,
    implementation="balenas_proxy_zerocost._size:Params",
    options=ParamsOptions,
)
plain = Plugin(
    kind="proxy",
    summary="signed weight times gradient: nearly noise, a control",
    api_version=1,
    implementation="balenas_proxy_zerocost._gradients:Plain",
)
snip = Plugin(
    kind="proxy",
    summary="SNIP: absolute weight times gradient",
    api_version=1,
    implementation="balenas_proxy_zerocost._gradients:Snip",
)
swap = Plugin(
    kind="proxy",
    summary="SWAP: different sample-wise activation patterns",
    api_version=1,
    implementation="balenas_proxy_zerocost._patterns:Swap",
    options=SwapOptions,
)
te_nas = Plugin(
    kind="selector",
    summary="TE-NAS: ranks of the tangent kernel's condition and of linear regions",
    api_version=1,
    implementation="balenas_proxy_zerocost._selectors:te_nas",
    options=TeNasSelectorOptions,
    provides=("stage",),
)
zen = Plugin(
    kind="proxy",
    summary="Zen-score: how far features move with the input",
    api_version=1,
    implementation="balenas_proxy_zerocost._features:Zen",
    options=ZenOptions,
)
zico = Plugin(
    kind="proxy",
    summary="ZiCo: gradients against their spread over batches",
    api_version=1,
    implementation="balenas_proxy_zerocost._zico:Zico",
    options=ZicoOptions,
)
