"""Shell completion of plugin names."""

from __future__ import annotations

import pytest


def complete(balenas, line: str) -> list[str]:
    words = line.split(" ")
    done = balenas(
        _BALENAS_COMPLETE="complete_bash", COMP_WORDS=line, COMP_CWORD=str(len(words) - 1)
    )
    assert done.returncode == 0, done.stderr
    return done.stdout.split()


@pytest.mark.parametrize(
    ("line", "expected"),
    [
        ("balenas search --space to", ["toy"]),
        ("balenas search --optimizer toy", ["toy_adam"]),
        ("balenas search --selector argm", ["argmax"]),
        ("balenas search --selector argmax+toy", ["argmax+toy_params"]),
        ("balenas search --selector toy_params>superne", ["toy_params>supernet"]),
        ("balenas score --proxy params,toy", ["params,toy_params"]),
        ("balenas search --preset toy", ["toy_preset"]),
        ("balenas plugins li", ["list"]),
    ],
)
def test_names_come_from_the_installed_plugins(toy_balenas, line, expected):
    assert complete(toy_balenas, line) == expected
