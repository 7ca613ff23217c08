"""Texts: YAML 1.2 scalars, positions in YAML, TOML and JSON, and what is refused."""

import math
import tomllib

import pytest
import yaml
from hypothesis import given, strategies as st

from balenas_core.config._document import MAX_NODES, DocumentError
from balenas_core.config._json import parse_json
from balenas_core.config._toml import parse_toml
from balenas_core.config._yaml import dump_yaml, parse_yaml


class TestYaml:
    @pytest.mark.parametrize(
        ("text", "value"),
        [
            ("1e-3", 1e-3),
            ("1E3", 1000.0),
            ("-.5", -0.5),
            ("3.", 3.0),
            ("+12", 12),
            ("0o17", 15),
            ("0x1F", 31),
            ("-0", 0),
            ("true", True),
            ("False", False),
            ("null", None),
            ("~", None),
            ("", None),
            (".inf", math.inf),
            ("-.INF", -math.inf),
            # Text in YAML 1.2, something else in PyYAML's 1.1:
            ("on", "on"),
            ("yes", "yes"),
            ("no", "no"),
            ("off", "off"),
            ("y", "y"),
            ("010", "010"),
            ("1:30", "1:30"),
            ("1_000", "1_000"),
            ("0b11", "0b11"),
            ("2020-01-01", "2020-01-01"),
            ("=", "="),
            # Quoted, or tagged:
            ("'3'", "3"),
            ('"true"', "true"),
            ("!!str 3", "3"),
            ("!!float 3", 3.0),
            ("!!int '3'", 3),
        ],
    )
    def test_scalars_have_the_types_of_version_1_2(self, text, value):
        read = parse_yaml(f"a: {text}").data["a"]
        assert read == value
        assert type(read) is type(value)

    def test_nan_is_read(self):
        assert math.isnan(parse_yaml("a: .nan").data["a"])

    def test_every_key_and_item_has_its_line(self):
        document = parse_yaml("a: 1\nb:\n  c: [x,\n    y]\n  d: {e: 1,\n  f: 2}\n")
        assert document.lines == {
            ("a",): 1,
            ("b",): 2,
            ("b", "c"): 3,
            ("b", "c", 0): 3,
            ("b", "c", 1): 4,
            ("b", "d"): 5,
            ("b", "d", "e"): 5,
            ("b", "d", "f"): 6,
        }

    def test_duplicate_keys_are_found_with_both_lines(self):
        document = parse_yaml("a:\n  b: 1\n  c: 2\n  b: 3\n")
        (finding,) = document.findings
        assert (finding.line, finding.path) == (4, ("a", "b"))
        assert finding.message == "duplicate key; it is first given in line 2"
        assert document.data == {"a": {"b": 1, "c": 2}}

    @pytest.mark.parametrize("key", ["1", "true", "null", "[a]", "{a: b}", "1.5"])
    def test_keys_that_are_no_text_are_found(self, key):
        (finding,) = parse_yaml(f"a: 1\n? {key}\n: 2\n").findings
        assert finding.message.startswith("keys must be text (got ")
        assert finding.line == 2

    @pytest.mark.parametrize(
        ("text", "tag"),
        [
            ("!!python/object/apply:os.system ['true']", "!!python/object/apply:os.system"),
            ("!mine 3", "!mine"),
            ("!!set {a}", "!!set"),
            ("!!timestamp 2020-01-01", "!!timestamp"),
        ],
    )
    def test_tags_of_other_types_are_found(self, text, tag):
        (finding,) = parse_yaml(f"a: {text}").findings
        assert finding.message == f"the tag {tag!r} is not supported"

    def test_tagged_values_of_another_type_are_found(self):
        (finding,) = parse_yaml("a: !!int x").findings
        assert finding.message == "is not a valid int (got 'x')"

    def test_numbers_too_long_to_convert_are_found(self):
        (finding,) = parse_yaml(f"a: {'1' * 5000}").findings
        assert finding.message.startswith("is not a valid int")

    def test_anchors_and_merge_keys_are_read(self):
        document = parse_yaml(
            "base: &base {a: 1, b: 2}\n"
            "more: &more {<<: *base, b: 3}\n"
            "last:\n  <<: [*more, {c: 4, a: 9}]\n  d: *base\n"
        )
        assert document.data["more"] == {"a": 1, "b": 3}
        assert document.data["last"] == {"a": 1, "b": 3, "c": 4, "d": {"a": 1, "b": 2}}
        assert document.lines["last", "a"] == 1
        assert document.lines["last", "b"] == 2
        assert not document.findings

    def test_merged_values_are_those_of_pyyaml(self):
        text = "x: &x {a: 1, b: 2}\ny: &y {b: 3, c: 4}\nz: {c: 5, <<: [*x, *y]}\n"
        assert parse_yaml(text).data == yaml.safe_load(text)

    def test_a_merge_of_something_else_is_found(self):
        (finding,) = parse_yaml("a: {<<: 3}").findings
        assert finding.message == "'<<' must merge a mapping, such as *defaults"

    def test_an_alias_bomb_is_refused(self):
        lines = ["a0: &a0 [x, x, x, x, x, x, x, x, x, x]"]
        lines += [f"a{i}: &a{i} [{', '.join([f'*a{i - 1}'] * 10)}]" for i in range(1, 12)]
        with pytest.raises(DocumentError, match=f"expands to more than {MAX_NODES} values"):
            parse_yaml("\n".join(lines))

    def test_a_bomb_of_merge_keys_is_refused(self):
        lines = ["a0: &a0 {x: 1}"]
        lines += [f"a{i}: &a{i} {{<<: [*a{i - 1}, *a{i - 1}]}}" for i in range(1, 40)]
        with pytest.raises(DocumentError, match="expands to more than"):
            parse_yaml("\n".join(lines))

    @pytest.mark.parametrize(
        ("text", "message"),
        [
            ("a: &a [*a]", "levels deep"),
            ("a: &a {b: *a}", "levels deep"),
            ("a: &a {<<: *a}", "merges itself"),
            ("a: " + "[" * 100 + "]" * 100, "levels deep"),
            ("[" * 50_000, "nests too deeply"),
            ("a: {" * 2000, "nests too deeply|not valid YAML"),
        ],
    )
    def test_endless_nesting_is_refused(self, text, message):
        with pytest.raises(DocumentError, match=message):
            parse_yaml(text)

    @pytest.mark.parametrize(
        ("text", "line", "column", "message"),
        [
            (
                "a: 1\nb: [1,\nc: 2\n",
                2,
                4,
                r"'\[' is opened here and not closed before line 4, column 1",
            ),
            ("a: 1\n\tb: 2\n", 2, 1, "indent with spaces"),
            ("a: b: c\n", 1, 5, "check the indentation, and put text with ': ' in quotes"),
            ("a: 'x\n", 1, 4, "not closed before line 2, column 1: found unexpected end of stream"),
            ("a: *b\n", 1, 4, "undefined alias"),
            ("a: 1\n---\nb: 2\n", 2, 1, "but found another document"),
            ("a: %\n", 1, 4, "cannot start any token"),
        ],
    )
    def test_broken_syntax_has_its_place(self, text, line, column, message):
        with pytest.raises(DocumentError, match=message) as caught:
            parse_yaml(text)
        assert (caught.value.line, caught.value.column) == (line, column)

    def test_control_characters_have_their_line(self):
        with pytest.raises(DocumentError, match="control character") as caught:
            parse_yaml("a: 1\nb: \x07\n")
        assert caught.value.line == 2

    def test_an_empty_text_has_no_data(self):
        assert parse_yaml("# nothing\n").data is None


