"""A discography that nobody watches costs what its albums cost, however long it runs."""

import tracemalloc
from pathlib import Path

import trio

from client_lib.download.event_box import EventBox
from client_lib.download.events import Progress, Stalled, StallReason
from client_lib.download.queue import DownloadQueue
from client_lib.wire.licensing_api import LicenceRecord
from tests.patience import PATIENCE_S
from tests.unit.client_lib.download.licences import licence

ALBUMS, ROUNDS = 1_000, 10
MOST_BYTES = 3_000_000
MOST_GROWTH = 1.05


def tell(box: EventBox, album: LicenceRecord, verified_bytes: int) -> None:
    box.put(
        Progress(
            licence_id=album.licence_id,
            name=album.name,
            total_bytes=album.size_bytes,
            verified_bytes=verified_bytes,
            from_seeders_bytes=verified_bytes,
            from_customers_bytes=0,
            uploaded_bytes=0,
            download_rate_bytes_s=1_000_000 + verified_bytes,
            upload_rate_bytes_s=0,
            connected_peers=3,
        )
    )
    box.put(
        Stalled(
            licence_id=album.licence_id,
            name=album.name,
            reason=StallReason.NO_PEERS,
            detail=f"no peers yet at {verified_bytes}",
            still_s=15.0,
        )
    )


async def test_memory_is_flat_over_a_thousand_albums_and_ten_thousand_unread_events() -> None:
    albums = [licence(f"rel-{n:04}.flac", number=n) for n in range(ALBUMS)]
    tracemalloc.start()
    try:
        box, queue = EventBox(), DownloadQueue()
        queue.add(albums, str(Path("/music")))
        after: list[int] = []
        for turn in range(1, ROUNDS + 1):
            for album in albums:
                tell(box, album, 300_000 + turn)
                queue.note_verified(album.licence_id, 300_000 + turn)
            after.append(tracemalloc.get_traced_memory()[0])
    finally:
        tracemalloc.stop()
    assert after[0] < MOST_BYTES, after
    assert after[-1] < MOST_GROWTH * after[0], after
    box.close()
    with trio.fail_after(PATIENCE_S):
        unread = [event async for event in box]
    assert len(unread) == 2 * ALBUMS
    newest = {event.verified_bytes for event in unread if isinstance(event, Progress)}
    assert newest == {300_000 + ROUNDS}
