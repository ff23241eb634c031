import ipaddress
import random
from collections import Counter

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule

from client_lib.wire.announce import PeerId
from client_lib.wire.infohash import TruncatedInfoHash
from tracker.swarms.swarm import ClientTag, Family, Owner, Standing, Swarm, Swarms, client_tag

HASH = TruncatedInfoHash(b"h" * 20)
LIMIT = 3
owners = st.integers(1, 5).map(lambda n: Owner(bytes([n]) * 16))
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
        Owner(owner.to_bytes(16, "big")),
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
    others = swarm.others(owner, family, limit=LIMIT)
    found = b"".join(others.sample(s, 1000, RNG) for s in Standing)
    return Counter(found[i : i + size] for i in range(0, len(found), size))


NOBODY = Owner(b"\xff" * 16)


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
        self.swarm.remove(owner, client, family, limit=LIMIT)

    @rule(owner=owners)
    def expel(self, owner: Owner) -> None:
        self.entries = {k: v for k, v in self.entries.items() if k[0] != owner}
        self.swarm.remove_owner(owner, limit=LIMIT)

    @rule(back=st.integers(0, 10))
    def expire(self, back: int) -> None:
        now_s = self.number - back
        self.entries = {k: v for k, v in self.entries.items() if v[1] > now_s}
        self.swarm.expire(now_s)

    @invariant()
    def every_peer_counts_once(self) -> None:
        peers = {(owner, client) for owner, client, _ in self.entries}
        expected = Counter(self.standing[peer] for peer in peers)
        assert {s: self.swarm.count(s) for s in Standing} == {s: expected[s] for s in Standing}

    @invariant()
    def everybody_is_told_of_everybody_else(self) -> None:
        for asker in (NOBODY, Owner(bytes([1]) * 16)):
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
        found = swarm.others(Owner((5).to_bytes(16, "big")), Family.V4, limit=LIMIT).sample(
            Standing.LEECHER, 10, RNG
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


def test_an_empty_swarm_is_forgotten() -> None:
    swarms = Swarms()
    put(swarms.open(HASH), 1, deadline_s=100)
    swarms.expire(HASH, 99)
    assert (len(swarms), swarms.peers) == (1, 1)
    swarms.expire(HASH, 100)
    assert len(swarms) == 0
    put(swarms.open(HASH), 1, client=4)
    swarms.remove(HASH, Owner((1).to_bytes(16, "big")), ClientTag(b"\4" * 8), Family.V4, limit=3)
    assert swarms.get(HASH) is None
