"""Files: good ones in each format, and every bad one with one clear message."""

import json
import os
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings, strategies as st

from balenas_core.config import SearchConfig, example_yaml, load_config, to_yaml
from balenas_core.errors import ConfigError

YAML = """\
space: {name: maze, ops: [a, b]}
optimizer: ngvi
selector:
  name: synflow+naswot
  naswot: {log: true}
training:
  lr: 1e-3
  clip: none
"""
TOML = """\
optimizer = "ngvi"
[space]
name = "maze"
ops = ["a", "b"]
[selector]
name = "synflow+naswot"
naswot.log = true
[training]
lr = 1e-3
clip = "none"
"""
JSON = json.dumps(
    {
        "$schema": "./schema.json",
        "space": {"name": "maze", "ops": ["a", "b"]},
        "optimizer": "ngvi",
        "selector": {"name": "synflow+naswot", "naswot": {"log": True}},
        "training": {"lr": 1e-3, "clip": None},
    }
)


def write(tmp_path: Path, name: str, content: str | bytes) -> Path:
    path = tmp_path / name
    path.write_bytes(content.encode() if isinstance(content, str) else content)
    return path


def test_all_formats_say_the_same(tmp_path, registry):
    configs = [
        load_config(write(tmp_path, name, text), registry=registry)
        for name, text in {
            "a.yaml": YAML,
            "a.YML": YAML,
            "bom.yaml": b"\xef\xbb\xbf" + YAML.encode(),
            "crlf.yaml": YAML.replace("\n", "\r\n"),
            "a.toml": TOML,
            "crlf.toml": TOML.replace("\n", "\r\n"),
            "a.json": JSON,
        }.items()
    ]
    assert configs == configs[:1] * len(configs)
    assert configs[0].training.lr == 1e-3
    assert configs[0].training.clip is None


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("empty.yaml", "", r"empty.yaml: is empty; .*'balenas config init'"),
        ("empty.yaml", "# only\n---\n", r"empty.yaml: is empty"),
        ("empty.toml", "", r"empty.toml: is empty"),
        ("empty.json", "\n", r"empty.json: is empty"),
        ("braces.json", "{}", r"braces.json: is empty"),
        ("list.yaml", "- a\n- b\n", r"list.yaml:1: must be a mapping of keys .*\(got a list\)"),
        ("text.yaml", "maze", r"text.yaml:1: must be a mapping of keys .*\(got 'maze'\)"),
        ("three.json", "3", r"three.json:1: must be a mapping of keys .*\(got 3\)"),
        ("nul.yaml", b"a: \0\n", r"nul.yaml: is a binary file"),
        ("png.yaml", b"a: 1\n\x89PNG\r\n", r"png.yaml:2: is not text in UTF-8 \(byte 0x89\)"),
        ("utf16.yaml", "a: 1".encode("utf-16"), r"utf16.yaml: is a binary file"),
        ("bracket.yaml", "a: [1\n\nb: 2\n", r"bracket.yaml:1:4: not valid YAML: '\[' .* line 3"),
        ("brace.yaml", "a:\n  b: {c: 1\nd: 2\n", r"brace.yaml:2:6: not valid YAML: '{' is opened"),
        ("inner.yaml", "a: [1, {b: 2]\n", r"inner.yaml:1:8: .*not closed before line 1, column 13"),
        ("quote.yaml", 'a: "x\nb: 2\n', r"quote.yaml:1:4: not valid YAML: '\"' is opened here"),
        ("closed.yaml", "a: [1, 2]]\n", r"closed.yaml:1:10: not valid YAML: expected <block end>"),
        ("broken.toml", "a = 1\nb = \n", r"broken.toml:2:5: not valid TOML: .+"),
        ("broken.json", '{"a": 1,}', r"broken.json:1:\d: not valid JSON: .+"),
        ("huge.yaml", "a: 1\n" * 100_000, r"huge.yaml: is larger than 256 KiB"),
        ("run.ini", "a = 1", r"run.ini: unknown format '.ini'; name the file .yaml, .yml"),
        ("run", "a: 1", r"run: unknown format ''; name the file"),
    ],
)
def test_a_file_that_cannot_be_used_is_refused(tmp_path, registry, name, content, message):
    with pytest.raises(ConfigError, match=message) as caught:
        load_config(write(tmp_path, name, content), registry=registry)
    assert "\n" not in str(caught.value)
    assert caught.value.exit_code == 2


