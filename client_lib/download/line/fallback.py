"""When to fetch from the web seed besides the swarm. Pure: times and rates are handed in.

The web seed is the operator's line, and a network that blocks BitTorrent needs it; everybody else
should get by without. So it is joined when the swarm is slow for a while, left when the swarm alone
is fast enough, and left as well when it adds nothing: then the customer's own line is the limit,
or the limit that the customer has set. Where there is nobody to wait for it is joined at once, and
soon where nobody can be reached. While nothing comes at all it is left and joined anew: libtorrent
never asks a web seed again for a file that it did not have.
"""

import enum
import math
from dataclasses import dataclass


class Company(enum.Enum):
    """Whom a customer has met in the swarm."""

    NOBODY_KNOWN = enum.auto()
    """Every tracker that was asked has answered, or cannot be reached, and nobody was named."""
    NOBODY_MET = enum.auto()
    """No connection stands: it is early, or the network lets none through."""
    PEERS = enum.auto()


@dataclass(frozen=True, slots=True)
class FallbackTuning:
    """The policy's figures. Rates in bytes/s, times in seconds."""

    web_seed_below_bytes_s: float = 500_000.0
    """The swarm is slow below this for `slow_s`, and fast at twice this for `fast_s`."""
    slow_s: float = 5.0
    unmet_s: float = 2.0
    """As `slow_s`, while no connection to a peer stands."""
    fast_s: float = 10.0
    trial_s: float = 15.0
    """After so long both together must have brought `trial_gain` times the swarm's best alone."""
    trial_gain: float = 1.25
    rest_s: float = 60.0
    """Pause after a trial that brought nothing, doubled each time up to `longest_rest_s`."""
    longest_rest_s: float = 960.0
    silent_s: float = 15.0
    """Joined anew after so long without a byte from anybody; then after this pause, doubled each
    time, too."""


@dataclass(slots=True)
class _Mean:
    total: float = 0.0
    count: int = 0

    def add(self, value: float) -> None:
        self.total += value
        self.count += 1

    @property
    def value(self) -> float:
        return self.total / max(1, self.count)


class FallbackPolicy:
    """Whether the web seed should be used now. Ask about twice a second."""

    def __init__(self, tuning: FallbackTuning | None = None) -> None:
        """Begin with the swarm alone."""
        self._tuning = tuning or FallbackTuning()
        self.joined = False
        self._slow_since_s: float | None = None
        self._fast_since_s: float | None = None
        self._alone_bytes_s = 0.0
        self._joined_at_s = -math.inf
        self._resting_until_s = -math.inf
        self._in_vain_bytes_s = 0.0
        self._rest_s = self._tuning.rest_s
        self._trial = _Mean()
        self._silent_since_s: float | None = None
        self._silent_rest_s = 0.0

    def update(
        self, now_s: float, swarm_bytes_s: float, web_seed_bytes_s: float, company: Company
    ) -> bool:
        """Take the rates of this moment, and who is there; returns `joined`."""
        if self.joined:
            self._reconsider(now_s, swarm_bytes_s, swarm_bytes_s + web_seed_bytes_s)
        else:
            self._watch(now_s, swarm_bytes_s, company)
        return self.joined

    def _watch(self, now_s: float, swarm_bytes_s: float, company: Company) -> None:
        tuning = self._tuning
        if swarm_bytes_s >= tuning.web_seed_below_bytes_s:
            self._slow_since_s = None
            return
        # What the swarm gave when the web seed added nothing: with less than half of it, it may.
        if now_s < self._resting_until_s and swarm_bytes_s >= self._in_vain_bytes_s / 2:
            self._slow_since_s = None
            return
        if self._slow_since_s is None:
            self._slow_since_s, self._alone_bytes_s = now_s, 0.0
        self._alone_bytes_s = max(self._alone_bytes_s, swarm_bytes_s)
        patience_s = {
            Company.NOBODY_KNOWN: 0.0,
            Company.NOBODY_MET: tuning.unmet_s,
            Company.PEERS: tuning.slow_s,
        }[company]
        if now_s - self._slow_since_s >= patience_s:
            self.joined, self._joined_at_s = True, now_s
            self._trial, self._fast_since_s, self._silent_since_s = _Mean(), None, None

    def _reconsider(self, now_s: float, swarm_bytes_s: float, all_bytes_s: float) -> None:
        tuning = self._tuning
        if self._is_silent(now_s, all_bytes_s):
            self._leave()
            self._in_vain_bytes_s, self._resting_until_s = 0.0, now_s + self._silent_rest_s
            longer_s = max(tuning.silent_s, 2 * self._silent_rest_s)
            self._silent_rest_s = min(longer_s, tuning.longest_rest_s)
            return
        if now_s - self._joined_at_s >= tuning.trial_s / 3:  # it has got going
            self._trial.add(all_bytes_s)
        if swarm_bytes_s < 2 * tuning.web_seed_below_bytes_s:
            self._fast_since_s = None
        elif self._fast_since_s is None:
            self._fast_since_s = now_s
        if self._fast_since_s is not None and now_s - self._fast_since_s >= tuning.fast_s:
            self._leave()
            self._rest_s = tuning.rest_s
        elif now_s - self._joined_at_s >= tuning.trial_s:
            if self._trial.value >= tuning.trial_gain * self._alone_bytes_s:
                self._joined_at_s, self._alone_bytes_s = math.inf, 0.0  # passed
                self._rest_s = tuning.rest_s
            else:
                self._leave()
                self._in_vain_bytes_s = self._alone_bytes_s
                self._resting_until_s = now_s + self._rest_s
                self._rest_s = min(2 * self._rest_s, tuning.longest_rest_s)

    def _is_silent(self, now_s: float, all_bytes_s: float) -> bool:
        if all_bytes_s > 0:
            self._silent_since_s, self._silent_rest_s = None, 0.0
            return False
        if self._silent_since_s is None:
            self._silent_since_s = now_s
        return now_s - self._silent_since_s >= self._tuning.silent_s

    def _leave(self) -> None:
        self.joined, self._slow_since_s = False, None
