"""Rate limits of the session: what was set last, by its owner or by the schedule."""

import datetime as dt
from collections.abc import Callable, Sequence

import trio

from client_lib.download.line.schedule import Limits, ScheduleRule, rule_at, seconds_to_change
from client_lib.errors import UsageError

_LOOK_AGAIN_S = 60.0  # clocks are set, machines sleep
_MOST_BYTES_S = (1 << 31) - 1


class LineLimits:
    """Applies limits at once. `apply` takes upload and download in bytes per second."""

    def __init__(
        self,
        otherwise: Limits,
        rules: Sequence[ScheduleRule],
        apply: Callable[[Limits], None],
        local_now: Callable[[], dt.datetime],
    ) -> None:
        """Take the limits outside the rules, the rules, and the local clock."""
        self._otherwise = otherwise
        self._rules = tuple(rules)
        self._apply = apply
        self._local_now = local_now

    def set(self, limits: Limits) -> None:
        """Limit the line until the schedule's next change. Raises UsageError."""
        for rate in (limits.up_bytes_s, limits.down_bytes_s):
            if not 0 <= rate <= _MOST_BYTES_S:
                raise UsageError(f"a rate limit of {rate} bytes/s: 0 (none) to {_MOST_BYTES_S}")
        self._otherwise = limits
        self._apply(limits)

    async def follow_schedule(self) -> None:
        """Apply what the rules say whenever that changes, for ever."""
        said: ScheduleRule | None = None
        while self._rules:
            now = self._local_now()
            rule = rule_at(self._rules, now)
            if rule is not said:
                self._apply(self._otherwise if rule is None else rule.limits(self._otherwise))
            said = rule
            await trio.sleep(min(_LOOK_AGAIN_S, seconds_to_change(self._rules, now)))
        await trio.sleep_forever()
