import contextlib
import ipaddress
import random
import tracemalloc
import zlib
from collections import Counter

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule

from client_lib.wire.announce import PeerId
from client_lib.wire.infohash import TruncatedInfoHash
from tests.bench.tracker.memory import filled
from tracker.swarms.peers import OWNER_BYTES, ClientTag, Family, Owner, Standing, client_tag
from tracker.swarms.swarm import Swarm
from tracker.swarms.swarms import Swarms

HASH = TruncatedInfoHash(b"h" * 20)
OTHER_HASH = TruncatedInfoHash(b"o" * 20)
LIMIT = 3
owners = st.integers(1, 5).map(lambda n: Owner(bytes([n]) * OWNER_BYTES))
clients = st.integers(1, 5).map(lambda n: ClientTag(bytes([n]) * 8))
families = st.sampled_from(Family)
standings = st.sampled_from(Standing)


RNG = random.Random(7)


def entry(number: int, family: Family = Family.V4) -> bytes:
    base = 0x0A000000 if family is Family.V4 else 0xFD << 120
    return ipaddress.ip_address(base + number).packed + (6881).to_bytes(2, "big")


def put(
    swarm: Swarm,
    owner: int,
    *,
    client: int = 1,
    at: bytes | None = None,
    standing: Standing = Standing.LEECHER,
    deadline_s: int = 100,
    now_s: float = 0,
) -> bytes:
    """Put a client of `owner`; by default at an address of its own."""
    at = at or entry(owner * 100 + client)
    tag = ClientTag(bytes([client]) * 8)
    swarm.put(
        Owner(owner.to_bytes(OWNER_BYTES, "big")),
        tag,
        at,
        standing,
        limit=LIMIT,
        deadline_s=deadline_s,
        now_s=now_s,
    )
    return at


def seen_by(swarm: Swarm, owner: Owner, family: Family = Family.V4) -> Counter[bytes]:
    """All entries that `owner` could be told about."""
    size = 6 if family is Family.V4 else 18
    others = swarm.others(owner, family)
    found = others.sample((1000, 1000, 1000), RNG)
    return Counter(found[i : i + size] for i in range(0, len(found), size))


NOBODY = Owner(b"\xff" * OWNER_BYTES)


class SwarmMachine(RuleBasedStateMachine):
    """The store against a plain dictionary: (owner, client, family) -> entry, deadline."""

    def __init__(self) -> None:
        super().__init__()
        self.swarm = Swarm()
        self.entries: dict[tuple[Owner, ClientTag, Family], tuple[bytes, int]] = {}
        self.standing: dict[tuple[Owner, ClientTag], Standing] = {}
        self.number = 0

    @rule(owner=owners, client=clients, family=families, standing=standings)
    def announce(self, owner: Owner, client: ClientTag, family: Family, standing: Standing) -> None:
        self.number += 1
        where = entry(self.number, family)
        mine = [k for k in self.entries if k[0] == owner and k[2] == family]
        if (owner, client, family) not in self.entries and len(mine) == LIMIT:
            del self.entries[min(mine, key=lambda k: self.entries[k][1])]
        self.entries[owner, client, family] = (where, self.number)
        self.standing[owner, client] = standing
        self.swarm.put(owner, client, where, standing, limit=LIMIT, deadline_s=self.number, now_s=0)

    @rule(owner=owners, client=clients, family=families)
    def stop(self, owner: Owner, client: ClientTag, family: Family) -> None:
        self.entries.pop((owner, client, family), None)
        self.swarm.remove(owner, client, family)

    @rule(owner=owners)
    def expel(self, owner: Owner) -> None:
        self.entries = {k: v for k, v in self.entries.items() if k[0] != owner}
        self.swarm.remove_owner(owner)

    @rule(back=st.integers(0, 10))
    def expire(self, back: int) -> None:
        now_s = self.number - back
        self.entries = {k: v for k, v in self.entries.items() if v[1] > now_s}
        self.swarm.expire(now_s)

    @rule()
    def restart(self) -> None:
        self.swarm = Swarm.load(self.swarm.dump(), 0)

    @invariant()
    def every_peer_counts_once(self) -> None:
        peers = {(owner, client) for owner, client, _ in self.entries}
        expected = Counter(self.standing[peer] for peer in peers)
        assert {s: self.swarm.count(s) for s in Standing} == {s: expected[s] for s in Standing}

    @invariant()
    def everybody_is_told_of_everybody_else(self) -> None:
        for asker in (NOBODY, Owner(bytes([1]) * OWNER_BYTES)):
            for family in Family:
                assert seen_by(self.swarm, asker, family) == Counter(
                    where
                    for (owner, _, f), (where, _) in self.entries.items()
                    if f == family and owner != asker
                )


