import contextlib
import hashlib
from collections.abc import AsyncIterator

import pytest
import trio
import trio.testing
from hypothesis import given
from hypothesis import strategies as st

from client_lib.wire.announce import PeerId
from client_lib.wire.demand import Demand, DemandQuery, SwarmDemand
from client_lib.wire.infohash import TruncatedInfoHash
from tests.patience import PATIENCE_S
from tracker.fleet.feed import COLD_KEPT_S, MOST_REVOKED, REVOKED_KEPT_S, DemandFeed
from tracker.fleet.needs import needs, worth_telling
from tracker.fleet.nodes import SILENCE_S, Fleet
from tracker.swarms.peers import OWNER_BYTES, Family, Owner, Standing, client_tag
from tracker.swarms.swarms import Swarms

KEY = b"8D0C3C2A"
TAG = client_tag(PeerId(b"p" * 20), KEY)
V4, V6 = bytes([192, 0, 2, 1, 26, 225]), bytes(15) + b"\1\x1a\xe1"


def swarm(number: int) -> TruncatedInfoHash:
    return TruncatedInfoHash(hashlib.sha256(b"swarm%d" % number).digest()[:20])


def owner(number: int) -> Owner:
    return Owner(hashlib.sha256(b"owner%d" % number).digest()[:OWNER_BYTES])


class World:
    """Swarms, what their leechers have left, and a feed on the test's clock."""

    def __init__(self) -> None:
        self.swarms, self.fleet = Swarms(), Fleet()
        self.left: dict[tuple[Owner, TruncatedInfoHash], int] = {}
        self.feed = DemandFeed(
            self.swarms,
            self.fleet,
            lambda who, where, client: self.left.get((who, where)),
            clock=lambda: 1e9 + trio.current_time(),
        )
        self.swarms.on_change = self.feed.swarm_changed

    def put(
        self,
        where: int,
        who: int,
        *,
        left: int = 0,
        standing: Standing | None = None,
        entry: bytes = V4,
    ) -> None:
        self.left[owner(who), swarm(where)] = left
        standing = standing or (Standing.LEECHER if left else Standing.COMPLETE)
        self.swarms.put(
            swarm(where), owner(who), TAG, entry, standing, limit=3, deadline_s=2**31, now_s=0
        )

    def gone(self, where: int, who: int) -> None:
        self.swarms.remove(swarm(where), owner(who), TAG, Family.V4)

    async def after(self, version: int) -> Demand:
        with trio.fail_after(1.0):
            await self.feed.changed_since(version)
        return self.feed.since(version)


@contextlib.asynccontextmanager
async def running() -> AsyncIterator[World]:
    world = World()
    async with trio.open_nursery() as nursery:
        nursery.start_soon(world.feed.run)
        yield world
        nursery.cancel_scope.cancel()


async def test_changes_are_told_within_a_second_and_only_once(
    autojump_clock: trio.testing.MockClock,
) -> None:
    async with running() as world:
        start = world.feed.version
        world.put(1, 1, left=100)
        world.put(1, 2)
        world.put(2, 3, standing=Standing.CENTRAL)
        told = await world.after(start)
        assert told.swarms == (SwarmDemand(swarm(1).hex(), 1, 1, 0, 100, 100),)
        assert not told.full
        with pytest.raises(trio.TooSlowError):
            await world.after(told.version)
        world.put(3, 4, left=50)
        later = await world.after(told.version)
        assert [each.info_hash for each in later.swarms] == [swarm(3).hex()]
        both = world.feed.since(start)
        assert {each.info_hash for each in both.swarms} == {swarm(1).hex(), swarm(3).hex()}


async def test_a_swarm_that_lost_its_last_leecher_is_cold(
    autojump_clock: trio.testing.MockClock,
) -> None:
    async with running() as world:
        world.put(1, 1, left=100)
        told = await world.after(world.feed.version)
        world.put(1, 1)  # complete now
        cold = await world.after(told.version)
        assert (cold.swarms, cold.cold) == ((), (swarm(1).hex(),))
        world.put(1, 2, left=5)
        hot = await world.after(cold.version)
        assert (len(hot.swarms), hot.cold) == (1, ())
        world.gone(1, 2)
        world.gone(1, 1)
        gone = await world.after(hot.version)
        assert (gone.swarms, gone.cold) == ((), (swarm(1).hex(),))
        await trio.sleep(COLD_KEPT_S + 5)
        assert world.feed.since(0).cold == ()
        # Who knows of nothing since then would never hear that it became cold: all of it, then.
        assert world.feed.since(hot.version).full