def test_a_missing_file_suggests_a_sibling(tmp_path, registry):
    write(tmp_path, "search.yaml", YAML)
    write(tmp_path, "search.yam", YAML)
    with pytest.raises(ConfigError, match=r"serach.yaml: no such file. Did you mean 'search.yaml'"):
        load_config(tmp_path / "serach.yaml", registry=registry)


def test_a_missing_directory_is_named(tmp_path, registry):
    with pytest.raises(ConfigError, match=r"There is no directory '.*nowhere'"):
        load_config(tmp_path / "nowhere" / "a.yaml", registry=registry)


def test_a_directory_is_refused(tmp_path, registry):
    with pytest.raises(ConfigError, match=r": is a directory; name a .yaml, .toml or .json file"):
        load_config(tmp_path, registry=registry)


@pytest.mark.skipif(os.name != "posix" or os.geteuid() == 0, reason="root reads every file")
def test_an_unreadable_file_is_refused(tmp_path, registry):
    path = write(tmp_path, "a.yaml", YAML)
    path.chmod(0)
    with pytest.raises(ConfigError, match="cannot be read: Permission denied"):
        load_config(path, registry=registry)


BAD_YAML = """\
space: maz
optimizer:
  name: ngvi
  lr: -1
  lr: 2
  beta: .nan
training:
  epochs: "3"
  epoch: 3
1: x
device: gpu
"""
BAD_TOML = """\
space = "maz"
device = "gpu"
[optimizer]
name = "ngvi"
lr = -1
[training]
epochs = true
epoch = 3
[[trackers]]
name = "tracky"
[[trackers]]
name = "trackt"
"""


def test_all_problems_of_a_yaml_file_have_their_lines(tmp_path, registry):
    path = write(tmp_path, "bad.yaml", BAD_YAML)
    with pytest.raises(ConfigError) as caught:
        load_config(path, registry=registry)
    assert str(caught.value).splitlines() == [
        f"{path}:1: space: no space called 'maz'. Did you mean 'maze'? Installed: maze, plain.",
        f"{path}:4: optimizer.lr: must be greater than 0 (got -1)",
        f"{path}:5: optimizer.lr: duplicate key; it is first given in line 4",
        f"{path}:6: optimizer.beta: must be a finite number (got nan)",
        f"{path}:8: training.epochs: must be a whole number (got '3')",
        f"{path}:9: training.epoch: unknown key. Did you mean 'epochs'?",
        f"{path}:10: keys must be text (got 1); put it in quotes",
        f"{path}:11: device: must be auto, cpu, cuda, cuda:N or mps (got 'gpu')",
    ]


def test_all_problems_of_a_toml_file_have_their_lines(tmp_path, registry):
    path = write(tmp_path, "bad.toml", BAD_TOML)
    with pytest.raises(ConfigError) as caught:
        load_config(path, registry=registry)
    assert str(caught.value).splitlines() == [
        f"{path}:1: space: no space called 'maz'. Did you mean 'maze'? Installed: maze, plain.",
        f"{path}:2: device: must be auto, cpu, cuda, cuda:N or mps (got 'gpu')",
        f"{path}:5: optimizer.lr: must be greater than 0 (got -1)",
        f"{path}:7: training.epochs: must be a whole number (got true)",
        f"{path}:8: training.epoch: unknown key. Did you mean 'epochs'?",
        f"{path}:9: trackers.0.path: is missing",
        f"{path}:12: trackers.1.name: no tracker called 'trackt'. Did you mean 'tracky'? "
        "Installed: tracky.",
    ]


def test_what_a_file_lacks_is_reported_with_its_name(tmp_path, registry):
    path = write(tmp_path, "a.yaml", "space: maze\n")
    with pytest.raises(ConfigError) as caught:
        load_config(path, registry=registry)
    assert str(caught.value) == (
        f"{path}: optimizer: is missing. Set it to one of: adam, free, ngvi."
    )


