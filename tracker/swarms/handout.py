"""Who is told about whom, and when they shall ask again. Pure: numbers in, numbers out."""

import math
import random
from dataclasses import dataclass
from typing import NamedTuple


class Mix(NamedTuple):
    """So many peers of each standing. A named tuple, because every announce makes several."""

    leechers: int = 0
    complete: int = 0
    central: int = 0

    @property
    def total(self) -> int:
        """All together."""
        return self.leechers + self.complete + self.central


NOBODY = Mix()
Counts = tuple[int, int, int]
"""Leechers, complete, central; a `Mix` is one."""


def handout(
    own: Counts, other: Counts, want: int, *, asker_complete: bool, scarce: bool
) -> tuple[Mix, Mix]:
    """Decide how many peers of the asker's own and of the other address family it is told about.

    `own` and `other` are those there are, without the asker's; `scarce` says that too few customers
    are complete. At most `want` in all, the own family first: whether the asker reaches the other
    one, nobody knows.

    - Who has the whole album is told about leechers only: two complete peers have nothing to say
      to each other.
    - A leecher is told about complete customers and about leechers, half and half; where there are
      too few of one kind, the other kind fills up.
    - While copies are scarce, central seeders have an eighth of the places, and never less than
      one. Otherwise they get what the customers leave free.
    """
    if want <= 0:
        return NOBODY, NOBODY
    if asker_complete:
        near = min(own[0], want)
        return Mix(leechers=near), Mix(leechers=min(other[0], want - near))
    if not any(other):
        return _for_leecher(own, want, scarce), NOBODY
    # The guaranteed central seeder may be one of the other family: keep its place free.
    reserved = 1 if scarce and not own[2] and other[2] else 0
    first = _for_leecher(own, want - reserved, scarce)
    return first, _for_leecher(other, want - first.total, scarce)


def _for_leecher(there: Counts, want: int, scarce: bool) -> Mix:
    if want <= 0:
        return NOBODY
    leechers, complete, central = there
    guaranteed = min(central, max(1, want // 8)) if scarce and central else 0
    places = want - guaranteed
    half = places // 2
    complete = min(complete, places - (leechers if leechers < half else half))
    leechers = min(leechers, places - complete)
    return Mix(leechers, complete, min(central, want - complete - leechers) if central else 0)


@dataclass(frozen=True, slots=True)
class Pace:
    """How often peers announce."""

    interval_s: int = 1_800
    jitter: float = 0.1
    """Share of the interval by which it varies, so that a crowd does not come back as one."""
    young_interval_s: int = 30
    young_age_s: int = 600
    few_peers: int = 8
    min_interval_s: int = 300

    def interval(
        self, peers: int, leeching_since_s: float | None, now_s: float, rng: random.Random
    ) -> int:
        """Seconds until the next announce.

        Short while a swarm is young (its first leecher came a short time ago) or has leechers but
        few peers: who starts at the same time must find the others within seconds. A swarm
        without leechers has no hurry, whatever its size: most swarms are one idle seeder.
        """
        hurried = now_s < self.hurried_until_s(peers, leeching_since_s)
        return self.interval_at(rng.random(), hurried=hurried)

    def hurried_until_s(self, peers: int, leeching_since_s: float | None) -> float:
        """POSIX time until which a swarm that stays as it is has short intervals."""
        if leeching_since_s is None:
            return -math.inf
        return math.inf if peers <= self.few_peers else leeching_since_s + self.young_age_s

    def interval_at(self, place: float, *, hurried: bool) -> int:
        """Seconds, from the shortest (0) to the longest (1) around the young interval or the usual.

        At least one.
        """
        base = self.young_interval_s if hurried else self.interval_s
        return max(1, round(base * (1 + self.jitter * (2 * place - 1))))

    def min_interval(self, interval_s: int) -> int:
        """Seconds that a client shall wait even if its user is impatient."""
        return min(interval_s, self.min_interval_s)

    @staticmethod
    def lifetime(interval_s: int) -> int:
        """Seconds after which a silent peer counts as gone: two missed announces.

        libtorrent stretches every interval to 300 s (`min_announce_interval`): shorter ones do not
        count here, or its peers would be forgotten while they are there.
        """
        return 2 * max(interval_s, 330) + 60
