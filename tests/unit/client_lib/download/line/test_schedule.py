"""Limits by the clock: rules of the configuration, at any moment."""

import datetime as dt

import msgspec
import pytest
import trio
from hypothesis import given
from hypothesis import strategies as st
from trio.testing import MockClock

from client_lib.download.line.limits import LineLimits
from client_lib.download.line.schedule import (
    Limits,
    ScheduleRule,
    Weekday,
    rule_at,
    seconds_to_change,
)
from client_lib.errors import UsageError

DAY = ScheduleRule("08:00", "18:00", (Weekday.MONDAY, Weekday.FRIDAY), up=10, down=20)
NIGHT = ScheduleRule("22:30", "06:00", (Weekday.SATURDAY,), up=0)
MONDAY = dt.datetime(2026, 11, 23, tzinfo=dt.UTC)


def at(day: int, clock: str) -> dt.datetime:
    hours, minutes = clock.split(":")
    return MONDAY + dt.timedelta(days=day, hours=int(hours), minutes=int(minutes))


@pytest.mark.parametrize(
    ("rule", "day", "clock", "holds"),
    [
        (DAY, 0, "07:59", False),
        (DAY, 0, "08:00", True),
        (DAY, 0, "17:59", True),
        (DAY, 0, "18:00", False),
        (DAY, 1, "12:00", False),
        (NIGHT, 5, "22:29", False),
        (NIGHT, 5, "22:30", True),
        (NIGHT, 6, "05:59", True),
        (NIGHT, 6, "06:00", False),
        (NIGHT, 6, "22:30", False),
        (ScheduleRule("00:00", "00:00"), 3, "12:00", True),
    ],
)
def test_rule_holds_when_it_says(rule: ScheduleRule, day: int, clock: str, holds: bool) -> None:
    assert rule.covers(at(day, clock)) is holds


def test_first_rule_wins_and_leaves_alone_what_it_does_not_name() -> None:
    assert rule_at((NIGHT, DAY), at(0, "12:00")) is DAY
    assert rule_at((NIGHT, DAY), at(1, "12:00")) is None
    assert NIGHT.limits(Limits(5, 6)) == Limits(0, 6)
    assert DAY.limits(Limits(5, 6)) == Limits(10, 20)


clocks = st.builds("{:02}:{:02}".format, st.integers(0, 23), st.integers(0, 59))
rules = st.lists(
    st.builds(
        ScheduleRule,
        clocks,
        clocks,
        st.sets(st.sampled_from(Weekday)).map(tuple),
        up=st.none() | st.integers(0, 100),
    ),
    max_size=4,
)


@given(rules, st.integers(0, 7 * 86_400 - 1))
def test_nothing_changes_before_it_is_said_to(some: list[ScheduleRule], second: int) -> None:
    now = MONDAY + dt.timedelta(seconds=second)
    change_s = seconds_to_change(some, now)
    assert 0 < change_s <= 86_400
    rule = rule_at(some, now)
    for share in (0.25, 0.5, 0.999):
        assert rule_at(some, now + dt.timedelta(seconds=change_s * share)) == rule


@pytest.mark.parametrize(
    "text",
    [
        '{"from": "8:00", "to": "18:00"}',
        '{"from": "24:00", "to": "18:00"}',
        '{"from": "08:00"}',
        '{"from": "08:00", "to": "18:00", "days": ["monday"]}',
        '{"from": "08:00", "to": "18:00", "up": -1}',
        '{"from": "08:00", "to": "18:00", "down": "fast"}',
        '{"from": "08:00", "to": "18:00", "down": "3GB"}',
        '{"from": "08:00", "to": "18:00", "upp": 1}',
    ],
)
def test_rule_that_makes_no_sense_is_refused(text: str) -> None:
    with pytest.raises(msgspec.ValidationError):
        msgspec.json.decode(text, type=ScheduleRule)


def test_rates_may_have_units() -> None:
    text = '{"from": "08:00", "to": "18:00", "up": "1.5MB", "down": 7}'
    rule = msgspec.json.decode(text, type=ScheduleRule)
    assert rule.limits(Limits(1, 2)) == Limits(1_500_000, 7)


async def test_schedule_is_followed_and_a_command_lasts_until_its_next_change(
    autojump_clock: MockClock,
) -> None:
    applied: list[Limits] = []
    start = at(0, "07:00")

    def now() -> dt.datetime:
        return start + dt.timedelta(seconds=trio.current_time() - began)

    limits = LineLimits(Limits(1, 2), (DAY,), applied.append, now)
    began = trio.current_time()
    async with trio.open_nursery() as nursery:
        nursery.start_soon(limits.follow_schedule)
        await trio.sleep(3600 * 2)
        assert applied == [Limits(10, 20)]
        limits.set(Limits(7, 8))
        await trio.sleep(3600 * 8)
        assert applied == [Limits(10, 20), Limits(7, 8)]
        await trio.sleep(3600 * 2)
        assert applied[2:] == [Limits(7, 8)]  # the rule has ended
        nursery.cancel_scope.cancel()
    with pytest.raises(UsageError, match="rate limit of -1"):
        limits.set(Limits(-1, 0))