KEYS = st.text(st.characters(exclude_categories=["Cs"]), max_size=8)
SCALARS = (
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats(allow_nan=False)
    | KEYS
    | st.sampled_from(["010", "1e-3", "1_0", "yes", "on", "~", "1:30", "0o7", ".5", "-", "null"])
)
DATA = st.dictionaries(
    KEYS,
    st.recursive(
        SCALARS,
        lambda inner: st.lists(inner, max_size=3) | st.dictionaries(KEYS, inner, max_size=3),
        max_leaves=6,
    ),
    max_size=4,
)


@given(DATA)
def test_dumped_yaml_reads_back_equal(data):
    document = parse_yaml(dump_yaml(data))
    assert (document.data or {}) == data
    assert repr(document.data or {}) == repr(data)
    assert not document.findings


@given(DATA)
def test_other_readers_of_yaml_read_the_same(data):
    assert yaml.safe_load(dump_yaml(data)) == data


class TestToml:
    def test_every_key_and_item_has_its_line(self):
        text = (
            '# "a" = 1\n'
            "title = 'x # [y]'\n"
            '"quoted.key" = """\nb = 2\n\\""" \\" """""\n'
            "literal = '''\nc = ]\n'''\n"
            "\n[table.sub]\n"
            "  dotted . 'x' = { p = 1, q.r = [1] } # end\n"
            "list = [ # comment ]\n  1,\n  [2, 3],\n  { s = 'a' },\n]\n"
            "when = 1979-05-27 07:32:00Z\n"
            "[[runs]]\nname = 'a'\n[runs.deep]\nz = 1\n[[runs]]\nname = 'b'\n"
        )
        document = parse_toml(text)
        assert document.data == tomllib.loads(text)
        assert document.lines == {
            ("title",): 2,
            ("quoted.key",): 3,
            ("literal",): 6,
            ("table",): 10,
            ("table", "sub"): 10,
            ("table", "sub", "dotted"): 11,
            ("table", "sub", "dotted", "x"): 11,
            ("table", "sub", "dotted", "x", "p"): 11,
            ("table", "sub", "dotted", "x", "q"): 11,
            ("table", "sub", "dotted", "x", "q", "r"): 11,
            ("table", "sub", "dotted", "x", "q", "r", 0): 11,
            ("table", "sub", "list"): 12,
            ("table", "sub", "list", 0): 13,
            ("table", "sub", "list", 1): 14,
            ("table", "sub", "list", 1, 0): 14,
            ("table", "sub", "list", 1, 1): 14,
            ("table", "sub", "list", 2): 15,
            ("table", "sub", "list", 2, "s"): 15,
            ("table", "sub", "when"): 17,
            ("runs",): 18,
            ("runs", 0): 18,
            ("runs", 0, "name"): 19,
            ("runs", 0, "deep"): 20,
            ("runs", 0, "deep", "z"): 21,
            ("runs", 1): 22,
            ("runs", 1, "name"): 23,
        }

    @given(DATA)
    def test_every_value_of_any_document_is_found(self, data):
        text, lines = _toml(data)
        document = parse_toml(text)
        assert document.lines == lines

    @pytest.mark.parametrize(
        ("text", "line", "column", "message"),
        [
            ("a = 1\nb = \n", 2, 5, "not valid TOML: Invalid value"),
            ("a = 1\na = 2\n", 2, 6, "duplicate key 'a'; it is first given in line 1"),
            ("[t]\nb = 1\nb = 2", 3, None, "duplicate key 't.b'; it is first given in line 2"),
            ("[t]\nb = 1\n[t.b]\n", 3, 5, "duplicate key 't.b'; it is first given in line 2"),
            ("b = 1\n[b.c]\n", 2, 5, "duplicate key 'b'; it is first given in line 1"),
            ("[t]\n[t]\n", 2, 3, r"duplicate table \[t\]; merge the two"),
            ("a = [\n{b.c = 1, b.c = 2},\n]", 2, 18, "not valid TOML: "),
            ("a = [1,", 1, None, "not valid TOML: .* at the end of the file"),
            ("a = " + "[" * 100 + "]" * 100, 1, None, "levels deep"),
            ("a = " + "[" * 50_000, None, None, "nests too deeply"),
            ("a = " + "1" * 5000, None, None, "not valid TOML"),
        ],
    )
    def test_broken_syntax_has_its_place(self, text, line, column, message):
        with pytest.raises(DocumentError, match=message) as caught:
            parse_toml(text)
        assert (caught.value.line, caught.value.column) == (line, column)