def test_plugins_that_do_not_fit_are_reported_at_the_line_of_the_one_that_needs(tmp_path, registry):
    path = write(tmp_path, "a.yaml", "space: maze\ndistribution: point\noptimizer: ngvi\n")
    with pytest.raises(ConfigError, match=r"a.yaml:3: optimizer: .* needs a distribution"):
        load_config(path, registry=registry)


TEXTS = st.text(st.characters(exclude_categories=["Cs"]), max_size=10) | st.sampled_from(
    ["010", "1e-3", "yes", "null", "1:30", "a: b", "# c", ""]
)
PROXY = st.fixed_dictionaries(
    {}, optional={"batch_size": st.integers(1, 2**63 - 1), "log": st.booleans()}
)
CONFIGS = st.fixed_dictionaries(
    {
        "space": st.fixed_dictionaries(
            {"name": st.just("maze")},
            optional={
                "channels": st.integers(1, 2**63 - 1),
                "ops": st.lists(TEXTS, max_size=3),
                "root": st.sampled_from(["a/b", "/x y", "010", "~"]),
                "colour": st.sampled_from(["red", "blue"]),
                "size": st.integers(1 - 2**63, 2**63 - 1) | st.just("auto"),
                "ratio": st.floats(allow_nan=False, allow_infinity=False),
                "limit": st.none() | st.floats(allow_nan=False),
                "inner": st.fixed_dictionaries({}, optional={"note": TEXTS}),
                "table": st.dictionaries(TEXTS, st.floats(-1, 1), max_size=2),
            },
        ),
        "optimizer": st.sampled_from(["ngvi", "adam"]),
        "selector": st.sampled_from(["argmax", "params"])
        | st.fixed_dictionaries({"name": st.just("random"), "draws": st.integers(1, 2**63 - 1)})
        | PROXY.map(lambda options: {"name": "synflow", **options})
        | st.tuples(PROXY, PROXY).map(
            lambda two: {"name": "synflow+naswot", "synflow": two[0], "proxies": {"naswot": two[1]}}
        ),
        "trackers": st.lists(TEXTS.map(lambda text: {"name": "tracky", "path": text}), max_size=1),
        "seed": st.integers(0, 2**63 - 1),
        "training": st.fixed_dictionaries(
            {},
            optional={
                "lr": st.floats(1e-300, 1e300),
                "clip": st.none() | st.floats(1e-9, 10),
                "epochs": st.integers(1, 10**20),
                "validation_fraction": st.floats(0.01, 0.99),
                "nesterov": st.booleans(),
            },
        ),
        "threads": st.none() | st.integers(1, 64),
        "device": st.sampled_from(["auto", "cuda:1"]),
        "output": st.none() | st.sampled_from(["runs/1", "2024", "yes"]),
    }
)

per_example = settings(
    max_examples=50, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)


@given(CONFIGS)
@per_example
def test_a_dumped_configuration_reads_back_equal(tmp_path, registry, data):
    config = load_config(base=data, registry=registry)
    text = to_yaml(config)
    again = load_config(write(tmp_path, "a.yaml", text), registry=registry)
    assert again == config
    assert to_yaml(again) == text
    as_json = json.dumps(config.model_dump(mode="json"))
    assert load_config(write(tmp_path, "a.json", as_json), registry=registry) == config


@given(CONFIGS)
@per_example
def test_an_explained_configuration_reads_back_equal(tmp_path, registry, data):
    config = load_config(base=data, registry=registry)
    text = example_yaml(config, registry=registry)
    assert load_config(write(tmp_path, "a.yaml", text), registry=registry) == config


def test_a_python_dump_validates_to_an_equal_configuration(registry):
    config = load_config(
        base={"space": "maze", "optimizer": "ngvi", "selector": "synflow+naswot"},
        registry=registry,
    )
    again = SearchConfig.model_validate(config.model_dump(), context={"registry": registry})
    assert again == config


def test_the_dump_of_a_ranking_has_every_proxy_below_its_name(registry):
    config = load_config(
        base={"space": "plain", "optimizer": "ngvi", "selector": {"name": "naswot", "log": True}},
        registry=registry,
    )
    dumped = config.model_dump(mode="json")["selector"]
    assert dumped["name"] == "naswot"
    assert dumped["draws"] == 64
    assert dumped["proxies"] == {"naswot": {"batch_size": 32, "log": True}}
    assert "batch_size" not in dumped
