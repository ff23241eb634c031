"""The demand feed of a whole tracker, asked by the seeder's client over mutual TLS."""

import contextlib
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
import trio

from client_lib.errors import AnnounceRefused, UnreachableError, UsageError
from client_lib.transport.demand_client import DemandClient, open_demand
from client_lib.wire.announce import Event
from client_lib.wire.certificates import SeederIdentity
from client_lib.wire.demand import HOLD_S, Demand, DemandQuery
from tests.integration.tracker.rig import FakeLicensing, Rig, running_tracker
from tests.pki import Leaf, SwarmPki, licence_identity

SWARM = licence_identity().info_hash.truncated.hex()
FRESH = DemandQuery(port=6881, capacity=10**8)


def after(demand: Demand) -> DemandQuery:
    return DemandQuery(port=6881, capacity=10**8, version=demand.version)


@contextlib.asynccontextmanager
async def demand_client(
    rig: Rig, seeder_id: str = "origin-1", leaf: Leaf | None = None
) -> AsyncIterator[DemandClient]:
    leaf = leaf or rig.pki.issue(SeederIdentity(seeder_id))
    url = f"https://localhost:{rig.port}"
    async with open_demand(url, rig.context(leaf), seeder_id) as client:
        yield client


async def poll_until_told(client: DemandClient, demand: Demand) -> Demand:
    """Poll on until an answer tells of a swarm that is hot or has become cold."""
    while True:
        demand = await client.poll(after(demand))
        if demand.swarms or demand.cold:
            return demand


async def test_a_seeder_hears_of_demand_while_it_polls(tmp_path: Path) -> None:
    async with running_tracker(tmp_path, FakeLicensing(SwarmPki())) as rig:
        customer = rig.pki.issue(licence_identity())
        async with demand_client(rig) as client:
            demand = await client.poll(FRESH)
            assert demand.full
            assert demand.swarms == ()
            (own,) = demand.fleet
            assert (own.seeder_id, own.port, own.capacity) == ("origin-1", 6881, 10**8)
            assert own.addresses[0] in ("127.0.0.1", "::1")
            async with trio.open_nursery() as nursery:

                async def come() -> None:
                    with contextlib.suppress(AnnounceRefused):  # no-source, but registered
                        await rig.announce(customer, left_bytes=100_000)

                nursery.start_soon(come)
                told = await poll_until_told(client, demand)
            assert not told.full
            (swarm,) = told.swarms
            assert (swarm.info_hash, swarm.leechers, swarm.complete) == (SWARM, 1, 0)
            assert swarm.left_bytes == swarm.largest_left_bytes == 7 * 16_384
            await rig.announce(customer, left_bytes=0, event=Event.STOPPED)
            cold = await poll_until_told(client, told)
            assert (cold.swarms, cold.cold) == ((), (SWARM,))
            everything = await client.poll(FRESH)
            assert (everything.full, everything.swarms, everything.cold) == (True, (), (SWARM,))


async def test_seeders_hear_of_each_other_and_of_drain(tmp_path: Path) -> None:
    async with (
        running_tracker(tmp_path, FakeLicensing(SwarmPki())) as rig,
        demand_client(rig, "origin-1") as first,
        demand_client(rig, "origin-2") as second,
    ):
        demand = await first.poll(FRESH)
        assert [node.seeder_id for node in demand.fleet] == ["origin-1"]
        await second.poll(DemandQuery(port=7, capacity=5, addresses=("192.0.2.1", "2001:db8::1")))
        demand = await first.poll(after(demand))
        _, other = demand.fleet
        assert (other.seeder_id, other.addresses) == ("origin-2", ("192.0.2.1", "2001:db8::1"))
        await second.poll(DemandQuery(port=7, capacity=5, draining=True))
        demand = await first.poll(after(demand))
        assert [node.draining for node in demand.fleet] == [False, True]


