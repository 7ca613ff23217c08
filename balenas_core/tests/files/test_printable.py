"""Text from outside, written out where a terminal would obey it."""

import json

from balenas_core.files import json_text, one_line, printable

HOSTILE = "a\x1b]0;title\x07\x9b2J\rb\u202ec\u2066\udcff\U000e0041"
SHOWN = r"a\x1b]0;title\x07\x9b2J\rb\u202ec\u2066\xff\U000e0041"


def test_controls_directions_and_what_has_no_letter_are_written_out():
    assert printable(HOSTILE) == SHOWN
    assert printable("two\tcolumns\nand Ω, é, 👩\u200d💻") == "two\tcolumns\nand Ω, é, 👩\u200d💻"
    assert one_line("two\tcolumns\nand") == r"two\tcolumns\nand"


def test_json_keeps_its_meaning():
    value = {HOSTILE: [HOSTILE, "é\n"]}
    text = json_text(json.dumps(value, ensure_ascii=False, indent=2))
    assert json.loads(text) == value
    assert printable(text) == text
