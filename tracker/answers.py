"""What an admitted client is told: peers, and when to come again."""

import random
from collections.abc import Callable

from client_lib.wire.announce import (
    ENTRY_BYTES_V4,
    ENTRY_BYTES_V6,
    NO_SOURCE,
    AnnounceFailure,
    ResponseForm,
)
from client_lib.wire.infohash import TruncatedInfoHash
from tracker.accounting.regular import Regular
from tracker.swarms.handout import NOBODY, Pace, handout
from tracker.swarms.peers import OWNER_BYTES, STANDINGS, Family, Standing
from tracker.swarms.plan import Plan
from tracker.swarms.side import STANDING_BITS, STANDING_MASK
from tracker.swarms.swarm import Others, Swarm, sample_beside

# An enumeration's member by its global name: 0.01 µs; as the attribute of its class: 0.13.
_LEECHER = Standing.LEECHER
_V4, _V6 = Family
_MOST_PLANS = 32
"""Of a swarm: clients that vary what they want must not fill the memory."""

_ALONE = AnnounceFailure(
    f"{NO_SOURCE}nobody else is in this swarm yet; you are registered, come back soon",
    retry_in=1,
    interval_s=30,
).encode()
"""The answer to a leecher who is alone: see ADR 15."""

Central = Callable[[TruncatedInfoHash, int], tuple[bytes, bytes] | None]
"""Compact entries (IPv4, IPv6) of the central seeders for a swarm with so many leechers.

Those in the fleet need not have announced, they serve whoever comes. The same object while nothing
has changed."""


class Answers:
    """Answers by the policy's numbers."""

    def __init__(
        self, *, pace: Pace, copies_wanted: int, rng: random.Random, central: Central
    ) -> None:
        """Take them, and who knows the central seeders."""
        self._pace = pace
        self._copies_wanted = copies_wanted
        self._rng = rng
        self._central = central

    def interval(self, swarm: Swarm, standing: Standing, now_s: float) -> int:
        """Seconds until the next announce of a client that joins a swarm."""
        since_s = swarm.leeching_since_s
        if since_s is None and standing is _LEECHER:
            since_s = now_s
        return self._pace.interval(len(swarm), since_s, now_s, self._rng)

    def planned_interval(self, plan: Plan, now_s: float) -> int:
        """`interval`, for a client that is in the swarm."""
        return self._pace.drawn(self._rng, hurried=now_s < plan.hurried_until_s)

    def goodbye(self, swarm: Swarm, address: bytes) -> bytes:
        """Answer a client that has left: nobody."""
        interval_s = self._pace.interval_s
        return self._form(swarm, address).filled(
            interval_s, self._pace.min_interval(interval_s), address, b"", b""
        )

    def plan(self, regular: Regular) -> Plan:
        """What `regular` and its like are told at the moment."""
        swarm, family, standing = regular.swarm, regular.family, regular.standing
        fleet = self._central(regular.info_hash, swarm.counts[0]) if standing is _LEECHER else None
        kind = regular.want << 3 | standing << 1 | family
        far_side = swarm.sides[_V6 if family is _V4 else _V4]
        if far_side.positions:
            kind |= (self._twin(regular)[0] + 1) << 16
        plan = swarm.plans.get(kind)
        if plan is None or plan.fleet is not fleet:
            plan = self._worked_out(regular, fleet)
            if swarm.sides[0].further or swarm.sides[1].further:
                return plan  # some owner has several entries, and each such owner its own plan
            if len(swarm.plans) >= _MOST_PLANS:
                swarm.plans.clear()
            swarm.plans[kind] = plan
        return plan

    def by(self, plan: Plan, regular: Regular, interval_s: int) -> bytes:
        """Answer as planned."""
        form = plan.form
        if form is None:
            return _ALONE
        address, swarm, family, rng = regular.entry[:-2], regular.swarm, regular.family, self._rng
        near_side, far_side = swarm.sides if family is _V4 else swarm.sides[::-1]
        if near_side.further or far_side.further:
            own, other = self._others(regular)
            near, far = own.sample(plan.near, rng), other.sample(plan.far, rng)
        else:
            near = sample_beside(near_side.pools, plan.near, regular.standing, regular.index, rng)
            if plan.far is NOBODY:
                far = b""
            else:
                twin, index = self._twin(regular)
                standing = None if twin < 0 else STANDINGS[twin]
                far = sample_beside(far_side.pools, plan.far, standing, index, rng)
        min_interval_s = self._pace.min_interval(interval_s)
        peers, peers6 = (near, far) if family is _V4 else (far, near)
        if plan.fleet is not None:
            peers, peers6 = plan.fleet[0] + peers, plan.fleet[1] + peers6
        return form.filled(interval_s, min_interval_s, address, peers, peers6)

    def _worked_out(self, regular: Regular, fleet: tuple[bytes, bytes] | None) -> Plan:
        swarm, want, leecher = regular.swarm, regular.want, regular.standing is _LEECHER
        own, other = self._others(regular)
        own_counts, other_counts = own.counts, other.counts
        alone = False
        if leecher:
            fleet4, fleet6 = fleet or (b"", b"")
            if fleet is not None:  # then who of them has announced does not matter: it may drain
                own_counts, other_counts = (*own_counts[:2], 0), (*other_counts[:2], 0)
                want = max(0, want - len(fleet4) // ENTRY_BYTES_V4 - len(fleet6) // ENTRY_BYTES_V6)
            alone = not (fleet4 or fleet6 or any(own_counts) or any(other_counts))
        near, far = handout(
            own_counts,
            other_counts,
            want,
            asker_complete=not leecher,
            scarce=swarm.counts[1] < self._copies_wanted,
        )
        hurried_until_s = self._pace.hurried_until_s(len(swarm), swarm.leeching_since_s)
        form = None if alone else self._form(swarm, regular.address)
        return Plan(near, far, fleet, hurried_until_s, form)

    def _others(self, regular: Regular) -> tuple[Others, Others]:
        """Everybody else: of the asker's own address family, and of the other one."""
        owner = regular.member.owner
        return (
            regular.swarm.others(owner, regular.family),
            regular.swarm.others(owner, _V6 if regular.family is _V4 else _V4),
        )

    @staticmethod
    def _twin(regular: Regular) -> tuple[int, int]:
        """Standing (-1: none) and index of the owner's first peer in the other address family."""
        far_side = regular.swarm.sides[_V6 if regular.family is _V4 else _V4]
        position = far_side.positions.get(regular.slot[:OWNER_BYTES])
        if position is None:
            return -1, 0
        return position & STANDING_MASK, position >> STANDING_BITS

    @staticmethod
    def _form(swarm: Swarm, address: bytes) -> ResponseForm:
        leechers, complete, central = swarm.counts
        return ResponseForm(
            complete=complete + central, incomplete=leechers, address_bytes=len(address)
        )
