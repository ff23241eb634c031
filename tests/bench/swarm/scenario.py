"""What is played: releases, customers and their lines, and the bounds that follow. Pure values.

Rates are Mbit/s of the line. What a line carries of payload is `GOODPUT` of it; all bounds are of
that goodput. Downloads are unlimited everywhere.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Final

from client_lib.wire.release import TorrentName

GOODPUT = 0.954
"""Payload that a line of rate 1 carries: 1,448 of 1,514 bytes, less TLS and framing."""
_MB = 1_000_000

THRIFTY, BALANCED, FAST = "thrifty", "balanced", "fast"
PLAIN: Final = "plain libtorrent"
NGINX: Final = "nginx"
WEB_SEED: Final = "web seed"
VARIANTS = (THRIFTY, BALANCED, FAST, PLAIN, NGINX)
"""Our node with each policy, libtorrent's defaults on both sides, HTTPS to everybody."""
ALL_VARIANTS = (*VARIANTS, WEB_SEED)
"""Also our node's web seed alone, for a customer who meets nobody."""


@dataclass(frozen=True, slots=True)
class Release:
    """An album."""

    name: TorrentName
    size_bytes: int


@dataclass(frozen=True, slots=True)
class Buyer:
    """A customer: which release (by index), the upload line, and when it comes."""

    release: int
    up_mbit_s: float
    arrives_s: float = 0.0


@dataclass(frozen=True, slots=True)
class Scenario:
    """A seeder's line, its releases, and who comes for them.

    `stays_s`: how long a customer gives after it is complete, None for as long as anybody needs
    it. `delay_ms`: one way, between any two. `deadline_s`: a run that takes longer has failed.
    `limited`: our node is told its line's rate, as an operator with several swarms would.
    """

    name: str
    seeder_mbit_s: float
    releases: Sequence[Release]
    buyers: Sequence[Buyer]
    deadline_s: float
    stays_s: float | None = None
    delay_ms: float = 0.0
    limited: bool = False

    @property
    def seeder_bytes_s(self) -> float:
        """Payload that the seeder's line carries."""
        return bytes_s(self.seeder_mbit_s)

    @property
    def simultaneous(self) -> bool:
        """Whether all come at once, and the bounds are those of the literature."""
        return all(buyer.arrives_s == 0 for buyer in self.buyers)

    @property
    def variants(self) -> tuple[str, ...]:
        """What there is to compare. Several customers of a web seed alone would be nginx's."""
        return ALL_VARIANTS if len(self.buyers) == 1 else VARIANTS

    @property
    def catalogue_bytes(self) -> int:
        """One copy of everything."""
        return sum(release.size_bytes for release in self.releases)

    @property
    def delivered_bytes(self) -> int:
        """What all customers get together."""
        return sum(self.releases[buyer.release].size_bytes for buyer in self.buyers)

    @property
    def fastest_s(self) -> float:
        """No last customer can be complete earlier.

        For one release and customers who come together this is the bound of Kumar and Ross (2006),
        max{F/u_s, N·F/(u_s+Σu)}. In general: one copy of everything must leave the seeder, all
        bytes must leave somebody who has come and has a neighbour, and who comes last still has to
        get all of its own.
        """
        givers = [buyer for buyer in self.buyers if self._together(buyer.release) > 1]
        last = max(self.buyers, key=lambda buyer: buyer.arrives_s)
        others_s = sum(
            bytes_s(buyer.up_mbit_s) for buyer in givers if buyer.release == last.release
        )
        alone_s = self.releases[last.release].size_bytes / (self.seeder_bytes_s + others_s)
        return max(
            self.catalogue_bytes / self.seeder_bytes_s,
            _carried_s(self.seeder_bytes_s, givers, self.delivered_bytes),
            last.arrives_s + alone_s,
        )

    @property
    def fastest_with_one_copy_s(self) -> float | None:
        """The same if the seeder sends one copy: max{F/u_s, (N-1)·F/Σu} of the slowest release.

        None where customers come one after the other.
        """
        if not self.simultaneous:
            return None
        bounds = [self.catalogue_bytes / self.seeder_bytes_s]
        for number, release in enumerate(self.releases):
            together = self._together(number)
            up = sum(bytes_s(each.up_mbit_s) for each in self.buyers if each.release == number)
            bounds.append((together - 1) * release.size_bytes / up)
        return max(bounds)

    def _together(self, release: int) -> int:
        return sum(buyer.release == release for buyer in self.buyers)


def bytes_s(mbit_s: float) -> float:
    """Payload bytes a second on a line."""
    return mbit_s * 1e6 / 8 * GOODPUT


def _carried_s(seeder_bytes_s: float, givers: Sequence[Buyer], size_bytes: float) -> float:
    """When the seeder and all who have come can have carried so many bytes."""
    now_s, rate_bytes_s, left_bytes = 0.0, seeder_bytes_s, size_bytes
    for giver in sorted(givers, key=lambda each: each.arrives_s):
        carried = rate_bytes_s * (giver.arrives_s - now_s)
        if carried >= left_bytes:
            break
        left_bytes -= carried
        now_s = giver.arrives_s
        rate_bytes_s += bytes_s(giver.up_mbit_s)
    return now_s + left_bytes / rate_bytes_s


def _releases(*megabytes: float) -> list[Release]:
    return [
        Release(TorrentName(f"rel-{number:04}.flac-16-44"), round(size * _MB))
        for number, size in enumerate(megabytes, start=1)
    ]


def _long_tail() -> Scenario:
    """A large release with six customers, nine small ones with two, three with one.

    What customers cannot get from each other must leave the seeder whatever the policy, once: with
    a hot release of 32 MB beside twelve of 8, one copy of everything was 0.82 of what plain
    libtorrent sent, so that there was little to save.
    """
    tail = [Buyer(number, 8) for number in range(1, 13) for _ in range(2 if number % 4 else 1)]
    return Scenario(
        "long tail",
        24,
        _releases(64, *[6] * 12),
        [Buyer(0, 8) for _ in range(6)] + tail,
        deadline_s=240,
        limited=True,
    )


def _all() -> dict[str, Scenario]:
    return {
        scenario.name: scenario
        for scenario in (
            Scenario("flash crowd", 16, _releases(64), [Buyer(0, 8) for _ in range(8)], 330),
            Scenario("lonely", 100, _releases(128), [Buyer(0, 100)], 60),
            Scenario(
                "trickle",
                16,
                _releases(32),
                [Buyer(0, 8, arrives_s=5.0 * number) for number in range(10)],
                240,
                stays_s=30,
            ),
            _long_tail(),
            Scenario(
                "mixed lines",
                16,
                _releases(32),
                [Buyer(0, rate) for rate in (1, 2, 3, 4, 6, 8, 12, 16)],
                210,
                delay_ms=15,
            ),
        )
    }


SCENARIOS: Mapping[str, Scenario] = _all()
SMOKE = Scenario("smoke", 40, _releases(2), [Buyer(0, 40), Buyer(0, 40)], 30)
"""Shows in seconds that everything works, and nothing else."""
