import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest
import structlog
from hypothesis import example, given, settings
from hypothesis import strategies as st

from client_lib.errors import StorageError
from client_lib.wire.infohash import TruncatedInfoHash
from tracker.snapshot import Snapshot
from tracker.snapshot_store import SnapshotStore, open_snapshot_store
from tracker.swarms.peers import ClientTag, Family, Owner, Standing
from tracker.swarms.swarms import Swarms
from tracker.trust.admission import Member, Role

NOW_S = 1_800_000_000.0
CLIENT = ClientTag(b"client-1")


def info_hash(number: int) -> TruncatedInfoHash:
    return TruncatedInfoHash(number.to_bytes(20, "big"))


def owner(number: int) -> Owner:
    return Owner(number.to_bytes(15, "big"))


def entry(number: int) -> bytes:
    return bytes((10, 0, 0, number, 0x1A, 0xE1))


def join(swarms: Swarms, swarm: int, peer: int, *, lives_s: int = 600) -> None:
    swarms.put(
        info_hash(swarm),
        owner(peer),
        CLIENT,
        entry(peer),
        Standing.LEECHER,
        limit=3,
        deadline_s=int(NOW_S) + lives_s,
        now_s=NOW_S,
    )


def dumps(swarms: Swarms) -> dict[TruncatedInfoHash, bytes]:
    found = {each: swarms.get(each) for each in swarms.info_hashes()}
    return {each: swarm.dump() for each, swarm in found.items() if swarm is not None}


@pytest.fixture
def store(tmp_path: Path) -> Iterator[SnapshotStore]:
    opened = open_snapshot_store(tmp_path / "swarms.sqlite3")
    yield opened
    opened.close()


async def restored(store: SnapshotStore, now_s: float = NOW_S) -> Swarms:
    swarms = Swarms()
    await Snapshot(store, swarms, lambda: now_s).restore()
    return swarms


async def test_what_was_saved_is_there_after_a_restart(store: SnapshotStore) -> None:
    swarms = Swarms()
    for peer in range(1, 6):
        join(swarms, peer % 2, peer)
    await Snapshot(store, swarms, lambda: NOW_S).save()
    assert dumps(await restored(store)) == dumps(swarms)


async def test_only_what_changed_is_written_and_what_vanished_is_dropped(
    store: SnapshotStore,
) -> None:
    swarms = Swarms()
    snapshot = Snapshot(store, swarms, lambda: NOW_S)
    join(swarms, 1, 1)
    join(swarms, 2, 2)
    await snapshot.save()
    # Somebody else's write of a swarm that has not changed stays: it is not written again.
    store.write({info_hash(2): b"not written again"}, [], [], NOW_S)
    swarms.remove(info_hash(1), owner(1), CLIENT, Family.V4)
    join(swarms, 3, 3)
    await snapshot.save()
    on_disk = dict(store.swarms())
    assert set(on_disk) == {info_hash(2), info_hash(3)}
    assert on_disk[info_hash(2)] == b"not written again"


async def test_peers_whose_time_passed_while_the_tracker_was_down_are_not_restored(
    store: SnapshotStore,
) -> None:
    swarms = Swarms()
    join(swarms, 1, 1, lives_s=10)
    join(swarms, 2, 2, lives_s=10)
    join(swarms, 2, 3, lives_s=1000)
    await Snapshot(store, swarms, lambda: NOW_S).save()
    later = await restored(store, NOW_S + 500)
    assert (len(later), later.peers) == (1, 1)
    # The swarm that has nobody left goes from the disk, too.
    await Snapshot(store, later, lambda: NOW_S + 500).save()
    assert set(dict(store.swarms())) == {info_hash(2)}


async def test_a_damaged_swarm_is_left_out_and_the_others_are_restored(
    store: SnapshotStore,
) -> None:
    swarms = Swarms()
    join(swarms, 1, 1)
    await Snapshot(store, swarms, lambda: NOW_S).save()
    store.write({info_hash(7): b"rubbish"}, [], [], NOW_S)
    with structlog.testing.capture_logs() as logs:
        assert set((await restored(store)).info_hashes()) == {info_hash(1)}
    assert {"event": "snapshot-damaged", "log_level": "warning", "swarms_left_out": 1} in logs


