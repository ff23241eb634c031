"""The queue on the disk: what is acknowledged is there, whoever ends meanwhile."""

import stat
from pathlib import Path

import pytest
import trio
import trio.testing

from client_lib.download.library import DeviceLibrary
from client_lib.download.queueing.keeper import QueueKeeper
from client_lib.errors import StorageError
from tests.patience import PATIENCE_S
from tests.unit.client_lib.download.licences import licence

ALBUMS = [licence(f"rel-{n}.flac", number=n) for n in (1, 2)]


@pytest.fixture
def library(tmp_path: Path) -> DeviceLibrary:
    return DeviceLibrary(tmp_path / "data")


def on_disk(library: DeviceLibrary) -> list[str]:
    return [entry.licence_id for entry in library.queue().entries]


async def test_saved_means_on_the_disk(library: DeviceLibrary, nursery: trio.Nursery) -> None:
    keeper = QueueKeeper(library)
    nursery.start_soon(keeper.run)
    for album in ALBUMS:
        keeper.queue.add([album], "music")
        await keeper.saved()
        assert album.licence_id in on_disk(library)


async def test_a_change_at_the_very_end_of_a_download_is_saved_all_the_same(
    library: DeviceLibrary,
) -> None:
    keeper = QueueKeeper(library)
    async with trio.open_nursery() as nursery:
        nursery.start_soon(keeper.run)
        await trio.testing.wait_all_tasks_blocked()
        keeper.queue.add(ALBUMS, "music")
        nursery.start_soon(keeper.saved)
        nursery.cancel_scope.cancel()
    with trio.fail_after(PATIENCE_S):
        await keeper.saved()
    assert on_disk(library) == [album.licence_id for album in ALBUMS]


async def test_who_waits_while_the_download_ends_is_told(
    library: DeviceLibrary,
) -> None:
    keeper = QueueKeeper(library)
    keeper.queue.add(ALBUMS, "music")
    running = trio.CancelScope()

    async def run() -> None:
        with running:
            await keeper.run()

    with trio.fail_after(PATIENCE_S):
        async with trio.open_nursery() as nursery:
            nursery.start_soon(keeper.saved)
            nursery.start_soon(run)
            running.cancel()
    assert on_disk(library) == [album.licence_id for album in ALBUMS]


async def test_what_cannot_be_written_is_said(
    library: DeviceLibrary, nursery: trio.Nursery
) -> None:
    keeper = QueueKeeper(library)
    keeper.queue.add(ALBUMS, "music")
    blocked = library.folder / "queue.json"
    blocked.mkdir(parents=True)
    (blocked / "not empty").touch()
    nursery.start_soon(keeper.run)
    with trio.fail_after(PATIENCE_S), pytest.raises(StorageError, match=r"queue\.json"):
        await keeper.saved()
    assert stat.S_ISDIR(blocked.stat().st_mode)
