import contextlib
from pathlib import Path

import pytest
import trio

from client_lib.transport.credential import Credential, request_credential
from client_lib.transport.tls import load_credential
from client_lib.wire.certificates import SeederIdentity
from client_lib.wire.metainfo import Metainfo
from seeder.node import Policy
from tests.integration.seeder.rig import (
    HOST,
    NAME,
    NodeRig,
    customer,
    eventually,
    files_below,
    licence_leaf,
)
from tests.patience import PATIENCE_S
from tests.pki import utc_now


@pytest.fixture
def rig(tmp_path: Path) -> NodeRig:
    return NodeRig(tmp_path)


async def test_customer_gets_the_album_and_the_node_counts_its_bytes(rig: NodeRig) -> None:
    torrent = await rig.publish()
    leaf = licence_leaf(rig.licensing.pki, Metainfo.from_bytes(torrent))
    size_bytes = Metainfo.from_bytes(torrent).size_bytes
    with trio.fail_after(PATIENCE_S):
        async with rig.node() as serving, customer(torrent, leaf, rig.root / "c") as (_, own):
            own.connect(HOST, serving.port)
            await own.wait_complete()
            await eventually(lambda: serving.uploaded_bytes >= size_bytes)
            swarm = serving.node.shelf.loaded[Metainfo.from_bytes(torrent).info_hash.hex[:40]].swarm
            await eventually(lambda: swarm.spread.leechers == 0)
            status = serving.status()
            assert status is not None
            assert (status.customers, status.copies, status.problem) == (1, 1.0, None)
            assert status.uploaded_bytes == size_bytes
            assert status.uploaded_total_bytes == size_bytes + 1_000
    assert files_below(rig.root / "c" / NAME) == files_below(rig.origin.content(NAME))


async def test_two_customers_take_one_copy_between_them(rig: NodeRig) -> None:
    torrent = await rig.publish(size_bytes=8_000_000)
    meta = Metainfo.from_bytes(torrent)
    leaves = [licence_leaf(rig.licensing.pki, meta, number) for number in (1, 2)]
    async with contextlib.AsyncExitStack() as stack:
        stack.enter_context(trio.fail_after(PATIENCE_S))
        # Slow, so that a piece has been passed on before the next is due.
        limited = rig.node(upload_limit_bytes_s=4_000_000, policy=Policy("thrifty", 1_000))
        serving = await stack.enter_async_context(limited)
        (_, a), (other, b) = [
            await stack.enter_async_context(customer(torrent, leaf, rig.root / folder))
            for folder, leaf in zip("ab", leaves, strict=True)
        ]
        a.connect(HOST, other.listen_port)
        a.connect(HOST, serving.port)
        b.connect(HOST, serving.port)
        await a.wait_complete()
        await b.wait_complete()
        # The first to come was alone for a moment.
        assert serving.uploaded_bytes <= 1.25 * meta.size_bytes


@pytest.mark.parametrize("missing", ["catalogue", "origin"])
async def test_only_releases_in_catalogue_and_origin_are_served(rig: NodeRig, missing: str) -> None:
    torrent = await rig.publish()
    leaf = licence_leaf(rig.licensing.pki, Metainfo.from_bytes(torrent))
    if missing == "catalogue":
        del rig.licensing.entries[0]
    else:
        rig.origin.torrent_file(NAME).rename(rig.root / "elsewhere")
    async with rig.node() as serving, customer(torrent, leaf, rig.root / "c") as (_, own):
        own.connect(HOST, serving.port)
        with trio.fail_after(PATIENCE_S):
            await eventually(lambda: serving.listener.refused.total() > 0)
        assert serving.uploaded_bytes == 0
        assert own.status().downloaded_bytes == 0


@pytest.mark.parametrize("damage", ["missing", "short", "other"])
async def test_damaged_release_is_reported_and_served_once_repaired(
    rig: NodeRig, damage: str
) -> None:
    torrent = await rig.publish()
    leaf = licence_leaf(rig.licensing.pki, Metainfo.from_bytes(torrent))
    path = rig.origin.content(NAME) / "02.flac"
    good = path.read_bytes()
    if damage == "missing":
        path.unlink()
    elif damage == "short":
        path.write_bytes(good[:-1])
    else:
        path = rig.origin.torrent_file(NAME)
        good = path.read_bytes()
        other = await rig.publish("rel-0002")
        path.write_bytes(other)
    with trio.fail_after(PATIENCE_S):
        async with rig.node() as serving, customer(torrent, leaf, rig.root / "c") as (_, own):
            own.connect(HOST, serving.port)
            await eventually(lambda: NAME in serving.node.shelf.problems)
            status = serving.status()
            assert status is not None
            assert str(path) in str(status.problem)
            path.write_bytes(good)
            own.connect(HOST, serving.port)
            await own.wait_complete()
            assert not serving.node.shelf.problems


