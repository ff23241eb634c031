"""Events for a reader of any speed."""

from pathlib import Path

import trio
from trio.testing import wait_all_tasks_blocked

from client_lib.download.event_box import EventBox
from client_lib.download.events import Event, Failed, Finished, Progress, Started, Trouble
from client_lib.errors import DownloadError
from client_lib.wire.licence import LicenceId, licence_id_from
from client_lib.wire.release import TorrentName
from tests.patience import PATIENCE_S

IDS = [licence_id_from(bytes(15) + bytes([n])) for n in range(3)]
NAME = TorrentName("rel-1.flac")


def progress(licence_id: LicenceId, verified: int) -> Progress:
    return Progress(
        licence_id=licence_id,
        name=NAME,
        total_bytes=100,
        verified_bytes=verified,
        from_seeders_bytes=0,
        from_customers_bytes=verified,
        uploaded_bytes=0,
        download_rate_bytes_s=10,
        upload_rate_bytes_s=0,
        connected_peers=1,
    )


def started(licence_id: LicenceId) -> Started:
    return Started(licence_id=licence_id, name=NAME, total_bytes=100, resumed_bytes=0)


def trouble(licence_id: LicenceId, message: str) -> Trouble:
    return Trouble(licence_id=licence_id, name=NAME, message=message)


def finished(licence_id: LicenceId) -> Finished:
    return Finished(licence_id=licence_id, name=NAME, folder=Path("/x"), total_bytes=100)


async def drain(box: EventBox) -> list[Event]:
    box.close()
    events: list[Event] = []
    while (event := await box.get()) is not None:
        events.append(event)
    return events


async def test_slow_reader_gets_milestones_in_order_then_the_newest_progress() -> None:
    box = EventBox()
    box.put(progress(IDS[0], 1))
    box.put(started(IDS[0]))
    box.put(trouble(IDS[0], "first"))
    for verified in range(2, 1_000):
        box.put(progress(IDS[0], verified))
        box.put(trouble(IDS[0], f"{verified}"))
    box.put(started(IDS[1]))
    assert await drain(box) == [
        started(IDS[0]),
        trouble(IDS[0], "999"),
        started(IDS[1]),
        progress(IDS[0], 999),
    ]


async def test_unread_events_are_bounded_by_the_number_of_albums() -> None:
    box = EventBox()
    for turn in range(10_000):
        licence_id = IDS[turn % 3]
        box.put(progress(licence_id, turn))
        box.put(trouble(licence_id, str(turn)))
        box.put(started(licence_id))
    assert len(await drain(box)) == 9


async def test_no_progress_is_shown_after_the_end() -> None:
    box = EventBox()
    box.put(progress(IDS[0], 50))
    box.put(finished(IDS[0]))
    box.put(progress(IDS[1], 50))
    failed = Failed(licence_id=IDS[1], name=NAME, error=DownloadError("x"))
    box.put(failed)
    assert await drain(box) == [finished(IDS[0]), failed]


async def test_waiting_reader_is_woken_by_an_event_and_by_the_end() -> None:
    box, read = EventBox(), []

    async def reader() -> None:
        while (event := await box.get()) is not None:
            read.append(event)

    with trio.fail_after(PATIENCE_S):
        async with trio.open_nursery() as nursery:
            nursery.start_soon(reader)
            await wait_all_tasks_blocked()
            box.put(started(IDS[0]))
            await wait_all_tasks_blocked()
            assert read == [started(IDS[0])]
            box.close()
    assert await box.get() is None


def test_eta_is_known_only_while_something_arrives() -> None:
    assert progress(IDS[0], 50).eta_s == 5.0
    still = Progress(
        **{
            **{name: getattr(progress(IDS[0], 50), name) for name in Progress.__slots__},
            "download_rate_bytes_s": 0,
        }
    )
    assert still.eta_s is None
