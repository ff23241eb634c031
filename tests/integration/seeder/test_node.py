import contextlib
import shutil
from pathlib import Path

import pytest
import trio

from client_lib.transport.credential import Credential, request_credential
from client_lib.wire.certificates import SeederIdentity
from client_lib.wire.metainfo import Metainfo
from seeder.node import Node
from seeder.offload import Reason
from seeder.status import NodeState, ReleaseStatus
from tests.integration.seeder.rig import (
    HOST,
    NAME,
    PATIENCE_S,
    NodeRig,
    control_until,
    customer,
    files_below,
    licence_leaf,
)
from tests.pki import utc_now


@pytest.fixture
def rig(tmp_path: Path) -> NodeRig:
    return NodeRig(tmp_path)


def status_of(node: Node, name: str = NAME) -> ReleaseStatus:
    found = {release.name: release for release in node.snapshot(NodeState.SERVING).releases}
    return {str(key): value for key, value in found.items()}[name]


async def test_customer_gets_the_album_and_the_node_counts_its_bytes(rig: NodeRig) -> None:
    torrent = await rig.publish()
    leaf = licence_leaf(rig.licensing.pki, Metainfo.from_bytes(torrent))
    with trio.fail_after(PATIENCE_S):
        async with rig.node() as (node, port), customer(torrent, leaf, rig.root / "c") as (_, own):
            own.connect(HOST, port)
            await own.wait_complete()
            size_bytes = Metainfo.from_bytes(torrent).size_bytes
            await control_until(node, lambda: status_of(node).uploaded_bytes >= size_bytes)
            status = status_of(node)
    assert files_below(rig.root / "c" / NAME) == files_below(rig.origin.content(NAME))
    assert status.uploaded_bytes < 1.02 * size_bytes
    assert status.uploaded_total_bytes == status.uploaded_bytes + 1_000
    assert status.problem is None


async def test_only_releases_in_catalogue_and_origin_are_served(rig: NodeRig) -> None:
    await rig.publish("rel-0001")
    await rig.publish("rel-0002")
    await rig.publish("rel-0003")
    del rig.licensing.entries[2]
    rig.origin.torrent_file(NAME).rename(rig.root / "elsewhere")
    async with rig.node() as (node, _):
        names = [release.name for release in node.snapshot(NodeState.SERVING).releases]
    assert names == ["rel-0002.flac"]


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
        async with rig.node() as (node, port), customer(torrent, leaf, rig.root / "c") as (_, own):
            problem = status_of(node).problem
            assert problem is not None
            assert str(path) in problem
            own.connect(HOST, port)
            path.write_bytes(good)
            await node.reconcile()
            assert status_of(node).problem is None
            own.connect(HOST, port)
            await own.wait_complete()


async def test_corrupt_piece_is_never_sent_and_is_reported(rig: NodeRig) -> None:
    torrent = await rig.publish()
    meta = Metainfo.from_bytes(torrent)
    leaf = licence_leaf(rig.licensing.pki, meta)
    path = rig.origin.content(NAME) / "01.flac"
    content = bytearray(path.read_bytes())
    content[1_500_000] ^= 1
    path.write_bytes(content)
    with trio.fail_after(PATIENCE_S):
        async with rig.node() as (node, port), customer(torrent, leaf, rig.root / "c") as (_, own):
            own.connect(HOST, port)
            whole_bytes = meta.size_bytes - meta.piece_length_bytes

            def rest_has_arrived() -> bool:
                return own.status().verified_bytes >= whole_bytes and bool(status_of(node).problem)

            await control_until(node, rest_has_arrived)
            problem = status_of(node).problem
            assert problem is not None
            assert "65536 bytes" in problem
            assert own.status().verified_bytes == whole_bytes
            assert own.status().downloaded_bytes <= whole_bytes
    assert path.read_bytes() == content


async def test_renewed_certificate_admits_customers_after_the_old_one_expired(
    rig: NodeRig,
) -> None:
    torrent = await rig.publish()
    leaf = licence_leaf(rig.licensing.pki, Metainfo.from_bytes(torrent))
    expired = rig.licensing.pki.expired(SeederIdentity("seeder-1"))
    old = Credential(rig.root / "seeder.pem", expired.key, expired.certificate)
    with trio.fail_after(PATIENCE_S):
        async with rig.node(credential=old) as (node, port):
            async with customer(torrent, leaf, rig.root / "c") as (_, own):
                own.connect(HOST, port)
                with trio.move_on_after(1.5):
                    await own.wait_complete()
                assert own.status().downloaded_bytes == 0
            async with rig.licensing.client() as client:
                ca = rig.licensing.pki.ca
                new = await request_credential(
                    old.path, client.host_certificate, ca=ca, now=utc_now()
                )
            await node.renew(new)
            async with customer(torrent, leaf, rig.root / "d") as (_, own):
                own.connect(HOST, port)
                await own.wait_complete()
            expires_at = node.snapshot(NodeState.SERVING).certificate_expires_at
            assert expires_at == new.certificate.not_valid_after_utc


async def test_node_rests_while_two_customers_hold_every_piece_between_them(rig: NodeRig) -> None:
    torrent = await rig.publish(size_bytes=4_000_000)
    meta = Metainfo.from_bytes(torrent)
    leaves = [licence_leaf(rig.licensing.pki, meta, number) for number in (1, 2)]
    budget = 300_000
    for folder, there in (("a", ["02.flac", "CD 2 Ünïcode"]), ("b", ["01.flac"])):
        has_already(rig, rig.root / folder, there)
    async with contextlib.AsyncExitStack() as stack:
        stack.enter_context(trio.fail_after(PATIENCE_S))
        node, port = await stack.enter_async_context(rig.node(upload_limit_bytes_s=budget))
        (_, a), (other, b) = [
            await stack.enter_async_context(
                customer(torrent, leaf, rig.root / folder, upload_limit_bytes_s=600_000)
            )
            for folder, leaf in zip("ab", leaves, strict=True)
        ]
        a.connect(HOST, port)
        await control_until(node, lambda: status_of(node).policy == Reason.LONE_CUSTOMER)
        assert status_of(node).upload_limit_bytes_s == budget
        b.connect(HOST, port)
        a.connect(HOST, other.listen_port)
        await control_until(node, lambda: status_of(node).policy == Reason.CUSTOMERS_CARRY)
        assert 0 < status_of(node).upload_limit_bytes_s <= 20_000
        async with trio.open_nursery() as nursery:
            nursery.start_soon(a.wait_complete)
            nursery.start_soon(b.wait_complete)
            await control_until(node, lambda: status_of(node).policy == Reason.NO_CUSTOMERS)
        uploaded_bytes = status_of(node).uploaded_bytes
    assert uploaded_bytes < 0.6 * meta.size_bytes


def has_already(rig: NodeRig, folder: Path, names: list[str]) -> None:
    for name in names:
        source, target = rig.origin.content(NAME) / name, folder / NAME / name
        target.parent.mkdir(parents=True, exist_ok=True)
        if source.is_dir():
            shutil.copytree(source, target)
        else:
            shutil.copy(source, target)
