"""Rate limits by the clock: night is free, working hours are not. Pure."""

import datetime as dt
import enum
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Annotated

import msgspec

from client_lib.byte_counts import parse_bytes
from client_lib.errors import UsageError

_MAX_RATE = (1 << 31) - 1
_Clock = Annotated[str, msgspec.Meta(pattern=r"^([01][0-9]|2[0-3]):[0-5][0-9]\Z")]
_DAY_S = 86_400


@dataclass(frozen=True, slots=True)
class Limits:
    """Bytes per second, 0 = no limit."""

    up_bytes_s: int = 0
    down_bytes_s: int = 0


class Weekday(enum.StrEnum):
    """Days as the configuration names them."""

    MONDAY = "mon"
    TUESDAY = "tue"
    WEDNESDAY = "wed"
    THURSDAY = "thu"
    FRIDAY = "fri"
    SATURDAY = "sat"
    SUNDAY = "sun"


_DAYS = tuple(Weekday)


class ScheduleRule(
    msgspec.Struct, frozen=True, forbid_unknown_fields=True, rename={"from_": "from"}
):
    """A `[[schedule]]` of the configuration: limits from one time of day to another.

    Local time, "HH:MM". A rule that ends before it begins lasts past midnight and belongs to the
    day on which it begins; one that ends when it begins lasts the whole day. `up` and `down` are
    bytes per second, also as "500kB", 0 = no limit; left out: as without the rule.
    """

    from_: _Clock
    to: _Clock
    days: tuple[Weekday, ...] = _DAYS
    up: int | str | None = None
    down: int | str | None = None

    def __post_init__(self) -> None:
        """Check the rates. Raises ValueError, as msgspec expects."""
        for name, rate in (("up", self.up), ("down", self.down)):
            try:
                if rate is not None and parse_bytes(name, rate) > _MAX_RATE:
                    raise ValueError(f"{name}: at most {_MAX_RATE} bytes per second")
            except UsageError as error:
                raise ValueError(str(error)) from error

    def covers(self, now: dt.datetime) -> bool:
        """Tell whether it holds at a local time."""
        second = now.hour * 3600 + now.minute * 60 + now.second
        start, end = _second(self.from_), _second(self.to)
        today, yesterday = _DAYS[now.weekday()], _DAYS[now.weekday() - 1]
        if start < end:
            return today in self.days and start <= second < end
        return (today in self.days and second >= start) or (yesterday in self.days and second < end)

    def limits(self, otherwise: Limits) -> Limits:
        """Limits while it holds, given those without it."""
        return Limits(
            otherwise.up_bytes_s if self.up is None else parse_bytes("up", self.up),
            otherwise.down_bytes_s if self.down is None else parse_bytes("down", self.down),
        )


def rule_at(rules: Sequence[ScheduleRule], now: dt.datetime) -> ScheduleRule | None:
    """Take the first rule that holds at a local time, None if none does."""
    return next((rule for rule in rules if rule.covers(now)), None)


def seconds_to_change(rules: Sequence[ScheduleRule], now: dt.datetime) -> float:
    """Seconds of wall clock until a rule may begin or end; at most a day."""
    second = now.hour * 3600 + now.minute * 60 + now.second + now.microsecond / 1e6
    edges = [_second(edge) for rule in rules for edge in (rule.from_, rule.to)] + [0]
    # An edge that is now has been reached: the next one of it is tomorrow.
    return min((edge - second) % _DAY_S or _DAY_S for edge in edges)


def _second(clock: str) -> int:
    hours, _, minutes = clock.partition(":")
    return int(hours) * 3600 + int(minutes) * 60