async def test_seeders_hear_where_a_revoked_peer_was(tmp_path: Path) -> None:
    licensing = FakeLicensing(SwarmPki())
    async with running_tracker(tmp_path, licensing) as rig, demand_client(rig) as client:
        customer = rig.pki.issue(licence_identity())
        with contextlib.suppress(AnnounceRefused):
            await rig.announce(customer, port=7_001)
        demand = await client.poll(FRESH)
        licensing.revoked.add(customer.certificate.serial_number)
        while not demand.revoked:
            demand = await client.poll(after(demand))
        (peer,) = demand.revoked
        assert (peer.info_hash, peer.port) == (SWARM, 7_001)
        assert peer.address in ("127.0.0.1", "::1")
        assert (await client.poll(FRESH)).revoked == (peer,)


async def test_nobody_but_a_seeder_under_its_own_id_is_answered(tmp_path: Path) -> None:
    licensing = FakeLicensing(SwarmPki())
    async with running_tracker(tmp_path, licensing) as rig:
        customer = rig.pki.issue(licence_identity())
        async with demand_client(rig, leaf=customer) as client:
            with pytest.raises(AnnounceRefused, match="for central seeders"):
                await client.poll(FRESH)
        other = rig.pki.issue(SeederIdentity("origin-2"))
        async with demand_client(rig, "origin-1", other) as client:
            with pytest.raises(AnnounceRefused, match=r"^other-licence: "):
                await client.poll(FRESH)
        async with rig.connected(other) as raw:
            status, body = await raw.request(
                b"GET /v1/demand/origin-2?port=0&capacity=1 HTTP/1.1\r\nHost: t\r\n\r\n"
            )
            assert status == 400
            assert b"port is from 1 to 65535" in body
        async with demand_client(rig, "origin-2", other) as client:
            demand = await client.poll(FRESH)
            licensing.revoked.add(other.certificate.serial_number)
            with trio.fail_after(10), pytest.raises(AnnounceRefused, match="revoked"):
                await poll_until_told(client, demand)


async def test_customers_who_poll_take_no_seeder_s_place(tmp_path: Path) -> None:
    # One connection: nobody may wait for an answer.
    async with running_tracker(tmp_path, FakeLicensing(SwarmPki()), max_connections=1) as rig:
        customer = rig.pki.issue(licence_identity())
        ask = b"GET /v1/demand/origin-1?port=1&capacity=1 HTTP/1.1\r\nHost: t\r\n\r\n"
        async with rig.connected(customer) as raw:
            for _ in range(3):
                status, body = await raw.request(ask)
                assert (status, b"for central seeders" in body) == (403, True)
        async with rig.connected(rig.pki.issue(SeederIdentity("origin-1"))) as raw:
            assert (await raw.request(ask))[0] == 503


async def test_a_client_that_finds_nobody_says_so(tmp_path: Path) -> None:
    async with running_tracker(tmp_path, FakeLicensing(SwarmPki())) as rig:
        seeder = rig.pki.issue(SeederIdentity("origin-1"))
        context = rig.context(seeder)
        with pytest.raises(UsageError):
            async with open_demand("http://localhost:1", context, "origin-1"):
                pass
    async with open_demand(f"https://localhost:{rig.port}", context, "origin-1") as client:
        with pytest.raises(UnreachableError):
            await client.poll(FRESH)


async def test_a_tracker_that_stops_does_not_wait_for_polls(tmp_path: Path) -> None:
    licensing = FakeLicensing(SwarmPki())
    with trio.fail_after(HOLD_S / 2):
        async with trio.open_nursery() as nursery, running_tracker(tmp_path, licensing) as rig:
            context = rig.context(rig.pki.issue(SeederIdentity("origin-1")))

            async def poll_for_ever(task_status: trio.TaskStatus[None]) -> None:
                url = f"https://localhost:{rig.port}"
                async with open_demand(url, context, "origin-1") as client:
                    demand = await client.poll(FRESH)
                    task_status.started()
                    with pytest.raises(UnreachableError):
                        await poll_until_told(client, demand)

            await nursery.start(poll_for_ever)
