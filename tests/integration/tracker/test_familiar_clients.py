"""A tracker that remembers announces and plans, and one that does not: nobody sees a difference."""

import base64
import contextlib
import random
import socket
from collections.abc import Iterator
from dataclasses import dataclass, field

import pytest
import trio
import trio.testing
from cryptography.hazmat.primitives import serialization
from hypothesis import given, settings
from hypothesis import strategies as st

from client_lib.wire.announce import AnnounceRequest, Event, PeerId
from client_lib.wire.certificates import LicenceIdentity, SeederIdentity
from client_lib.wire.infohash import TruncatedInfoHash
from tests.patience import PATIENCE_S
from tests.pki import SwarmPki, licence_identity, utc_now
from tracker.accounting.tally import Tally
from tracker.announce import Announcer
from tracker.routes import routes, routes_again
from tracker.serving.doors import PlainDoor
from tracker.serving.familiar import Familiar
from tracker.serving.front_end import FrontEnd
from tracker.serving.patience import Patience
from tracker.serving.sender import TrustedProxies
from tracker.swarms.handout import Pace
from tracker.swarms.swarms import Swarms
from tracker.trust.admission import Admission

NOW_S = utc_now().timestamp()
HASH = licence_identity().info_hash.truncated
PKI = SwarmPki()
WHO: tuple[LicenceIdentity | SeederIdentity, ...] = (
    *(licence_identity(number=number) for number in range(3)),
    SeederIdentity("origin"),
)
ISSUED = [PKI.issue(who).certificate for who in WHO]
SERIALS = [certificate.serial_number for certificate in ISSUED]
DERS = [certificate.public_bytes(serialization.Encoding.DER) for certificate in ISSUED]


class Revoked(set[int]):
    current = True

    def is_current(self, now_s: float) -> bool:
        return self.current

    def is_revoked(self, serial: int) -> bool:
        return serial in self

    @property
    def version(self) -> object:
        return object()


class Tracker:
    """The plain front end and an announcer, on a clock of its own."""

    def __init__(self, *, remembers: bool) -> None:
        self.remembers = remembers
        self.now_s = NOW_S
        self.revoked = Revoked()
        self.tally = Tally()
        self.swarms = Swarms()
        self.recognised = 0
        announcer = Announcer(
            admission=Admission(PKI.ca),
            revocations=self.revoked,
            accounting=self.tally,
            swarms=self.swarms,
            pace=Pace(),
            default_numwant=50,
            max_numwant=200,
            copies_wanted=3,
            rng=random.Random(1),
        )
        again = routes_again(announcer, clock=lambda: self.now_s)

        def respond_again(familiar: Familiar, up: int, down: int, left: int) -> bytes | None:
            body = again(familiar, up, down, left) if remembers else None
            self.recognised += body is not None
            return body

        self.front_end = FrontEnd(
            routes(announcer, clock=lambda: self.now_s),
            respond_again=respond_again,
            count=self.tally.count,
            max_connections=10,
            patience=Patience(),
        )
        self.door = PlainDoor(TrustedProxies([]), [])

    def ask(self, request: bytes) -> bytes:
        """All that comes back on a connection of its own."""
        swarm = self.swarms.get(HASH)
        if swarm is not None and not self.remembers:
            swarm.plans.clear()
        ours, theirs = socket.socketpair()
        with ours:
            ours.sendall(request)
            ours.setblocking(False)
            connection = self.door.receive(theirs, socket.AF_UNIX, "", self.front_end)
            if connection is not None:
                connection.close()
            with contextlib.suppress(BlockingIOError, ConnectionResetError):
                return ours.recv(1 << 16)
        return b""


@contextlib.contextmanager
def trackers() -> Iterator[tuple[Tracker, Tracker]]:
    """One that remembers, and one that looks at everything anew."""
    both = Tracker(remembers=True), Tracker(remembers=False)
    try:
        yield both
    finally:
        for tracker in both:
            tracker.front_end.close()


