from collections import Counter

from client_lib.wire.infohash import InfoHash
from client_lib.wire.licence import licence_id_from
from licensing.trackers import announce_tiers

TRACKERS = tuple(f"https://t{number}.example:8444" for number in range(4))
SWARMS = [InfoHash.of(number.to_bytes(2, "big")) for number in range(2_000)]
ALICE, BOB = (licence_id_from(bytes([number]) * 16) for number in (1, 2))


def hosts(trackers: tuple[str, ...], swarm: InfoHash) -> list[str]:
    return [url.split("/announce/")[0] for (url,) in announce_tiers(trackers, swarm, ALICE)]


def test_customers_of_a_swarm_meet_at_the_same_trackers_in_the_same_order() -> None:
    for swarm in SWARMS[:50]:
        alice, bob = (announce_tiers(TRACKERS, swarm, who) for who in (ALICE, BOB))
        assert [(url.replace(ALICE, BOB),) for (url,) in alice] == list(bob)
        assert sorted(hosts(TRACKERS, swarm)) == sorted(TRACKERS)
        # The order of the configuration file does not matter.
        assert hosts(TRACKERS[::-1], swarm) == hosts(TRACKERS, swarm)


def test_swarms_spread_evenly() -> None:
    first = Counter(hosts(TRACKERS, swarm)[0] for swarm in SWARMS)
    assert all(400 < count < 600 for count in first.values())


def test_lost_tracker_moves_only_its_own_swarms_to_their_next_tier() -> None:
    left = TRACKERS[1:]
    for swarm in SWARMS:
        assert hosts(left, swarm) == [url for url in hosts(TRACKERS, swarm) if url in left]
