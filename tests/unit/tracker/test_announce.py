import ipaddress
import random

import pytest
from cryptography.hazmat.primitives import serialization

from client_lib.errors import AnnounceRefused
from client_lib.wire.announce import AnnounceRequest, Event, PeerId
from client_lib.wire.announce_answer import AnnounceResponse, Peer
from client_lib.wire.certificates import Identity, LicenceIdentity, SeederIdentity
from client_lib.wire.conventions import NO_SOURCE
from client_lib.wire.infohash import InfoHash
from tests.pki import SwarmPki, licence_identity, utc_now
from tracker.accounting.tally import Tally
from tracker.announce import Announcer
from tracker.swarms.handout import Pace
from tracker.swarms.peers import Standing
from tracker.swarms.swarms import Swarms
from tracker.trust.admission import Admission

NOW_S = utc_now().timestamp()
PKI = SwarmPki()
HASH = licence_identity().info_hash.truncated
SEEDER = SeederIdentity("origin")


ALONE = AnnounceResponse(0, 0, 0, 1, ())
"""Stands for the refusal that a leecher gets who is alone in a swarm."""


class Revoked(set[int]):
    def is_current(self, now_s: float) -> bool:
        return True

    def is_revoked(self, serial: int) -> bool:
        return serial in self

    @property
    def version(self) -> object:
        return object()


class Tracker:
    """An announcer, and members with certificates who announce to it."""

    def __init__(self, max_numwant: int = 200) -> None:
        self.revoked = Revoked()
        self.tally = Tally()
        self.swarms = Swarms()
        self.announcer = Announcer(
            admission=Admission(PKI.ca),
            revocations=self.revoked,
            accounting=self.tally,
            swarms=self.swarms,
            pace=Pace(jitter=0.0),
            default_numwant=50,
            max_numwant=max_numwant,
            copies_wanted=3,
            rng=random.Random(1),
        )
        self.serials: dict[Identity, int] = {}
        self.ders: dict[Identity, bytes] = {}

    def announce(
        self,
        who: LicenceIdentity | SeederIdentity,
        *,
        address: str = "10.0.0.1",
        port: int = 6881,
        left_bytes: int = 1,
        event: Event = Event.REGULAR,
        numwant: int | None = None,
        key: bytes = b"key",
        now_s: float = NOW_S,
        extra_query: bytes = b"",
    ) -> AnnounceResponse:
        if who not in self.ders:
            certificate = PKI.issue(who).certificate
            self.serials[who] = certificate.serial_number
            self.ders[who] = certificate.public_bytes(serialization.Encoding.DER)
        request = AnnounceRequest(
            HASH, PeerId(b"p" * 20), port, 0, 0, left_bytes, event, numwant, key
        )
        answer = self.announcer.answer(
            self.ders[who],
            who.licence_id if isinstance(who, LicenceIdentity) else who.seeder_id,
            request.to_query() + extra_query,
            ipaddress.ip_address(address).packed,
            now_s,
        )
        try:
            return AnnounceResponse.decode(answer)
        except AnnounceRefused as refused:
            if refused.reason.startswith(NO_SOURCE) and refused.retry_in_s == 60:
                return ALONE
            raise


def customer(number: int) -> LicenceIdentity:
    return licence_identity(number=number)


def peer(address: str, port: int = 6881) -> Peer:
    return Peer(ipaddress.ip_address(address), port)


def test_customers_of_one_swarm_learn_of_each_other_and_of_the_seeder() -> None:
    tracker = Tracker()
    assert tracker.announce(SEEDER, address="10.0.0.9", left_bytes=0).peers == ()
    first = tracker.announce(customer(1), address="10.0.0.1")
    assert first.peers == (peer("10.0.0.9"),)
    second = tracker.announce(customer(2), address="10.0.0.2")
    assert set(second.peers) == {peer("10.0.0.9"), peer("10.0.0.1")}
    assert (second.complete, second.incomplete) == (1, 2)
    assert second.external_address == ipaddress.ip_address("10.0.0.2")


def test_a_licence_is_never_told_of_itself() -> None:
    tracker = Tracker()
    for number in range(3):
        tracker.announce(customer(1), address=f"10.0.0.{number}", key=b"%d" % number)
    assert tracker.announce(customer(1), key=b"0").peers == ()
    assert tracker.announce(customer(1), key=b"0", address="fd00::1").peers == ()


def test_at_most_three_peers_of_one_licence_are_alive() -> None:
    tracker = Tracker()
    for number in range(5):
        tracker.announce(
            customer(1), address=f"10.0.0.{number}", key=b"%d" % number, now_s=NOW_S + number
        )
    told = tracker.announce(customer(2), address="10.0.1.1").peers
    assert set(told) == {peer("10.0.0.2"), peer("10.0.0.3"), peer("10.0.0.4")}


def test_a_client_that_announces_from_a_changed_port_keeps_one_entry() -> None:
    tracker = Tracker()
    tracker.announce(customer(1), port=6881)
    tracker.announce(customer(1), port=7000)
    response = tracker.announce(customer(2), address="10.0.0.2")
    assert response.peers == (peer("10.0.0.1", 7000),)
    assert response.incomplete == 2


