"""How many albums at a time: found out from the line. Pure: samples in, a number out.

Two things are wanted. Large albums one after the other, as few at a time as fill the line, so
that the first is there soon. Small ones in parallel, because each costs round trips (tracker,
handshakes, first pieces) during which nothing arrives.
"""

import math
from dataclasses import dataclass

START = 3
FEWEST = 2
MOST_LARGE = 8
MOST_SMALL = 24
_WINDOW_S = 3.0
_HOLD_S = 20.0
_GAIN = 1.08  # a further album must bring so much; less is noise
_LOSS = 0.95
_WORK_AHEAD_S = 2.0
_SMOOTHING_S = 1.5


@dataclass(frozen=True, slots=True)
class LineSample:
    """A moment of a job: bytes that all albums have received, albums under way and waiting.

    `remaining_bytes` is what those under way have to come, `next_bytes` the mean size of the
    next ones.
    """

    now_s: float
    received_bytes: int
    active: int
    waiting: int
    remaining_bytes: int
    next_bytes: int


class Concurrency:
    """The number of albums to have under way. `fixed` is the customer's own choice."""

    def __init__(self, fixed: int | None = None) -> None:
        """Start with few."""
        self._fixed = fixed
        self._climb = START
        self._target = START if fixed is None else fixed
        self._last: LineSample | None = None
        self._window: LineSample | None = None
        self._full = True
        self._rate = 0.0
        self._trial = 0
        self._next_trial = 1
        self._rate_before = 0.0
        self._hold_until_s = 0.0

    @property
    def target(self) -> int:
        """How many albums may be under way."""
        return self._target

    def update(self, sample: LineSample) -> int:
        """Take a sample (a few a second); returns the new target."""
        if self._fixed is not None:
            return self._fixed
        self._smooth(sample)
        self._try(sample)
        self._target = min(MOST_SMALL, max(self._climb, self._for_small_ones(sample)))
        return self._target

    def _smooth(self, sample: LineSample) -> None:
        last, self._last = self._last, sample
        if last is None or sample.now_s <= last.now_s:
            return
        passed_s = sample.now_s - last.now_s
        rate = max(0, sample.received_bytes - last.received_bytes) / passed_s
        self._rate += (rate - self._rate) * (1 - math.exp(-passed_s / _SMOOTHING_S))

    def _for_small_ones(self, sample: LineSample) -> int:
        """Enough albums for the next seconds of the line, whatever their round trips cost."""
        if not sample.waiting or sample.next_bytes <= 0:
            return FEWEST
        missing = self._rate * _WORK_AHEAD_S - sample.remaining_bytes
        return sample.active + min(sample.waiting, math.ceil(max(0.0, missing) / sample.next_bytes))

    def _try(self, sample: LineSample) -> None:
        """One more or one fewer, kept if the total rate says so, for a window at a time."""
        if self._window is None:
            self._window, self._full = sample, True
            self._hold_until_s = sample.now_s + 2 * _WINDOW_S  # the start tells nothing
        # A window with free places says nothing about how many the line wants.
        self._full &= sample.active >= self._climb or not sample.waiting
        passed_s = sample.now_s - self._window.now_s
        if passed_s < _WINDOW_S:
            return
        rate = (sample.received_bytes - self._window.received_bytes) / passed_s
        conclusive = self._full and sample.waiting > 0
        self._window, self._full = sample, True
        if not conclusive:
            self._trial = 0
            return
        if self._trial > 0 and rate < self._rate_before * _GAIN:
            self._climb -= 1
            self._end_trial(sample.now_s, next_trial=-1)
        elif self._trial < 0:
            if rate < self._rate_before * _LOSS:
                self._climb += 1
            self._end_trial(sample.now_s, next_trial=1)
        elif self._trial > 0 or sample.now_s >= self._hold_until_s:
            direction = self._trial or self._next_trial
            if not FEWEST <= self._climb + direction <= MOST_LARGE:
                self._end_trial(sample.now_s, next_trial=-direction)
                return
            self._trial, self._rate_before = direction, rate
            self._climb += direction

    def _end_trial(self, now_s: float, *, next_trial: int) -> None:
        self._trial, self._next_trial = 0, next_trial
        self._hold_until_s = now_s + _HOLD_S
