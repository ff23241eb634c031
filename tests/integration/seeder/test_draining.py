"""A node that leaves: who is still served, and when it may go."""

import datetime as dt
from pathlib import Path

import pytest
import trio

from client_lib.errors import StorageError
from client_lib.wire.licence import licence_id_from
from client_lib.wire.metainfo import Metainfo
from seeder.draining import DrainOrder, read_order, write_order
from seeder.peers.refusal import Refusal
from tests.integration.seeder.rig import (
    HOST,
    NodeRig,
    customer,
    eventually,
    files_below,
    licence_leaf,
)
from tests.patience import PATIENCE_S
from tests.pki import utc_now

HOUR = dt.timedelta(hours=1)


@pytest.fixture
def rig(tmp_path: Path) -> NodeRig:
    return NodeRig(tmp_path)


async def test_who_is_there_is_served_to_the_end_and_nobody_else(rig: NodeRig) -> None:
    torrent = await rig.publish(size_bytes=6_000_000)
    meta = Metainfo.from_bytes(torrent)
    present, late = [licence_leaf(rig.licensing.pki, meta, number) for number in (1, 2)]
    with trio.fail_after(PATIENCE_S):
        async with rig.node(upload_limit_bytes_s=3_000_000) as serving:
            async with (
                customer(torrent, present, rig.root / "a") as (_, own),
                customer(torrent, late, rig.root / "b") as (_, other),
            ):
                own.connect(HOST, serving.port)
                await eventually(lambda: own.status().verified_bytes > 0)
                order = DrainOrder(utc_now() + HOUR, serving.listener.licences)
                await serving.node.drain(rig.root, order)
                state = serving.node.drain_state
                assert state is not None
                assert (state.alone, state.waiting_for) == (True, 1)
                other.connect(HOST, serving.port)
                await eventually(lambda: serving.listener.refused[Refusal.DRAINING] > 0)
                await own.wait_complete()
                await serving.node.drained.wait()
                assert other.status().downloaded_bytes == 0
            # The one who was there may come back; an undone drain is open to all again.
            assert serving.node.takes(next(iter(order.present)))
            await serving.node.stay(rig.root)
            assert read_order(rig.root) is None
            async with customer(torrent, late, rig.root / "c") as (_, other):
                other.connect(HOST, serving.port)
                await other.wait_complete()
    name = meta.name
    assert files_below(rig.root / "a" / name) == files_below(rig.root / "c" / name)


async def test_a_deadline_ends_a_drain_and_a_killed_node_drains_on(rig: NodeRig) -> None:
    torrent = await rig.publish()
    leaf = licence_leaf(rig.licensing.pki, Metainfo.from_bytes(torrent))
    with trio.fail_after(PATIENCE_S):
        async with (
            rig.node(upload_limit_bytes_s=100_000) as serving,
            customer(torrent, leaf, rig.root / "a") as (_, own),
        ):
            own.connect(HOST, serving.port)
            await eventually(lambda: serving.uploaded_bytes > 0)
            soon = utc_now() + dt.timedelta(seconds=1)
            await serving.node.drain(rig.root, DrainOrder(soon, serving.listener.licences))
            await serving.node.drained.wait()
            assert utc_now() >= soon
        # The order outlives the process that had it.
        order = read_order(rig.root)
        assert order is not None
        assert order.until == soon
        assert order.present
        async with rig.node() as serving:
            serving.node.go_on_draining(order)
            await serving.node.drained.wait()


async def test_a_killed_node_waits_for_its_customers_to_come_back(rig: NodeRig) -> None:
    torrent = await rig.publish()
    meta = Metainfo.from_bytes(torrent)
    leaf = licence_leaf(rig.licensing.pki, meta)
    present = frozenset({licence_id_from((1).to_bytes(16, "big"))})
    with trio.fail_after(PATIENCE_S):
        async with rig.node() as serving:
            serving.node.go_on_draining(DrainOrder(utc_now() + HOUR, present))
            async with customer(torrent, leaf, rig.root / "a") as (_, own):
                own.connect(HOST, serving.port)
                await own.wait_complete()
            assert not serving.node.drained.is_set()


def test_a_broken_order_is_named(tmp_path: Path) -> None:
    write_order(tmp_path, DrainOrder(utc_now(), frozenset()))
    path = tmp_path / "draining.json"
    assert path.stat().st_mode & 0o777 == 0o600
    for broken in (b"", b"{}", b'{"until":"soon","present":[]}', b'{"until":1,"present":["x"]}'):
        path.write_bytes(broken)
        with pytest.raises(StorageError, match=str(path)):
            read_order(tmp_path)
