"""What an admitted client is told: peers, and when to come again."""

import random
from collections.abc import Callable
from typing import NamedTuple, Self

from client_lib.wire.announce_answer import (
    ENTRY_BYTES_V4,
    ENTRY_BYTES_V6,
    AnnounceFailure,
    ResponseForm,
    encoded_pace,
)
from client_lib.wire.conventions import NO_SOURCE
from client_lib.wire.infohash import TruncatedInfoHash
from tracker.accounting.regular import OWN, Regular
from tracker.swarms.handout import Pace, handout
from tracker.swarms.peers import OWNER_BYTES, STANDINGS, Family, Standing
from tracker.swarms.plan import Plan
from tracker.swarms.side import STANDING_BITS, STANDING_MASK
from tracker.swarms.swarm import Others, Swarm, sample_beside

# An enumeration's member by its global name: 0.01 µs; as the attribute of its class: 0.13.
_LEECHER = Standing.LEECHER
_V4, _V6 = Family
_TURNS = 256
_ADDRESS_AT = OWN.size
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


class Turn(NamedTuple):
    """When a client shall come again."""

    interval_s: int
    lifetime_s: int
    """Silent for longer, it counts as gone."""
    encoded: bytes
    """As its answer says it."""

    @classmethod
    def of(cls, pace: Pace, interval_s: int) -> Self:
        """Everything that follows from the interval."""
        encoded = encoded_pace(interval_s, pace.min_interval(interval_s))
        return cls(interval_s, pace.lifetime(interval_s), encoded)


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
        self._kinds: dict[int, int] = {}
        # Drawn from a table: 0.2 µs an announce, and worked out each time 0.8.
        self._calm, self._hurried = (
            tuple(
                Turn.of(pace, pace.interval_at((number + 0.5) / _TURNS, hurried=hurried))
                for number in range(_TURNS)
            )
            for hurried in (False, True)
        )

    def first_turn(self, swarm: Swarm, standing: Standing, now_s: float) -> Turn:
        """When a client shall come again that joins `swarm`, or changes in it."""
        since_s = swarm.leeching_since_s
        if since_s is None and standing is _LEECHER:
            since_s = now_s
        return self._drawn(now_s < self._pace.hurried_until_s(len(swarm), since_s))

    def next_turn(self, plan: Plan, now_s: float) -> Turn:
        """`first_turn`, for a client that is in its swarm already."""
        turns = self._hurried if now_s < plan.hurried_until_s else self._calm
        return turns[int(self._rng.random() * _TURNS)]

    def goodbye(self, swarm: Swarm, address: bytes) -> bytes:
        """Answer a client that has left: nobody."""
        turn = Turn.of(self._pace, self._pace.interval_s)
        return self._form(swarm, address).filled(turn.encoded, address, b"", b"")

    def kind(self, want: int, standing: Standing, family: Family) -> int:
        """Who wants so many peers, has so much, comes by this family. Two bits are left free.

        The same object for all of them: one that is in the caches.
        """
        kind = want << 5 | standing << 3 | family << 2
        return self._kinds.setdefault(kind, kind)

    def plan(self, regular: Regular) -> Plan:
        """What `regular` and its like are told at the moment."""
        swarm, kind = regular.swarm, regular.kind
        fleet = None
        if regular.standing is _LEECHER:
            fleet = self._central(regular.info_hash, swarm.counts[0])
        if swarm.sides[1].positions:  # of the other family, if there are two
            standing, _ = self._twin(regular)
            kind += 0 if standing is None else 1 + standing
        plan = swarm.plans.get(kind)
        if plan is not None and plan.fleet is fleet and not plan.is_general:
            return plan
        plan = self._worked_out(regular, fleet)
        if len(swarm.plans) >= _MOST_PLANS:
            swarm.plans.clear()
        swarm.plans[kind] = plan
        return plan

    def by(self, plan: Plan, regular: Regular, turn: Turn) -> bytes:
        """Answer as planned."""
        form = plan.form
        if form is None:
            return _ALONE
        rng = self._rng
        far = b""
        if plan.is_general:
            own, other = self._others(regular)
            near = own.sample(plan.near, rng)
            if plan.far is not None:
                far = other.sample(plan.far, rng)
        else:
            index, standing = regular.index, regular.standing
            near = sample_beside(plan.near_pools, plan.near, standing, index, rng)
            if plan.far is not None:
                far_side = regular.swarm.sides[1 - regular.family]
                far = sample_beside(far_side.pools, plan.far, *self._twin(regular), rng)
        peers, peers6 = (near, far) if regular.family is _V4 else (far, near)
        if plan.fleet is not None:
            peers, peers6 = plan.fleet[0] + peers, plan.fleet[1] + peers6
        return form.filled(turn.encoded, regular.own[_ADDRESS_AT:-2], peers, peers6)

    def _drawn(self, hurried: bool) -> Turn:
        turns = self._hurried if hurried else self._calm
        return turns[int(self._rng.random() * _TURNS)]

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
        return Plan(
            near=(near.leechers, near.complete, near.central),
            near_pools=swarm.sides[regular.family].pools,
            far=(far.leechers, far.complete, far.central) if far.total else None,
            fleet=fleet,
            hurried_until_s=self._pace.hurried_until_s(len(swarm), swarm.leeching_since_s),
            form=None if alone else self._form(swarm, regular.address),
            is_general=any(side.further for side in swarm.sides),
        )

    def _others(self, regular: Regular) -> tuple[Others, Others]:
        """Everybody else: of the asker's own address family, and of the other one."""
        owner = regular.member.owner
        return (
            regular.swarm.others(owner, regular.family),
            regular.swarm.others(owner, _V6 if regular.family is _V4 else _V4),
        )

    @staticmethod
    def _twin(regular: Regular) -> tuple[Standing | None, int]:
        """Standing (None: none) and index of the owner's first peer in the other family."""
        far_side = regular.swarm.sides[1 - regular.family]
        position = far_side.positions.get(regular.slot[:OWNER_BYTES])
        if position is None:
            return None, 0
        return STANDINGS[position & STANDING_MASK], position >> STANDING_BITS

    @staticmethod
    def _form(swarm: Swarm, address: bytes) -> ResponseForm:
        leechers, complete, central = swarm.counts
        return ResponseForm(
            complete=complete + central, incomplete=leechers, address_bytes=len(address)
        )