def _toml(data):
    """Write each key on lines of its own, with comments that look like keys between them."""
    lines: dict = {}
    out: list[str] = []

    def value(item, path):
        lines[path] = len(out) + 1
        if isinstance(item, dict):
            pairs = []
            for key, inner in item.items():
                pairs.append(f"{_basic(key)} = {value(inner, (*path, key))}")
            return "{" + ", ".join(pairs) + "}"
        if isinstance(item, list):
            return "[" + ", ".join(value(x, (*path, i)) for i, x in enumerate(item)) + "]"
        if item is None or isinstance(item, str):
            return _basic(item or "")
        return str(item).lower()

    for key, item in data.items():
        out.append('# k = "v" [x]')
        out.append(f"{_basic(key)} = {value(item, (key,))}  # ] }} '")
    return "\n".join(out), lines


def _basic(text):
    plain = " #'[]{}=,."
    escaped = "".join(
        c if (c.isalnum() and c.isascii()) or c in plain else f"\\U{ord(c):08x}" for c in text
    )
    return f'"{escaped}"'


class TestJson:
    def test_every_key_and_item_has_its_line(self):
        document = parse_json('{\n\t"a": [1,\n\t\t"\\u00e9\\/"],\n "b": {"c": 1e-3}}')
        assert document.data == {"a": [1, "é/"], "b": {"c": 1e-3}}
        assert document.lines == {
            ("a",): 2,
            ("a", 0): 2,
            ("a", 1): 3,
            ("b",): 4,
            ("b", "c"): 4,
        }

    def test_duplicate_keys_are_found(self):
        (finding,) = parse_json('{"a": 1,\n "a": 2}').findings
        assert finding.line == 2

    @pytest.mark.parametrize(
        ("text", "line", "column", "message"),
        [
            ('{"a": 1,\n}', 2, 1, "not valid JSON"),
            ("{'a': 1}", 1, 2, "not valid JSON: expecting property name"),
            ('{"a": ' + "[" * 100_000, None, None, "nests too deeply"),
            ('{"a": ' + "1" * 5000 + "}", None, None, "not valid JSON"),
        ],
    )
    def test_broken_syntax_has_its_place(self, text, line, column, message):
        with pytest.raises(DocumentError, match=message) as caught:
            parse_json(text)
        assert (caught.value.line, caught.value.column) == (line, column)