TestSwarm = SwarmMachine.TestCase
TestSwarm.settings = settings(max_examples=60, stateful_step_count=30, deadline=None)


def test_a_sample_is_of_the_wanted_size_and_without_repetition() -> None:
    swarm = Swarm()
    everyone = {put(swarm, owner) for owner in range(1, 41)}
    told = set()
    for _ in range(200):
        found = swarm.others(Owner((5).to_bytes(OWNER_BYTES, "big")), Family.V4).sample(
            (10, 0, 0), RNG
        )
        peers = {found[i : i + 6] for i in range(0, len(found), 6)}
        assert len(peers) == 10
        told |= peers
    assert told == everyone - {entry(501)}


def test_a_client_with_a_new_port_or_address_keeps_one_entry() -> None:
    swarm = Swarm()
    put(swarm, 1, at=entry(1))
    moved = put(swarm, 1, at=entry(2))
    assert seen_by(swarm, NOBODY) == {moved: 1}


def test_a_client_is_known_by_its_key_and_otherwise_by_its_peer_id() -> None:
    first, second = PeerId(b"-LT2110-aaaaaaaaaaaa"), PeerId(b"-LT2110-bbbbbbbbbbbb")
    assert client_tag(first, b"8D0C3C2A") == client_tag(second, b"8D0C3C2A")
    assert client_tag(first, b"8D0C3C2A") != client_tag(first, b"8D0C3C2B")
    assert client_tag(first, None) != client_tag(second, None)
    assert client_tag(first, None) == client_tag(first, b"")


def test_a_completed_peer_counts_once_however_often_it_says_so() -> None:
    swarm = Swarm()
    for standing in (Standing.LEECHER, Standing.COMPLETE, Standing.COMPLETE):
        put(swarm, 1, standing=standing)
    assert swarm.completions == 1
    put(swarm, 2, standing=Standing.COMPLETE)  # it came complete
    assert swarm.completions == 1


def test_a_swarm_is_leeching_from_its_first_leecher_to_its_last() -> None:
    swarm = Swarm()
    put(swarm, 1, standing=Standing.CENTRAL, now_s=5)
    assert swarm.leeching_since_s is None
    put(swarm, 2, now_s=10)
    put(swarm, 3, now_s=20)
    assert swarm.leeching_since_s == 10
    put(swarm, 2, standing=Standing.COMPLETE, now_s=30)
    assert swarm.leeching_since_s == 10
    put(swarm, 3, standing=Standing.COMPLETE, now_s=40)
    assert swarm.leeching_since_s is None


def register(swarms: Swarms, owner: int = 1, *, deadline_s: int = 100, client: int = 1) -> None:
    swarms.put(
        HASH,
        Owner(owner.to_bytes(OWNER_BYTES, "big")),
        ClientTag(bytes([client]) * 8),
        entry(owner),
        Standing.LEECHER,
        limit=LIMIT,
        deadline_s=deadline_s,
        now_s=0,
    )


def test_a_dump_holds_all_that_a_restart_must_know() -> None:
    swarm = Swarm()
    put(swarm, 1, standing=Standing.LEECHER, now_s=7, deadline_s=50)
    put(swarm, 1, client=2, at=entry(9, Family.V6), deadline_s=60, now_s=8)
    put(swarm, 2, standing=Standing.LEECHER, deadline_s=60, now_s=9)
    put(swarm, 2, standing=Standing.COMPLETE, deadline_s=60, now_s=9)
    loaded = Swarm.load(swarm.dump(), 10)
    assert loaded.counts == swarm.counts == [2, 1, 0]
    assert (loaded.completions, loaded.leeching_since_s) == (1, 7)
    assert loaded.dump() == swarm.dump()
    later = Swarm.load(swarm.dump(), 50)
    assert later.counts == [1, 1, 0]  # the first one's time has passed
    put(later, 1, deadline_s=99)  # it comes back, and is told apart from its sibling
    assert later.counts == [2, 1, 0]
    assert Swarm.load(swarm.dump(), 60).leeching_since_s is None


