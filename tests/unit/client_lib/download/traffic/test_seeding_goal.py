"""When an album need not be given any longer."""

import math

import pytest

from client_lib.download.traffic.seeding_goal import SeedingGoal
from client_lib.errors import UsageError


@pytest.mark.parametrize(
    ("text", "goal"),
    [
        ("none", SeedingGoal()),
        ("ratio=1.5", SeedingGoal(ratio=1.5)),
        ("time=2h", SeedingGoal(seconds=7200)),
        ("time=90", SeedingGoal(seconds=90)),
        ("ratio=1, time=1.5d", SeedingGoal(1.0, 129_600)),
    ],
)
def test_goals_are_read(text: str, goal: SeedingGoal) -> None:
    assert SeedingGoal.parse(text) == goal


@pytest.mark.parametrize(
    "text",
    ["", "ratio", "ratio=", "ratio=-1", "ratio=1h", "time=2w", "ratio=1,ratio=2", "ratio=nan"],
)
def test_anything_else_is_refused_with_the_form(text: str) -> None:
    with pytest.raises(UsageError, match="no seeding goal: `none`"):
        SeedingGoal.parse(text)


def test_negative_goals_are_refused() -> None:
    with pytest.raises(UsageError):
        SeedingGoal(ratio=-0.1)
    with pytest.raises(UsageError):
        SeedingGoal(seconds=math.inf)


def test_whichever_is_first_ends_it() -> None:
    both = SeedingGoal(ratio=2.0, seconds=100)
    assert both.seconds_left(199, 100, 40) == 60
    assert both.seconds_left(200, 100, 40) == 0
    assert both.seconds_left(0, 100, 101) == 0
    assert SeedingGoal().seconds_left(10**12, 1, 10**9) == math.inf
