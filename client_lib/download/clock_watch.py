"""Is this device's clock right? Told by what licensing's clock said. Pure."""

import datetime as dt
from collections.abc import Callable

from client_lib.download.events import Warned, WarningKind

TOLERATED = dt.timedelta(minutes=5)


class ClockWatch:
    """Compares the clock with the moment at which licensing says that it issued a certificate."""

    def __init__(self, clock: Callable[[], dt.datetime], warn: Callable[[Warned], None]) -> None:
        """Take the clock, and whom to tell when it is off."""
        self._clock = clock
        self._warn = warn
        self._told = False
        self.skew = dt.timedelta(0)
        """How far this device is ahead of licensing, as last seen."""

    @property
    def is_off(self) -> bool:
        """Tell whether the difference is more than the network explains."""
        return abs(self.skew) > TOLERATED

    def note_issued(self, at: dt.datetime) -> None:
        """A certificate was issued just now, at that time of licensing's clock."""
        self.skew = self._clock() - at
        if self.is_off and not self._told:
            self._warn(Warned(kind=WarningKind.CLOCK_SKEW, message=self.sentence()))
        self._told = self.is_off

    def sentence(self) -> str:
        """What is wrong and what to do."""
        minutes = abs(self.skew).total_seconds() / 60
        amount = f"{minutes:.0f} minutes" if minutes < 120 else f"{minutes / 60:.0f} hours"
        direction = "ahead of" if self.skew > dt.timedelta(0) else "behind"
        return f"this device's clock is {amount} {direction} the store's: set it right"
