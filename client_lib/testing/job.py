"""The real job and its queue over fake albums: nothing on disk but the albums, and no threads."""

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import cast

import trio

from client_lib.download.album import AlbumDownload
from client_lib.download.event_box import EventBox
from client_lib.download.events import Event, Failed
from client_lib.download.job import DownloadJob
from client_lib.download.line.limits import LineLimits
from client_lib.download.listening.order import find_track
from client_lib.download.queue import DownloadQueue, Order, QueueEntry
from client_lib.download.queueing.keeper import QueueKeeper
from client_lib.download.queueing.requests import Move, Pause, QueueRequest, Remove, Resume
from client_lib.download.runner import JobRunner, _Run
from client_lib.download.settings import ClientSettings
from client_lib.download.surroundings import Surroundings
from client_lib.download.tracks import Tracks
from client_lib.download.traffic.keeper import TrafficKeeper
from client_lib.download.traffic.ledger import AlbumTraffic
from client_lib.download.traffic.totals import AlbumTotals
from client_lib.errors import UsageError
from client_lib.testing.album import FakeAlbum, FakeTotals
from client_lib.testing.books import Books, Device
from client_lib.testing.track import FakeTrackStream
from client_lib.wire.licence import LicenceId
from client_lib.wire.licensing_api import LicenceRecord

_ROOM_S = 2.0


class FakeKeeper(QueueKeeper):
    """Keeps the queue with the device, in memory."""

    def __init__(self, device: Device) -> None:
        """Take over the queue of the last run."""
        self.queue = DownloadQueue(device.queue.entries)
        self._device = device

    def changed(self) -> None:
        """Remember it."""
        self._device.queue = self.queue.stored()

    async def saved(self) -> None:
        """Remember it."""
        self.changed()
        await trio.lowlevel.checkpoint()

    def write_now(self) -> None:
        """Remember it."""
        self.changed()

    async def run(self) -> None:
        """Do nothing, for ever: every change is remembered when it is made."""
        await trio.sleep_forever()


class _FakeSurroundings:
    """What the runner itself asks of its surroundings."""

    def __init__(self, emit: Callable[[Event], None], settings: ClientSettings) -> None:
        self.emit = emit
        self.patience_s = settings.patience_s

    async def join_ahead(self, _licence: LicenceRecord) -> None:
        await trio.lowlevel.checkpoint()


class _NoTraffic(TrafficKeeper):
    """Keeps nothing: a fake device counts in its own albums."""

    def __init__(self) -> None:
        pass

    def before(self, _licence_id: LicenceId) -> AlbumTraffic:
        return AlbumTraffic()

    async def run(self, _totals: Mapping[LicenceId, AlbumTotals]) -> None:
        await trio.sleep_forever()

    def write_now(self, _totals: Mapping[LicenceId, AlbumTotals]) -> None:
        pass


class FakeRunner(JobRunner):
    """The real engine, starting fake albums."""

    def __init__(
        self,
        store: Books,
        device: Device,
        settings: ClientSettings,
        keeper: FakeKeeper,
        emit: Callable[[Event], None],
        *,
        order: Order,
        keep_seeding: bool,
    ) -> None:
        """Take the store and the device beside what the real one takes."""
        super().__init__(
            cast("Surroundings", _FakeSurroundings(emit, settings)),
            keeper,
            concurrent=settings.concurrent_albums,
            order=order,
            keep_seeding=keep_seeding,
            traffic=_NoTraffic(),
        )
        self._store = store
        self._device = device
        self._settings = settings
        self._emit = emit
        self._counts: dict[LicenceId, FakeTotals] = {}

    async def cancel(self, licence_id: LicenceId, *, discard: bool) -> None:
        """Take an album out of job and queue; with `discard` what was fetched goes too."""
        await super().cancel(licence_id, discard=False)
        state = self._device.albums.get(licence_id)
        if discard and state is not None and not state.complete:
            del self._device.albums[licence_id]

    def _start(self, entry: QueueEntry, albums: trio.Nursery) -> None:
        licence = self.licences[entry.licence_id]
        totals = self._counts.setdefault(entry.licence_id, FakeTotals(entry.licence_id, entry.name))
        self._totals[entry.licence_id] = totals
        album = FakeAlbum(
            licence,
            self._store,
            self._device,
            self._settings,
            totals,
            emit=self._emit,
            into=Path(entry.into),
            files=entry.files,
            keep_seeding=self._keep_seeding,
            on_fetched=lambda: self._fetched(run),
            on_finished=lambda finished: self._finished(run, finished),
        )
        run = _Run(cast("AlbumDownload", album))
        self._begin(licence, run, albums)

    async def _check_room(self) -> None:
        """A fake disk has room, unless a script says otherwise."""
        await trio.lowlevel.checkpoint()

    async def _watch_room(self) -> None:
        """Let albums go on whose script filled the disk."""
        while True:
            await trio.sleep(_ROOM_S)
            self.resume(tuple(self._no_room))


class FakeJob(DownloadJob):
    """The real job, over the fake engine."""

    def __init__(
        self,
        store: Books,
        device: Device,
        settings: ClientSettings,
        limits: LineLimits,
        into: Path,
        *,
        order: Order,
        keep_seeding: bool,
    ) -> None:
        """Made by `FakeClient.download`."""
        box, keeper = EventBox(), FakeKeeper(device)
        runner = FakeRunner(
            store, device, settings, keeper, box.put, order=order, keep_seeding=keep_seeding
        )
        super().__init__(runner, keeper, box, limits, cast("Tracks", None), into)
        self._store = store
        self._device = device

    async def open_track(self, licence_id: LicenceId, path: str) -> FakeTrackStream:
        """Open a file of an album of the job. Raises UsageError."""
        await trio.lowlevel.checkpoint()
        if licence_id not in self._runner.licences:
            raise UsageError(f"{licence_id}: this album is not in the job")
        release = self._store.release(self._runner.licences[licence_id].name)
        files = list(release.files.items())
        name, size = files[find_track(release.name, path, list(release.files))]

        async def arrival(count: int) -> None:
            while not self._device.album(licence_id).complete:
                ended = self._runner.outcomes.get(licence_id)
                if isinstance(ended, Failed):
                    raise ended.error
                if self._store.rate_bytes_s:
                    await trio.sleep(count / self._store.rate_bytes_s)
                    return
                await trio.sleep(_ROOM_S)
            await trio.lowlevel.checkpoint()

        return FakeTrackStream(name, size, arrival)

    async def ask(self, request: QueueRequest) -> None:
        """Carry out what another client of the device asks. Albums not in the queue are left."""
        known = [one for one in request.licence_ids if one in self._keeper.queue]
        match request:
            case Pause():
                self._runner.pause(known)
            case Resume():
                self._runner.resume(known)
            case Move(before=before):
                if before is None or before in self._keeper.queue:
                    self._runner.move(known, before)
            case Remove(discard=discard):
                for licence_id in known:
                    await self._runner.cancel(licence_id, discard=discard)
        await self._keeper.saved()

    async def _obey(self, _requests: object) -> None:
        """Do nothing: requests come by `ask`."""
        await trio.sleep_forever()
