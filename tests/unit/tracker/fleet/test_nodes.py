from client_lib.wire.demand import DemandQuery, FleetMember
from client_lib.wire.infohash import TruncatedInfoHash
from tracker.fleet.nodes import MAX_NODES, SILENCE_S, Fleet

QUERY = DemandQuery(port=6881, capacity=100)


def test_a_seeder_is_there_while_it_polls_and_for_a_while_after() -> None:
    fleet = Fleet()
    assert fleet.begin("a", QUERY, "192.0.2.1", 0)
    assert not fleet.expire(1_000)
    fleet.end("a", 1_000)
    assert not fleet.begin("a", QUERY, "192.0.2.1", 1_001)
    fleet.end("a", 1_020)
    assert not fleet.expire(1_020 + SILENCE_S)
    assert fleet.expire(1_021 + SILENCE_S)
    assert len(fleet) == 0
    fleet.end("a", 0)  # a poll that outlived its seeder's place is nothing to worry about


def test_the_others_hear_of_what_a_seeder_changes() -> None:
    fleet = Fleet()
    fleet.begin("a", QUERY, "192.0.2.1", 0)
    assert not fleet.begin("a", DemandQuery(port=6881, capacity=100, version=9), "192.0.2.1", 1)
    assert fleet.begin("a", QUERY, "192.0.2.2", 2)
    assert fleet.begin("a", DemandQuery(port=6881, capacity=100, draining=True), "192.0.2.2", 3)
    assert fleet.members() == (FleetMember("a", ("192.0.2.2",), 6881, 100, True, 3),)


def test_there_is_an_end_to_seeders_and_to_polls_of_one() -> None:
    fleet = Fleet()
    for _ in range(4):
        assert fleet.has_room("a")
        fleet.begin("a", QUERY, "192.0.2.1", 0)
    assert not fleet.has_room("a")
    fleet.end("a", 0)
    assert fleet.has_room("a")
    for number in range(MAX_NODES - 1):
        assert fleet.has_room(f"s{number}")
        fleet.begin(f"s{number}", QUERY, "192.0.2.1", 0)
    assert not fleet.has_room("one more")


def test_who_drains_is_handed_out_no_more_even_if_there_is_nobody_else() -> None:
    fleet, swarm = Fleet(), TruncatedInfoHash(bytes(20))
    assert fleet.entries(swarm, 1) is None
    fleet.begin("a", QUERY, "192.0.2.1", 0)
    fleet.begin("b", QUERY, "192.0.2.2", 0)
    both, _ = fleet.entries(swarm, 1) or (b"", b"")
    assert len(both) == 12
    fleet.begin("a", DemandQuery(port=6881, capacity=100, draining=True), "192.0.2.1", 1)
    assert fleet.entries(swarm, 1) == (bytes([192, 0, 2, 2]) + (6881).to_bytes(2, "big"), b"")
    fleet.begin("b", DemandQuery(port=6881, capacity=100, draining=True), "192.0.2.2", 2)
    assert fleet.entries(swarm, 1) == (b"", b"")
