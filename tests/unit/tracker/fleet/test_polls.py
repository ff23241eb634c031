import datetime as dt
import json

import pytest
import trio
import trio.testing
from cryptography.hazmat.primitives.serialization import Encoding

from client_lib.wire.certificates import SeederIdentity
from client_lib.wire.demand import HOLD_S, Demand
from tests.pki import SwarmPki, licence_identity
from tracker.accounting.tally import Tally
from tracker.fleet.feed import DemandFeed
from tracker.fleet.nodes import SILENCE_S, Fleet
from tracker.fleet.polls import DemandPolls
from tracker.serving.exchange import Answer, Request
from tracker.serving.head import Head
from tracker.swarms.swarms import Swarms
from tracker.trust.admission import Admission

PKI = SwarmPki()
SEEDER = PKI.issue(SeederIdentity("origin-1")).certificate.public_bytes(Encoding.DER)
CUSTOMER = PKI.issue(licence_identity()).certificate.public_bytes(Encoding.DER)
NOW_S = dt.datetime.now(dt.UTC).timestamp()


class Revocations:
    def __init__(self) -> None:
        self.all = False

    def is_current(self, now_s: float) -> bool:
        return True

    def is_revoked(self, serial: int) -> bool:
        return self.all

    @property
    def version(self) -> object:
        return object()


class Desk:
    def __init__(self) -> None:
        def clock() -> float:
            return NOW_S + trio.current_time()

        self.fleet, self.revocations, self.tally = Fleet(), Revocations(), Tally()
        self.feed = DemandFeed(Swarms(), self.fleet, lambda *_: None, clock=clock)
        self.polls = DemandPolls(
            admission=Admission(PKI.ca),
            revocations=self.revocations,
            accounting=self.tally,
            fleet=self.fleet,
            feed=self.feed,
            clock=clock,
        )

    async def poll(self, version: int, certificate: bytes = SEEDER) -> Answer:
        query = b"port=6881&capacity=5&version=%d" % version
        head = Head(b"/v1/demand/origin-1", query, True, 0, None)
        answer = self.polls.answer(Request(certificate, head, bytes([192, 0, 2, 1])), "origin-1")
        return answer if isinstance(answer, Answer) else await answer


async def test_without_news_a_poll_is_held_and_then_answered(
    autojump_clock: trio.testing.MockClock,
) -> None:
    desk = Desk()
    first = Demand.decode((await desk.poll(0)).body)
    assert trio.current_time() == 0
    second = Demand.decode((await desk.poll(first.version)).body)
    assert trio.current_time() == pytest.approx(HOLD_S)
    assert second.version == first.version
    assert second.fleet[0].addresses == ("192.0.2.1",)


async def test_a_poll_whose_client_goes_keeps_nobody_in_the_fleet(
    autojump_clock: trio.testing.MockClock,
) -> None:
    desk = Desk()
    demand = Demand.decode((await desk.poll(0)).body)
    with trio.move_on_after(5):
        await desk.poll(demand.version)
    assert not desk.fleet.expire(NOW_S + 5 + SILENCE_S)
    assert desk.fleet.expire(NOW_S + 6 + SILENCE_S)


async def test_a_seeder_that_is_revoked_while_it_waits_hears_so_soon(
    autojump_clock: trio.testing.MockClock,
) -> None:
    desk = Desk()
    demand = Demand.decode((await desk.poll(0)).body)

    async def revoke() -> None:
        await trio.sleep(5)
        desk.revocations.all = True

    async with trio.open_nursery() as nursery:
        nursery.start_soon(revoke)
        refused = await desk.poll(demand.version)
    assert trio.current_time() < 8
    assert refused.status == 403
    assert json.loads(refused.body)["reason"] == "revoked"
    assert desk.tally.counts["refused_revoked"] == 1


async def test_customers_are_refused_and_counted(autojump_clock: trio.testing.MockClock) -> None:
    desk = Desk()
    refused = await desk.poll(0, CUSTOMER)
    assert (refused.status, refused.content_type) == (403, b"application/problem+json")
    problem = json.loads(refused.body)
    assert problem["type"] == "urn:albumswarm:problem:demand-refused"
    assert desk.tally.counts["refused_role"] == 1
    assert len(desk.fleet) == 0