@dataclass(frozen=True)
class Ask:
    """An announce as a proxy hands it on."""

    who: int = 0
    counters: tuple[int, int, int] = (0, 0, 1)
    event: Event = Event.REGULAR
    numwant: int | None = 50
    port: int = 6_881
    address: str = "10.0.0.1"
    key: bytes = b"key"
    order: int = 0
    """Of the fields: any is good."""
    closing: bool = False
    damage: tuple[int, int] | None = None
    """A place, and the byte that is put there."""
    path_of: int | None = None
    """Somebody else's."""

    @property
    def raw(self) -> bytes:
        up, down, left = self.counters
        query = AnnounceRequest(
            TruncatedInfoHash(HASH),
            PeerId(b"p" * 20),
            self.port,
            up,
            down,
            left,
            self.event,
            self.numwant,
            self.key,
        ).to_query()
        who = WHO[self.who if self.path_of is None else self.path_of]
        path = who.licence_id if isinstance(who, LicenceIdentity) else who.seeder_id
        fields = [
            b"Host: x",
            b"Client-Cert: :%b:" % base64.b64encode(DERS[self.who]),
            b"X-Forwarded-For: " + self.address.encode(),
            b"Connection: close" if self.closing else b"Accept: *",
        ]
        random.Random(self.order).shuffle(fields)
        head = b"GET /announce/%b?%b HTTP/1.1\r\n" % (path.encode(), query)
        whole = bytearray(head + b"\r\n".join([*fields, b"", b""]))
        if self.damage is not None:
            place, byte = self.damage
            whole[place % len(whole)] = byte
        return bytes(whole)


@dataclass(frozen=True)
class World:
    """Something happens between two announces."""

    passes_s: float = 0.0
    revoked: frozenset[int] = field(default_factory=frozenset)
    current: bool = True


counts = st.sampled_from((0, 1, 2, 2**31, 10**17, 10**18, 2**63 - 1))
asks = st.builds(
    Ask,
    who=st.integers(0, 3),
    counters=st.tuples(counts, counts, counts),
    event=st.sampled_from((Event.REGULAR, Event.REGULAR, Event.REGULAR, *Event)),
    numwant=st.sampled_from((50, 50, 50, 0, 1, None)),
    port=st.sampled_from((6_881, 6_881, 6_882)),
    address=st.sampled_from(("10.0.0.1", "10.0.0.1", "10.0.0.2", "2001:db8::1")),
    key=st.sampled_from((b"key", b"key", b"other")),
    order=st.integers(0, 2),
    closing=st.booleans(),
    damage=st.none() | st.tuples(st.integers(0, 2_000), st.integers(0, 255)),
    path_of=st.none() | st.none() | st.integers(0, 3),
)
regulars = st.builds(Ask, who=st.integers(0, 2), counters=st.tuples(counts, counts, counts))
worlds = st.builds(
    World,
    passes_s=st.sampled_from((0.0, 60.0, 86_400.0, -7_200.0)),
    revoked=st.frozensets(st.integers(0, 3), max_size=1),
    current=st.booleans(),
)


@given(st.lists(regulars | asks | worlds | st.just(Ask()), max_size=25))
@settings(deadline=None)
def test_a_tracker_that_remembers_says_and_counts_what_one_says_that_does_not(
    steps: list[Ask | World],
) -> None:
    with trackers() as both:
        for step in steps:
            if isinstance(step, Ask):
                answers = [tracker.ask(step.raw) for tracker in both]
                assert answers[0] == answers[1]
            else:
                for tracker in both:
                    tracker.now_s += step.passes_s
                    tracker.revoked.clear()
                    tracker.revoked.update(SERIALS[number] for number in step.revoked)
                    tracker.revoked.current = step.current
                    tracker.swarms.expire(HASH, tracker.now_s)
        one, other = both
        assert one.tally.counts == other.tally.counts
        assert one.swarms.take_dirty() == other.swarms.take_dirty()
        dumps = [swarm and swarm.dump() for swarm in (one.swarms.get(HASH), other.swarms.get(HASH))]
        assert dumps[0] == dumps[1]