async def test_corrupt_piece_is_never_sent_and_is_reported(rig: NodeRig) -> None:
    torrent = await rig.publish()
    meta = Metainfo.from_bytes(torrent)
    leaf = licence_leaf(rig.licensing.pki, meta)
    path = rig.origin.content(NAME) / "01.flac"
    content = bytearray(path.read_bytes())
    content[1_500_000] ^= 1
    path.write_bytes(content)
    whole_bytes = meta.size_bytes - meta.piece_length_bytes
    with trio.fail_after(PATIENCE_S):
        async with rig.node() as serving, customer(torrent, leaf, rig.root / "c") as (_, own):
            own.connect(HOST, serving.port)
            await eventually(
                lambda: (
                    own.status().verified_bytes == whole_bytes
                    and "01.flac" in serving.node.shelf.problems.get(meta.name, "")
                )
            )
            assert own.status().downloaded_bytes == whole_bytes
            assert serving.uploaded_bytes == whole_bytes


async def test_piece_that_was_put_right_is_offered_again(rig: NodeRig) -> None:
    torrent = await rig.publish()
    meta = Metainfo.from_bytes(torrent)
    leaf = licence_leaf(rig.licensing.pki, meta)
    path = rig.origin.content(NAME) / "01.flac"
    good = path.read_bytes()
    path.write_bytes(good[:1_500_000] + bytes([good[1_500_000] ^ 1]) + good[1_500_001:])
    with trio.fail_after(PATIENCE_S):
        async with rig.node() as serving, customer(torrent, leaf, rig.root / "c") as (_, own):
            serving.node.shelf.retry_s = 0.5
            own.connect(HOST, serving.port)
            await eventually(lambda: bool(serving.node.shelf.problems))
            path.write_bytes(good)
            await own.wait_complete()
            assert not serving.node.shelf.problems
            assert serving.uploaded_bytes == meta.size_bytes


async def test_renewed_certificate_admits_customers_after_the_old_one_expired(
    rig: NodeRig,
) -> None:
    torrent = await rig.publish()
    leaf = licence_leaf(rig.licensing.pki, Metainfo.from_bytes(torrent))
    old = await rig.credential()
    expired = rig.licensing.pki.expired(SeederIdentity("seeder-1"))
    old.path.write_text(expired.key_pem + expired.certificate_pem)
    old = Credential(old.path, expired.key, expired.certificate)
    with trio.fail_after(PATIENCE_S):
        async with rig.node(credential=old) as serving:
            async with customer(torrent, leaf, rig.root / "c") as (_, own):
                own.connect(HOST, serving.port)
                await eventually(lambda: serving.listener.refused.total() > 0)
                assert own.status().downloaded_bytes == 0
            async with rig.licensing.client() as client:
                ca = rig.licensing.pki.ca
                new = await request_credential(
                    old.path, client.host_certificate, ca=ca, now=utc_now()
                )
            load_credential(serving.context, new.path)
            async with customer(torrent, leaf, rig.root / "d") as (_, own):
                own.connect(HOST, serving.port)
                await own.wait_complete()


async def test_customer_who_wants_one_file_only_gets_it(rig: NodeRig) -> None:
    torrent = await rig.publish(size_bytes=16_000_000)
    meta = Metainfo.from_bytes(torrent)
    leaf = licence_leaf(rig.licensing.pki, meta)
    (wanted,) = [i for i, file in enumerate(meta.files) if file.path == ("02.flac",)]
    with trio.fail_after(PATIENCE_S):
        async with (
            rig.node() as serving,
            customer(torrent, leaf, rig.root / "c", wanted=frozenset({wanted})) as (_, own),
        ):
            own.connect(HOST, serving.port)
            await own.wait_complete()
            await eventually(lambda: serving.uploaded_bytes == meta.files[wanted].length_bytes)