@pytest.mark.parametrize("damage", [b"rubbish" * 1000, b"SQLite format 3\0" + b"\xff" * 5000])
def test_a_file_that_is_no_snapshot_is_moved_aside(tmp_path: Path, damage: bytes) -> None:
    path = tmp_path / "swarms.sqlite3"
    path.write_bytes(damage)
    with structlog.testing.capture_logs() as logs:
        opened = open_snapshot_store(path)
    assert list(opened.swarms()) == []
    opened.close()
    assert [line["event"] for line in logs] == ["snapshot-unusable"]
    assert path.with_name("swarms.sqlite3.unusable").read_bytes() == damage


@settings(max_examples=30)
@example(at=44, damage=b"\x00\x00\x00\x05")  # the schema format
@example(at=3639, damage=b"\x80")  # a text of the schema
@given(at=st.integers(0, 20_000), damage=st.binary(min_size=1, max_size=64))
def test_damage_anywhere_never_keeps_a_tracker_from_starting(at: int, damage: bytes) -> None:
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "swarms.sqlite3"
        opened = open_snapshot_store(path)
        opened.write({info_hash(n): bytes(500) for n in range(20)}, [], [], NOW_S)
        opened.close()
        content = bytearray(path.read_bytes())
        at %= len(content)
        content[at : at + len(damage)] = damage
        path.write_bytes(content)
        with structlog.testing.capture_logs():
            again = open_snapshot_store(path)
        assert len(list(again.swarms())) <= 20
        again.close()


def test_nobody_else_can_read_where_customers_are(tmp_path: Path, store: SnapshotStore) -> None:
    store.write({info_hash(1): b"peers"}, [], [], NOW_S)
    files = list(tmp_path.iterdir())
    assert {file.name for file in files} == {"swarms.sqlite3", "swarms.sqlite3-wal"}
    assert {file.stat().st_mode & 0o777 for file in files} == {0o600}


def test_a_folder_that_is_not_there_is_named(tmp_path: Path) -> None:
    with pytest.raises(StorageError, match=r"cannot create .*gone/swarms\.sqlite3: No such file"):
        open_snapshot_store(tmp_path / "gone" / "swarms.sqlite3")


def test_a_second_tracker_in_the_same_folder_is_told_so(
    tmp_path: Path, store: SnapshotStore
) -> None:
    with pytest.raises(StorageError, match="another tracker uses this folder"):
        open_snapshot_store(tmp_path / "swarms.sqlite3")


def member(serial: int, *, not_after_s: float = NOW_S + 86_400) -> Member:
    return Member(
        Role.LICENCE, f"licence-{serial}", owner(1), info_hash(1), serial, NOW_S, not_after_s
    )


async def test_whose_certificate_a_serial_number_is_survives_until_it_expires(
    store: SnapshotStore,
) -> None:
    seeder = Member(Role.SEEDER, "node-1", owner(2), None, 2**158 + 1, NOW_S, NOW_S + 9)
    snapshot = Snapshot(store, Swarms(), lambda: NOW_S)
    for each in (member(5), member(6, not_after_s=NOW_S + 1), seeder):
        snapshot.note_member(each)
    await snapshot.save()
    again = Snapshot(store, Swarms(), lambda: NOW_S + 5)
    assert {m.serial for m in await again.members([5, 6, 7])} == {5, 6}
    assert await again.members([seeder.serial]) == [seeder]
    await again.save()
    assert await again.members([5, 6]) == [member(5)]


class FullDisk:
    """A store whose disk is full as long as it is told so."""

    def __init__(self, store: SnapshotStore) -> None:
        self.full = True
        self._store = store

    def write(self, *arguments: object) -> None:
        if self.full:
            raise StorageError("swarms.sqlite3: database or disk is full")
        self._store.write(*arguments)  # type: ignore[arg-type]


async def test_what_could_not_be_written_is_written_when_there_is_room_again(
    store: SnapshotStore,
) -> None:
    disk, swarms = FullDisk(store), Swarms()
    snapshot = Snapshot(disk, swarms, lambda: NOW_S)  # type: ignore[arg-type]
    join(swarms, 1, 1)
    snapshot.note_member(member(5))
    with structlog.testing.capture_logs() as logs:
        await snapshot.save()
        await snapshot.save()
        disk.full = False
        await snapshot.save()
    assert [line["event"] for line in logs] == ["snapshot-failed", "snapshot-recovered"]
    assert dumps(await restored(store)) == dumps(swarms)
    assert store.members([5]) == [member(5)]