@given(st.binary(max_size=300))
def test_rubbish_is_no_dump(data: bytes) -> None:
    for rubbish in (data, b"ASW1" + data):
        with pytest.raises(ValueError, match=r"dump|cut off"):
            Swarm.load(rubbish, 0)


@given(st.data())
def test_a_damaged_dump_is_refused(data: st.DataObject) -> None:
    swarm = Swarm()
    for owner in range(1, 4):
        put(swarm, owner)
    dump = bytearray(swarm.dump())
    at = data.draw(st.integers(0, len(dump) - 1))
    dump[at] ^= data.draw(st.integers(1, 255))
    with pytest.raises(ValueError, match="dump"):
        Swarm.load(bytes(dump), 0)


@given(st.data())
def test_a_dump_that_contradicts_itself_is_refused_whatever_its_checksum(
    data: st.DataObject,
) -> None:
    swarm = Swarm()
    for owner in range(1, 4):
        put(swarm, owner, client=1)
        put(swarm, owner, client=2)
    body = bytearray(swarm.dump()[:-4])
    at = data.draw(st.integers(4, len(body) - 1))
    body[at] ^= data.draw(st.integers(1, 255))
    with contextlib.suppress(ValueError):
        loaded = Swarm.load(bytes(body) + zlib.crc32(body).to_bytes(4, "little"), 0)
        assert len(loaded) <= 6
        assert Swarm.load(loaded.dump(), 0).counts == loaded.counts


def test_the_snapshot_and_the_demand_feed_learn_of_changes() -> None:
    swarms = Swarms()
    changes: list[TruncatedInfoHash] = []
    swarms.on_change = changes.append
    register(swarms)
    assert (swarms.take_dirty(), changes) == ({HASH}, [HASH])
    assert swarms.take_dirty() == set()
    register(swarms, deadline_s=200)  # a refreshed deadline is for the snapshot alone
    assert (swarms.take_dirty(), changes) == ({HASH}, [HASH])
    swarms.expire(HASH, 100)
    assert (swarms.take_dirty(), changes) == (set(), [HASH])
    swarms.expire(HASH, 200)
    assert (swarms.take_dirty(), changes, swarms.get(HASH)) == ({HASH}, [HASH] * 2, None)


def test_an_expelled_owner_s_entries_are_named() -> None:
    swarms = Swarms()
    register(swarms)
    register(swarms, 2)
    assert swarms.remove_owner(Owner((1).to_bytes(OWNER_BYTES, "big")), [HASH, OTHER_HASH]) == {
        HASH: [entry(1)]
    }
    assert swarms.peers == 1


def test_a_restored_swarm_is_there_unless_a_younger_one_is() -> None:
    old, swarms = Swarms(), Swarms()
    changes: list[TruncatedInfoHash] = []
    register(old)
    swarms.on_change = changes.append
    dump = old.get(HASH)
    assert dump is not None
    swarms.restore(HASH, Swarm.load(dump.dump(), 0))
    assert (swarms.peers, changes, swarms.take_dirty()) == (1, [HASH], set())
    register(swarms, 2)
    swarms.restore(HASH, Swarm.load(dump.dump(), 0))
    assert swarms.peers == 2
    swarms.restore(OTHER_HASH, Swarm.load(dump.dump(), 1_000))  # everybody in it has gone
    assert swarms.get(OTHER_HASH) is None
    assert OTHER_HASH in swarms.take_dirty()


def test_a_million_peers_take_less_than_200_bytes_each() -> None:
    """Here 20,000, and what Python allocates; `make bench-tracker` has the million and the RSS."""
    tracemalloc.start()
    try:
        before_bytes, _ = tracemalloc.get_traced_memory()
        swarms = filled(20_000)
        after_bytes, _ = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert swarms.peers == 20_000
    assert (after_bytes - before_bytes) / 20_000 < 180


def test_an_empty_swarm_is_forgotten() -> None:
    swarms = Swarms()
    register(swarms)
    swarms.expire(HASH, 99)
    assert (len(swarms), swarms.peers) == (1, 1)
    swarms.expire(HASH, 100)
    assert len(swarms) == 0
    register(swarms, client=4)
    swarms.remove(HASH, Owner((1).to_bytes(OWNER_BYTES, "big")), ClientTag(b"\4" * 8), Family.V4)
    assert swarms.get(HASH) is None