def test_a_dual_stack_client_is_one_peer_with_two_addresses() -> None:
    tracker = Tracker()
    tracker.announce(customer(1), address="10.0.0.1")
    tracker.announce(customer(1), address="fd00::1")
    response = tracker.announce(customer(2), address="fd00::2")
    assert set(response.peers) == {peer("10.0.0.1"), peer("fd00::1")}
    assert response.incomplete == 2


def test_completed_moves_and_stopped_removes() -> None:
    tracker = Tracker()
    tracker.announce(customer(1), event=Event.STARTED)
    done = tracker.announce(customer(1), left_bytes=0, event=Event.COMPLETED)
    assert (done.complete, done.incomplete) == (1, 0)
    seeder = tracker.announce(SEEDER, address="10.0.0.9", left_bytes=0)
    assert seeder.peers == ()  # two complete peers have nothing for each other
    gone = tracker.announce(customer(1), left_bytes=0, event=Event.STOPPED)
    assert (gone.complete, gone.peers) == (1, ())
    assert tracker.announce(customer(2), address="10.0.0.2").peers == (peer("10.0.0.9"),)


def test_stopping_what_never_started_makes_no_swarm() -> None:
    tracker = Tracker()
    tracker.announce(customer(1), event=Event.STOPPED)
    assert len(tracker.swarms) == 0


def test_numwant_is_heeded_up_to_the_maximum() -> None:
    tracker = Tracker(max_numwant=60)
    for number in range(1, 100):
        tracker.announce(customer(number), address=f"10.0.1.{number}", numwant=0)

    def told(numwant: int | None) -> int:
        return len(tracker.announce(customer(200), numwant=numwant).peers)

    assert [told(n) for n in (None, 0, 7, 1000)] == [50, 0, 7, 60]


def test_a_leecher_without_any_source_is_registered_and_told_to_come_back_soon() -> None:
    tracker = Tracker()
    assert tracker.announce(customer(1)) is ALONE
    assert tracker.announce(customer(1), address="fd00::1") is ALONE  # the same one
    assert tracker.tally.counts == {"admitted_licence": 2}
    other = tracker.announce(customer(2), address="10.0.0.2")
    assert set(other.peers) == {peer("10.0.0.1"), peer("fd00::1")}
    assert tracker.announce(customer(1)).peers == (peer("10.0.0.2"),)


def test_who_is_complete_or_leaves_needs_no_source() -> None:
    tracker = Tracker()
    assert tracker.announce(customer(1), left_bytes=0).complete == 1
    assert tracker.announce(customer(1), left_bytes=0, event=Event.STOPPED).complete == 0
    assert tracker.announce(customer(2), event=Event.STOPPED).peers == ()
    assert tracker.announce(SEEDER, left_bytes=0).peers == ()


def test_the_first_leecher_is_asked_to_come_back_soon() -> None:
    tracker = Tracker()
    assert tracker.announce(SEEDER, left_bytes=0).interval_s == 1800
    assert tracker.announce(customer(1)).interval_s == 30


def test_a_silent_peer_is_forgotten_after_two_missed_announces() -> None:
    tracker = Tracker()
    tracker.announce(SEEDER, left_bytes=0)
    for after_s, swarms in ((3600, 1), (3700, 0)):
        tracker.swarms.expire(HASH, NOW_S + after_s)
        assert len(tracker.swarms) == swarms


def test_a_revoked_licence_is_refused_and_its_peers_are_handed_out_no_more() -> None:
    tracker = Tracker()
    tracker.announce(customer(1), address="10.0.0.1")
    assert tracker.announce(customer(2), address="10.0.0.2").peers
    tracker.revoked.add(tracker.serials[customer(1)])
    expelled: list[tuple[bytes, list[bytes]]] = []
    tracker.announcer.on_expelled = lambda *swarm_and_entries: expelled.append(swarm_and_entries)
    tracker.announcer.expel(tracker.revoked)
    assert expelled == [(HASH, [peer("10.0.0.1").compact])]
    response = tracker.announce(customer(2), address="10.0.0.2")
    assert (response.peers, response.incomplete) == ((), 1)
    with pytest.raises(AnnounceRefused, match=r"^revoked: ") as refused:
        tracker.announce(customer(1))
    assert refused.value.retry_in_s is None
    assert tracker.tally.counts["refused_revoked"] == 1


def test_a_revoked_seeder_leaves_every_swarm() -> None:
    tracker = Tracker()
    tracker.announce(SEEDER, left_bytes=0)
    swarm = tracker.swarms.get(HASH)
    assert swarm is not None
    assert swarm.count(Standing.CENTRAL) == 1
    tracker.announcer.expel({tracker.serials[SEEDER]})
    assert tracker.swarms.get(HASH) is None


def test_a_malformed_announce_is_told_what_is_wrong_and_leaves_no_trace() -> None:
    tracker = Tracker()
    with pytest.raises(AnnounceRefused, match=r"^malformed: left given twice"):
        tracker.announce(customer(1), extra_query=b"&left=0")
    assert len(tracker.swarms) == 0
    assert tracker.tally.counts == {"refused_malformed": 1}


def test_another_swarm_s_licence_is_told_nothing() -> None:
    tracker = Tracker()
    tracker.announce(customer(1))
    stranger = licence_identity(info=b"d1:x1:ye", number=9)
    assert stranger.info_hash != InfoHash.of(b"de")
    with pytest.raises(AnnounceRefused, match=r"^other-swarm: "):
        tracker.announce(stranger)