async def test_strange_versions_get_all_there_is(autojump_clock: trio.testing.MockClock) -> None:
    async with running() as world:
        world.put(1, 1, left=100)
        told = await world.after(world.feed.version)
        for version in (0, told.version + 10**6, 12_345):
            await world.after(version)
            everything = world.feed.since(version)
            assert everything.full
            assert everything.swarms == told.swarms


async def test_what_leechers_have_left_is_told_as_it_falls(
    autojump_clock: trio.testing.MockClock,
) -> None:
    async with running() as world:
        world.put(1, 1, left=1_000)
        told = await world.after(world.feed.version)
        world.left[owner(1), swarm(1)] = 400  # an announce that changes no count
        with trio.fail_after(PATIENCE_S):
            await world.feed.changed_since(told.version)
        (demand,) = world.feed.since(told.version).swarms
        assert demand.left_bytes == 400


async def test_many_swarms_are_measured_again_a_few_at_a_time(
    autojump_clock: trio.testing.MockClock,
) -> None:
    async with running() as world:
        start = world.feed.version
        for number in range(300):
            world.put(number, number, left=1_000)
        told = await world.after(start)
        while len(world.feed.since(start).swarms) < 300:
            told = await world.after(told.version)
        world.left = dict.fromkeys(world.left, 400)
        heard: set[str] = set()
        while len(heard) < 300:
            with trio.fail_after(PATIENCE_S):
                await world.feed.changed_since(told.version)
            told = world.feed.since(told.version)
            fresh = {each.info_hash for each in told.swarms}
            assert len(fresh) <= 30
            assert not fresh & heard
            heard |= fresh


async def test_revoked_peers_are_told_for_an_hour(autojump_clock: trio.testing.MockClock) -> None:
    async with running() as world:
        start = world.feed.version
        world.feed.peers_expelled(swarm(1), [V4, V6])
        told = await world.after(start)
        assert [(peer.address, peer.port) for peer in told.revoked] == [
            ("192.0.2.1", 6881),
            ("::1", 6881),
        ]
        assert world.feed.since(told.version).revoked == ()
        await trio.sleep(REVOKED_KEPT_S + 5)
        assert world.feed.since(0).revoked == ()
        for number in range(MOST_REVOKED + 1):
            world.feed.peers_expelled(swarm(number), [V4])
        assert len(world.feed.since(0).revoked) == MOST_REVOKED
        assert world.feed.since(told.version).full


async def test_a_seeder_that_goes_silent_leaves_the_fleet(
    autojump_clock: trio.testing.MockClock,
) -> None:
    async with running() as world:
        now_s = 1e9 + trio.current_time()
        world.fleet.begin("a", DemandQuery(port=1, capacity=1), "192.0.2.1", now_s)
        world.feed.fleet_changed()
        version = world.feed.version
        world.fleet.end("a", now_s)
        with trio.fail_after(SILENCE_S + 2):
            await world.feed.changed_since(version)
        assert world.feed.since(version).fleet == ()


def test_a_dual_stack_leecher_lacks_its_bytes_once() -> None:
    swarms = Swarms()
    for who, entry in ((1, V4), (1, V6), (2, V4)):
        swarms.put(
            swarm(1), owner(who), TAG, entry, Standing.LEECHER, limit=3, deadline_s=9, now_s=0
        )
    there = swarms.get(swarm(1))
    assert there is not None
    left = {owner(1): 100, owner(2): 300}
    demand = needs(swarm(1), there, lambda who, where, client: left[who])
    assert demand == SwarmDemand(swarm(1).hex(), 2, 0, 0, 400, 300)
    unknown = needs(swarm(1), there, lambda who, where, client: None)
    assert (unknown.left_bytes, unknown.largest_left_bytes) == (0, 0)


def test_a_large_swarm_is_estimated_from_a_part() -> None:
    swarms = Swarms()
    for who in range(1_000):
        swarms.put(swarm(1), owner(who), TAG, V4, Standing.LEECHER, limit=3, deadline_s=9, now_s=0)
    there = swarms.get(swarm(1))
    assert there is not None
    asked: list[Owner] = []

    def left_bytes(who: Owner, where: TruncatedInfoHash, client: bytes) -> int:
        asked.append(who)
        return 7

    assert needs(swarm(1), there, left_bytes).left_bytes == 7_000
    assert 32 <= len(asked) <= 64
    assert asked[0] == owner(999)  # the newest, who lacks most


@given(*[st.integers(0, 2**50)] * 2)
def test_small_progress_is_not_worth_telling(before: int, now: int) -> None:
    old, new = (SwarmDemand("12" * 20, 1, 0, 0, left, left) for left in (before, now))
    assert worth_telling(old, new) == (abs(before - now) * 8 > before)
    assert worth_telling(None, new)
