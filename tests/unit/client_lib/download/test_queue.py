"""The queue as values: order is kept, commands are idempotent, what was killed goes on."""

from collections.abc import Callable
from pathlib import Path

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from client_lib.download import queue as queue_module
from client_lib.download.library import DeviceLibrary
from client_lib.download.queue import (
    DownloadQueue,
    Order,
    QueueState,
    StoredQueue,
)
from client_lib.download.queueing.requests import (
    Move,
    Pause,
    QueueRequest,
    QueueRequests,
    Remove,
    Resume,
    apply,
)
from client_lib.errors import StorageError, UsageError
from client_lib.wire.licence import LicenceId
from tests.unit.client_lib.download.licences import licence

LICENCES = [licence(f"rel-{n}.flac", number=n) for n in range(1, 8)]
IDS = [one.licence_id for one in LICENCES]

some_ids = st.lists(st.sampled_from(IDS), max_size=4).map(tuple)
requests = st.one_of(
    st.builds(Pause, some_ids),
    st.builds(Resume, some_ids),
    st.builds(Move, some_ids, st.none() | st.sampled_from(IDS)),
    st.builds(Remove, some_ids, st.booleans()),
)


def filled() -> DownloadQueue:
    queue = DownloadQueue()
    queue.add(LICENCES, "/music")
    return queue


def order(queue: DownloadQueue) -> list[LicenceId]:
    return [entry.licence_id for entry in queue.entries()]


@given(st.lists(requests, max_size=8))
def test_requests_twice_are_once_and_survive_the_file(wanted: list[QueueRequest]) -> None:
    queue = filled()
    for request in wanted:
        apply(request, queue)
        once = queue.stored()
        if isinstance(request, Pause | Resume | Remove) or len(set(request.licence_ids)) == 1:
            apply(request, queue)
            assert queue.stored() == once
        assert set(order(queue)) <= set(IDS)
        assert len(set(order(queue))) == len(order(queue))
    again = msgspec.json.decode(msgspec.json.encode(queue.stored()), type=StoredQueue)
    assert DownloadQueue(again.entries).stored() == queue.stored()


@given(st.permutations(IDS), st.sampled_from(IDS), st.none() | st.sampled_from(IDS))
def test_a_move_moves_nothing_else(
    start: list[LicenceId], moved: LicenceId, before: LicenceId | None
) -> None:
    queue = filled()
    for licence_id in start:
        queue.move(licence_id, None)
    queue.move(moved, before)
    assert [one for one in order(queue) if one != moved] == [one for one in start if one != moved]
    if before is None:
        assert order(queue)[-1] == moved
    elif before != moved:
        assert order(queue).index(moved) + 1 == order(queue).index(before)


def test_what_was_downloading_when_killed_is_queued_at_its_place() -> None:
    queue = filled()
    queue.mark(IDS[2], QueueState.DOWNLOADING)
    queue.mark(IDS[3], QueueState.PAUSED)
    queue.mark(IDS[4], QueueState.FAILED, "why")
    again = DownloadQueue(queue.entries())
    assert order(again) == IDS
    assert again[IDS[2]].state is QueueState.QUEUED
    assert again[IDS[3]].state is QueueState.PAUSED
    assert again[IDS[4]].reason == "why"


def test_added_again_keeps_place_pause_and_chosen_files() -> None:
    queue = filled()
    queue.select(IDS[1], ["*.flac"])
    queue.mark(IDS[1], QueueState.PAUSED)
    queue.mark(IDS[2], QueueState.FAILED, "why")
    queue.mark(IDS[3], QueueState.COMPLETE)
    queue.add(LICENCES[::-1], "/elsewhere")
    assert order(queue) == IDS
    assert (queue[IDS[1]].state, queue[IDS[1]].files) == (QueueState.PAUSED, ("*.flac",))
    assert (queue[IDS[2]].state, queue[IDS[2]].reason) == (QueueState.QUEUED, "")
    assert queue[IDS[3]].state is QueueState.QUEUED
    queue.add(LICENCES, "/elsewhere", [])
    assert queue[IDS[1]].files == ()


def test_complete_albums_leave_the_queue_unless_files_were_chosen() -> None:
    queue = filled()
    for licence_id in IDS[:3]:
        queue.mark(licence_id, QueueState.COMPLETE)
    queue.select(IDS[0], ["x"])
    queue.keep([IDS[1]])
    assert order(queue) == [IDS[0], IDS[1], *IDS[3:]]


def test_waiting_albums_in_either_order() -> None:
    queue = filled()
    queue.note_verified(IDS[4], 900)
    queue.mark(IDS[0], QueueState.DOWNLOADING)
    waiting = queue.waiting(Order.GIVEN, IDS[:6])
    assert [entry.licence_id for entry in waiting] == IDS[1:6]
    waiting = queue.waiting(Order.SMALLEST_FIRST, IDS)
    assert [entry.licence_id for entry in waiting] == [IDS[4], *IDS[1:4], *IDS[5:]]


def test_queue_is_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(queue_module, "MAX_ENTRIES", 7)
    queue = filled()
    queue.add(LICENCES, "/music")
    with pytest.raises(UsageError, match="the queue holds 7 albums, and 1 more"):
        queue.add([licence("rel-9.flac", number=9)], "/music")
    assert order(queue) == IDS


def test_album_that_is_not_queued_is_named() -> None:
    queue = filled()
    stranger = licence("rel-9.flac", number=9).licence_id
    acts: list[Callable[[], None]] = [
        lambda: queue.move(stranger, None),
        lambda: queue.move(IDS[0], stranger),
        lambda: queue.select(stranger, []),
        lambda: queue.mark(stranger, QueueState.PAUSED),
    ]
    for act in acts:
        with pytest.raises(UsageError, match=stranger):
            act()
    assert order(queue) == IDS


@pytest.fixture
def library(tmp_path: Path) -> DeviceLibrary:
    return DeviceLibrary(tmp_path / "data")


def test_queue_file_is_private_and_a_damaged_one_is_named(library: DeviceLibrary) -> None:
    library.keep_queue(filled().stored())
    path = library.folder / "queue.json"
    assert path.stat().st_mode & 0o777 == 0o600
    assert library.queue() == filled().stored()
    path.write_bytes(b"{")
    with pytest.raises(StorageError, match=f"{path} is damaged"):
        library.queue()


def test_requests_are_read_in_order_and_garbage_is_told_apart(library: DeviceLibrary) -> None:
    posted = QueueRequests(library.requests_folder)
    assert list(posted.pending()) == []
    first = posted.post(Pause((IDS[0],)))
    (library.requests_folder / "00garbage.json").write_bytes(b"\xff")
    (library.requests_folder / "note.txt").write_text("mine")
    second = posted.post(Move((IDS[0],), None))
    found = {path.name: request for path, request in posted.pending()}
    assert found["00garbage.json"] is None
    assert [name for name in found if "garbage" not in name] == [first.name, second.name]
    assert found[second.name] == Move((IDS[0],), None)