async def test_who_takes_its_last_answer_late_gets_all_of_it() -> None:
    ours, theirs = socket.socketpair()
    with trackers() as (tracker, _), ours:
        asked = Ask(closing=True).raw
        expected = [tracker.ask(asked) for _ in range(2)][1]
        ours.sendall(asked)
        theirs.setblocking(False)
        earlier_bytes = 0
        with contextlib.suppress(BlockingIOError):
            while True:
                earlier_bytes += theirs.send(bytes(4_096))
        stop, received = trio.Event(), bytearray()
        async with trio.open_nursery() as nursery:
            nursery.start_soon(tracker.front_end.serve, [], stop)
            await trio.testing.wait_all_tasks_blocked()
            assert tracker.door.receive(theirs, socket.AF_UNIX, "", tracker.front_end) is None
            assert tracker.recognised == 2
            ours.setblocking(False)
            reading = trio.socket.from_stdlib_socket(ours)
            with trio.fail_after(PATIENCE_S):
                while data := await reading.recv(1 << 16):
                    received += data
            stop.set()
        assert received[:earlier_bytes].count(0) == earlier_bytes
        assert len(received) == earlier_bytes + len(expected)
        assert received[earlier_bytes:].startswith(b"HTTP/1.1 200 OK\r\n")


@pytest.mark.parametrize("order", range(6))
def test_fields_in_any_order_are_recognised_when_they_come_again(order: int) -> None:
    with trackers() as (tracker, _):
        for number in range(4):
            tracker.ask(Ask(counters=(number, 2 * number, 9), order=order).raw)
        assert tracker.recognised == 3


def test_who_has_all_of_it_now_is_told_of_leechers_alone() -> None:
    with trackers() as both:
        for step in (Ask(), Ask(who=1), Ask(), Ask(counters=(0, 9, 0)), Ask(counters=(0, 9, 0))):
            assert both[0].ask(step.raw) == both[1].ask(step.raw)
        assert both[0].recognised == 2


def test_who_comes_by_the_other_address_family_too_is_told_to_the_others() -> None:
    with trackers() as both:
        for step in (Ask(), Ask(who=1), Ask(), Ask(who=1, address="2001:db8::1"), Ask()):
            assert both[0].ask(step.raw) == both[1].ask(step.raw)
        assert b"6:peers618:" in both[0].ask(Ask().raw)


def test_who_is_revoked_is_refused_at_the_next_announce() -> None:
    with trackers() as (tracker, _):
        tracker.ask(Ask().raw)
        tracker.ask(Ask().raw)
        tracker.revoked.add(SERIALS[0])
        assert b"revoked: the licence was revoked" in tracker.ask(Ask().raw)
        assert tracker.recognised == 1


def test_another_certificate_under_a_known_request_is_not_believed() -> None:
    with trackers() as (tracker, _):
        tracker.ask(Ask().raw)
        stolen = Ask(who=1, path_of=0)
        for _ in range(2):
            assert b"other-licence" in tracker.ask(stolen.raw)
        assert tracker.recognised == 0


@pytest.mark.parametrize("left_bytes", [0, 1])
def test_who_was_moved_or_has_gone_is_where_it_would_be(left_bytes: int) -> None:
    """Entries move when others leave, and vanish when their time is up."""
    counters = (0, 0, left_bytes)
    first, second, third = (
        Ask(who=who, counters=counters, address=f"10.0.0.{who + 1}") for who in range(3)
    )
    leaving = Ask(counters=counters, event=Event.STOPPED, address="10.0.0.1")
    with trackers() as both:
        for asked in (first, second, third, leaving, second, third, second, third):
            assert both[0].ask(asked.raw) == both[1].ask(asked.raw)
        for tracker in both:
            tracker.now_s += 10_000
            tracker.swarms.expire(HASH, tracker.now_s)
        for asked in (second, third, third):
            assert both[0].ask(asked.raw) == both[1].ask(asked.raw)
        assert len(both[0].swarms.get(HASH) or ()) == 2
        assert both[0].recognised >= 4
