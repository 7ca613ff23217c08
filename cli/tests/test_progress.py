"""What a search shows while it runs."""

from __future__ import annotations

import io

import pytest
from hypothesis import given, strategies as st
from rich.console import Console

from balenas_cli.jobs.progress import EpochLines, Live, Silent, epoch_text, shorten, shown
from balenas_core.interfaces.events import (
    EpochEnded,
    PriorFormed,
    SearchStarted,
    SelectionProgress,
    StepEnded,
)

METRICS = {
    "epoch": 0,
    "train_loss": 2.25,
    "train_accuracy": 12.34,
    "validation_loss": None,
    "validation_accuracy": 50.0,
    "sigma_mean": 0.981,
    "entropy": 12.5,
    "architecture": "conv-skip",
    "seconds": 1.26,
}


def console(*, is_terminal: bool, width: int = 100) -> Console:
    return Console(file=io.StringIO(), force_terminal=is_terminal, width=width, no_color=True)


def test_a_line_per_epoch_holds_losses_sigma_entropy_and_architecture():
    screen = console(is_terminal=False, width=1000)
    lines = EpochLines(screen)
    lines(SearchStarted(None, None, 3, 4))
    lines(StepEnded(0, 0, 2.0, None))
    lines(EpochEnded(0, METRICS))
    assert screen.file.getvalue() == (
        "epoch 1/3  train 2.2500 (12.3 %)  validation - (50.0 %)  mean sigma 0.981  "
        "entropy 12.500  1.3 s  conv-skip\n"
    )


def test_the_live_display_shows_place_losses_metrics_and_architecture():
    screen = console(is_terminal=True)
    live = Live(screen)
    live(SearchStarted(None, None, 3, 4))
    live(StepEnded(0, 3, 2.0, 1.5))
    live(EpochEnded(0, METRICS))
    live(StepEnded(1, 1, 1.75, 1.25))
    screen.print(live.render())
    text = screen.file.getvalue()
    assert "epoch 2/3 step 2/4" in text
    assert "train 1.7500  validation 1.2500" in text
    assert "mean sigma 0.981" in text
    assert "conv-skip" in text
    assert "selection" not in text
    live(SelectionProgress(3, 9))
    screen.print(live.render())
    assert "candidate 3/9" in screen.file.getvalue()


def test_a_search_without_epochs_shows_no_empty_bar():
    screen = console(is_terminal=True)
    live = Live(screen)
    live(SearchStarted(None, None, 0, 4))
    live(SelectionProgress(1, 9))
    screen.print(live.render())
    assert "epoch" not in screen.file.getvalue()
    assert "candidate 1/9" in screen.file.getvalue()


@pytest.mark.parametrize(
    ("quiet", "is_terminal", "kind"),
    [(True, True, Silent), (True, False, Silent), (False, True, Live), (False, False, EpochLines)],
)
def test_the_display_suits_the_terminal(quiet, is_terminal, kind):
    screen = console(is_terminal=is_terminal)
    with shown(screen, quiet=quiet) as progress:
        assert type(progress) is kind
    assert quiet is False or screen.file.getvalue() == ""


def test_the_terminal_is_restored_after_an_error():
    screen = console(is_terminal=True)
    with pytest.raises(ValueError, match="stop"), shown(screen, quiet=False):
        raise ValueError("stop")
    written = screen.file.getvalue()
    assert written.rfind("\x1b[?25h") > written.rfind("\x1b[?25l")  # the cursor is shown again


@given(st.text(max_size=50), st.integers(3, 40))
def test_shortening_keeps_both_ends_and_the_limit(text, limit):
    short = shorten(text, limit)
    if len(text) <= limit:
        assert short == text
    else:
        assert len(short) == limit
        head, _, tail = short.partition("…") if "…" not in text else (short[:1], "", short[-1:])
        assert text.startswith(head)
        assert text.endswith(tail)


def test_unknown_statistics_and_missing_numbers_are_left_out():
    assert epoch_text({"train_loss": 1.0, "kl": 3.0}) == "train 1.0000 (- %)"


def test_a_training_shows_its_test_and_a_bar_of_its_name():
    metrics = {"train_loss": 1.0, "train_accuracy": 60.0, "test_loss": 0.5, "test_accuracy": 80.0}
    assert epoch_text(metrics) == "train 1.0000 (60.0 %)  test 0.5000 (80.0 %)"
    screen = console(is_terminal=True)
    live = Live(screen, "training")
    live.begin(3, 4)
    live(StepEnded(0, 3, 2.0, None))
    live(EpochEnded(0, metrics))
    screen.print(live.render())
    text = screen.file.getvalue()
    assert "training" in text
    assert "epoch 1/3 step 4/4" in text
    assert "test 0.5000 (80.0 %)" in text
    assert "now" not in text  # which is where a search shows its architecture


PRIOR = PriorFormed(500, 7, 0.834, (("conv in cell 1", 0.912), ("skip in cell 0", 0.5)), 5.04)
PRIOR_LINE = (
    "500 architectures scored in 5.0 s, choices explain 83%; most for conv in cell 1 (+0.91), "
    "skip in cell 0 (+0.50)"
)


def test_a_line_says_what_the_prior_was_formed_of():
    screen = console(is_terminal=False)
    EpochLines(screen)(PRIOR)
    assert screen.file.getvalue() == f"prior: {PRIOR_LINE}\n"


def test_the_live_display_counts_architectures_and_keeps_the_prior():
    screen = console(is_terminal=True)
    live = Live(screen)
    live(SelectionProgress(3, 500, "prior"))
    live(PRIOR)
    screen.print(live.render())
    text = " ".join(screen.file.getvalue().split())
    assert "architecture 3/500" in text
    assert "conv in cell 1 (+0.91)" in text
