import ssl
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import TypeVar

import pytest
import trio

from client_lib.errors import AnnounceRefused
from client_lib.wire.announce import Event
from client_lib.wire.certificates import HostIdentity, SeederIdentity, SignerIdentity
from client_lib.wire.infohash import InfoHash
from tests.integration.tracker.rig import FakeLicensing, Rig, announce_head, running_tracker
from tests.pki import Leaf, SwarmPki, licence_identity

T = TypeVar("T")


@pytest.fixture
async def rig(tmp_path: Path) -> AsyncIterator[Rig]:
    async with running_tracker(tmp_path, FakeLicensing(SwarmPki())) as running:
        yield running


async def assert_nobody_joined(rig: Rig) -> None:
    """A newcomer is told that it is alone."""
    assert await refusal(rig, rig.pki.issue(licence_identity(number=99))) == "no-source"


async def test_licensed_customers_find_each_other_and_the_seeder(rig: Rig) -> None:
    seeder = rig.pki.issue(SeederIdentity("origin"))
    customers = [rig.pki.issue(licence_identity(number=n)) for n in (1, 2)]
    await rig.announce(seeder, port=7000, left_bytes=0, event=Event.STARTED)
    await rig.announce(customers[0], port=7001, event=Event.STARTED)
    response = await rig.announce(customers[1], port=7002, event=Event.STARTED)
    assert {peer.port for peer in response.peers} == {7000, 7001}
    assert all(peer.address.is_loopback for peer in response.peers)
    assert (response.complete, response.incomplete) == (1, 2)


async def refusal(rig: Rig, leaf: Leaf, **details: object) -> str:
    with pytest.raises(AnnounceRefused) as refused:
        await rig.announce(leaf, **details)
    return refused.value.reason.partition(":")[0]


async def test_another_licence_s_announce_url_is_refused(rig: Rig) -> None:
    leaf = rig.pki.issue(licence_identity(number=1))
    other = licence_identity(number=2).licence_id
    assert await refusal(rig, leaf, member_id=other) == "other-licence"
    await assert_nobody_joined(rig)


async def test_another_swarm_is_refused(rig: Rig) -> None:
    leaf = rig.pki.issue(licence_identity(info=b"d4:name5:othere"))
    theirs = licence_identity().info_hash.truncated
    assert await refusal(rig, leaf, info_hash=theirs) == "other-swarm"
    unknown = InfoHash.of(b"nobody has this").truncated
    assert await refusal(rig, leaf, info_hash=unknown) == "other-swarm"
    await assert_nobody_joined(rig)


async def test_a_host_certificate_joins_no_swarm(rig: Rig) -> None:
    leaf = rig.pki.issue(HostIdentity("webseed", ("localhost",)))
    assert await refusal(rig, leaf, member_id="webseed") == "role"
    await assert_nobody_joined(rig)


async def test_a_licence_revoked_on_an_open_connection_is_refused_at_the_next_announce(
    rig: Rig,
) -> None:
    leaf = rig.pki.issue(licence_identity(number=1))
    async with rig.connected(leaf) as client:
        await client.announce(leaf, left_bytes=0)
        rig.licensing.revoked.add(leaf.certificate.serial_number)
        with pytest.raises(AnnounceRefused, match=r"^revoked: "):
            await client.announce_until_refused(leaf)
    assert await refusal(rig, leaf) == "revoked"
    await assert_nobody_joined(rig)


async def exchange(
    rig: Rig, context: ssl.SSLContext, leaf: Leaf, session: ssl.SSLSession | None
) -> tuple[ssl.SSLObject, bytes]:
    """One announce on a connection that resumes `session`, which trio's own stream cannot."""
    incoming, outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
    tls = context.wrap_bio(incoming, outgoing, server_hostname="localhost", session=session)
    async with await trio.open_tcp_stream("localhost", rig.port) as tcp:

        async def complete(step: Callable[[], T]) -> T:
            while True:
                try:
                    return step()
                except ssl.SSLWantReadError:
                    await tcp.send_all(outgoing.read())
                    incoming.write(await tcp.receive_some())

        await complete(tls.do_handshake)
        tls.write(announce_head(leaf))
        answer = await complete(lambda: tls.read(4096))
    return tls, answer


async def test_a_resumed_tls_session_is_checked_like_a_fresh_one(rig: Rig) -> None:
    leaf = rig.pki.issue(licence_identity(number=1))
    context = rig.context(leaf)
    context.maximum_version = ssl.TLSVersion.TLSv1_2  # with TLS 1.3 we issue no tickets
    first, answer = await exchange(rig, context, leaf, None)
    assert b"8:interval" in answer
    rig.licensing.revoked.add(leaf.certificate.serial_number)
    async with rig.connected(leaf) as client:
        with pytest.raises(AnnounceRefused):
            await client.announce_until_refused(leaf)
    resumed, answer = await exchange(rig, context, leaf, first.session)
    assert resumed.session_reused
    assert b"14:failure reason" in answer
    assert b"revoked: " in answer


@pytest.mark.parametrize("case", ["none", "other CA", "expired", "signer", "plain HTTP"])
async def test_without_an_acceptable_certificate_not_a_byte_of_http_comes_back(
    rig: Rig, case: str
) -> None:
    identity = licence_identity(number=1)
    leaf: Leaf | None
    match case:
        case "other CA":
            leaf = SwarmPki().issue(identity)
        case "expired":
            leaf = rig.pki.expired(identity)
        case "signer":
            leaf = rig.pki.issue(SignerIdentity(1, "com.example.shop"))
        case _:
            leaf = None
    head = announce_head(leaf or rig.pki.issue(identity))
    if case == "plain HTTP":
        async with await trio.open_tcp_stream("localhost", rig.port) as plain:
            await plain.send_all(head)
            assert b"HTTP" not in b"".join([data async for data in plain])
    else:
        with pytest.raises(trio.BrokenResourceError):
            async with rig.connected(leaf) as client:
                await client.request(head)
    await assert_nobody_joined(rig)
