"""How much of the upload line to use when the customer set no limit. Pure.

A full upload line makes everything else in the house slow. Nobody tells how fast the line is, so
it is found out: uploading freely for a moment, when others want more than the limit, shows what it
carries. From then on a share of that is used, until the next look.
"""

import enum
from collections import deque
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class ShareTuning:
    """The policy's figures. Rates in bytes/s, times in seconds."""

    share: float = 0.8
    least_bytes_s: int = 32_000
    """Below this the line is not limited: with less nobody can be served."""
    look_s: float = 10.0
    """How long a look lasts, from the first upload on."""
    window_s: float = 3.0
    """The line carries the best mean over so long."""
    rest_s: float = 120.0
    """Between two looks, doubled up to `longest_rest_s` while they show the same line."""
    longest_rest_s: float = 1_920.0
    pressing: float = 0.85
    """Share of the limit from which on others seem to want more than it."""


class _Phase(enum.Enum):
    LOOKING = enum.auto()
    HOLDING = enum.auto()


class UploadShare:
    """The limit on upload. Ask about once a second."""

    def __init__(self, tuning: ShareTuning | None = None) -> None:
        """Begin without a limit, looking."""
        self._tuning = tuning or ShareTuning()
        self.line_bytes_s = 0.0
        """What the line carries as far as is known, 0 = not known yet."""
        self._phase = _Phase.LOOKING
        self._samples: deque[tuple[float, int]] = deque()
        self._best_bytes_s = 0.0
        self._since_s: float | None = None
        self._rest_s = self._tuning.rest_s

    @property
    def limit_bytes_s(self) -> int:
        """Most bytes to upload per second, 0 = no limit."""
        if self._phase is _Phase.LOOKING:
            return 0
        return max(self._tuning.least_bytes_s, round(self._tuning.share * self.line_bytes_s))

    def update(self, now_s: float, sent_bytes: int) -> int:
        """Take the bytes sent so far; returns the limit."""
        tuning = self._tuning
        self._samples.append((now_s, sent_bytes))
        while len(self._samples) > 2 and self._samples[1][0] <= now_s - tuning.window_s:
            self._samples.popleft()
        rate = self._rate()
        if self._phase is _Phase.LOOKING:
            self._look(now_s, rate)
        elif self._has_rested(now_s) and rate >= tuning.pressing * self.limit_bytes_s:
            self._phase, self._since_s, self._best_bytes_s = _Phase.LOOKING, None, 0.0
            self._samples.clear()
            self._samples.append((now_s, sent_bytes))
        return self.limit_bytes_s

    def _has_rested(self, now_s: float) -> bool:
        return self._since_s is not None and now_s - self._since_s >= self._rest_s

    def _look(self, now_s: float, rate: float) -> None:
        tuning = self._tuning
        if self._since_s is None:
            if rate < tuning.least_bytes_s:
                return  # nobody wants anything: that says nothing of the line
            self._since_s = now_s
        self._best_bytes_s = max(self._best_bytes_s, rate)
        if now_s - self._since_s < tuning.look_s:
            return
        same = abs(self._best_bytes_s - self.line_bytes_s) <= 0.1 * self.line_bytes_s
        self._rest_s = min(2 * self._rest_s, tuning.longest_rest_s) if same else tuning.rest_s
        self.line_bytes_s = self._best_bytes_s
        self._phase, self._since_s = _Phase.HOLDING, now_s

    def _rate(self) -> float:
        (start_s, before), (end_s, after) = self._samples[0], self._samples[-1]
        # A shorter time than the window's is a burst into buffers, not what the line carries.
        if end_s - start_s < self._tuning.window_s * 0.9:
            return 0.0
        return max(0, after - before) / (end_s - start_s)
