import msgspec
from hypothesis import given
from hypothesis import strategies as st

from client_lib.wire.demand import Demand, FleetMember, SwarmDemand
from seeder.draining import needs_node
from seeder.fleet import Fleet, TrackerView
from seeder.spread import Customer

SWARM = "0" * 40
FLOOR = 100_000.0


def customer(*, missing: int = 3, given: frozenset[int] = frozenset(), gain: float = 0) -> Customer:
    return Customer(bytearray(3), missing, given=set(given), elsewhere_bytes_s=gain)


def test_who_gains_enough_from_others_needs_us_no_more() -> None:
    assert needs_node(customer(), FLOOR, alone=False)
    assert needs_node(customer(gain=FLOOR - 1), FLOOR, alone=False)
    assert not needs_node(customer(gain=FLOOR), FLOOR, alone=False)
    assert needs_node(customer(gain=FLOOR, given=frozenset({1})), FLOOR, alone=False)
    assert needs_node(customer(gain=FLOOR), FLOOR, alone=True)
    assert needs_node(customer(), 0, alone=False)  # no floor is no reason to let anybody starve


@given(st.floats(0, 1e9), st.booleans())
def test_who_is_complete_needs_nobody(gain: float, alone: bool) -> None:
    assert not needs_node(customer(missing=0, gain=gain), FLOOR, alone=alone)


def fleet_of(*members: FleetMember) -> Fleet:
    fleet = Fleet("a", 6881, 0, ("https://t",))
    view = fleet.views["https://t"] = TrackerView()
    swarm = SwarmDemand(SWARM, 1, 0, 0, 1, 1)
    view.take(Demand(1, True, members, (swarm,), (), ()))
    return fleet


def member(seeder_id: str, *, draining: bool = False) -> FleetMember:
    return FleetMember(seeder_id, ("192.0.2.1",), 6881, 100, draining, 1)


def test_others_take_over_what_a_draining_node_served() -> None:
    fleet = fleet_of(member("a"), member("b"))
    before = {name: Fleet(name, 1, 0, (), views=fleet.views).share(SWARM) for name in "ab"}
    assert sorted(map(str, before.values())) == ["(0, 1)", "None"]
    fleet.set_draining(draining=True)
    assert not fleet.alone
    assert fleet.share(SWARM) is None
    other = Fleet("b", 1, 0, (), views=fleet_of(member("a", draining=True), member("b")).views)
    assert other.share(SWARM) == (0, 1)


def test_the_last_of_a_fleet_goes_on_serving_those_who_are_there() -> None:
    for members in ((member("a"),), (member("a"), member("b", draining=True)), ()):
        fleet = fleet_of(*members)
        fleet.set_draining(draining=True)
        assert fleet.alone
    last = fleet_of(member("a"))
    last.set_draining(draining=True)
    assert last.share(SWARM) == (0, 1)
    both = fleet_of(member("a"), member("b", draining=True))
    both.set_draining(draining=True)
    shares = {both.share(SWARM), Fleet("b", 1, 0, (), draining=True, views=both.views).share(SWARM)}
    assert shares == {(0, 1), None}


def test_a_node_waits_until_the_trackers_that_answer_know() -> None:
    fleet = fleet_of(member("a"))
    view = fleet.views["https://t"]
    view.trouble = None
    assert fleet.told
    fleet.set_draining(draining=True)
    assert not fleet.told
    view.knows_draining = True
    assert fleet.told
    view.knows_draining, view.trouble = False, "away"
    assert fleet.told
    assert msgspec.structs.asdict(fleet.members[0])["draining"] is True
