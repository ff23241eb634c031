"""The engine of a job: starts albums as places get free, and carries out what it is told."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

import trio

from client_lib.download.album import AlbumDownload
from client_lib.download.disk import placement
from client_lib.download.disk.room_ahead import warn_of_shortage
from client_lib.download.disk.space import disk_full_error
from client_lib.download.events import (
    DiskFull,
    Failed,
    Finished,
    Paused,
    Queued,
    Revoked,
)
from client_lib.download.line.concurrency import Concurrency, LineSample
from client_lib.download.prefetch import MOST_AHEAD, Prefetch
from client_lib.download.queue import Order, QueueEntry, QueueState
from client_lib.download.queueing.keeper import QueueKeeper
from client_lib.download.surroundings import Surroundings
from client_lib.download.traffic.keeper import TrafficKeeper
from client_lib.download.traffic.totals import AlbumTotals
from client_lib.errors import (
    AlbumswarmError,
    DiskFullError,
    DownloadError,
    LicenceRevoked,
    UsageError,
)
from client_lib.nursery import leaves, open_quiet_nursery
from client_lib.wire.licence import LicenceId
from client_lib.wire.licensing_api import LicenceRecord

_TICK_S = 0.5
_ROOM_S = 2.0
_MOST_OPEN = 48  # albums fetching or being finished: a slow disk must not pile them up
_NEXT = 8


@dataclass(eq=False)
class _Run:
    """An album under way. A place is held until nothing more of it is to come."""

    album: AlbumDownload
    fetching: bool = True
    scope: trio.CancelScope = field(default_factory=trio.CancelScope)
    ended: trio.Event = field(default_factory=trio.Event)


class JobRunner:
    """Runs the albums of one job. All methods but `run` are for the job's own task tree."""

    def __init__(
        self,
        around: Surroundings,
        keeper: QueueKeeper,
        *,
        concurrent: int | None,
        order: Order,
        keep_seeding: bool,
        traffic: TrafficKeeper,
    ) -> None:
        """Take the job's surroundings; `concurrent` None: as the line behaves."""
        self.licences: dict[LicenceId, LicenceRecord] = {}
        self.outcomes: dict[LicenceId, Finished | Failed] = {}
        self.order = order
        self._around = around
        self._keeper = keeper
        self._queue = keeper.queue
        self._concurrency = Concurrency(concurrent)
        self._keep_seeding = keep_seeding
        self._runs: dict[LicenceId, _Run] = {}
        self._open: dict[LicenceId, _Run] = {}
        """Those that are not complete yet, of perhaps a thousand that are given to others."""
        self._traffic = traffic
        self._totals: dict[LicenceId, AlbumTotals] = {}
        self._awaited: set[LicenceId] = set()
        self._no_room: dict[LicenceId, tuple[DiskFullError, float]] = {}
        self._cancelling: list[LicenceId] = []
        self._prefetch = Prefetch(around.join_ahead)
        self._wake = trio.Event()
        self.ended = False  # every album has, and no other is taken up

    def add(
        self, licences: Sequence[LicenceRecord], into: Path, files: Sequence[str] | None = None
    ) -> None:
        """Take up albums: new ones go to the end of the queue. Raises UsageError.

        Those under way go on; one that is being cancelled begins anew when it has left its swarm.
        """
        if self.ended:
            raise UsageError("this download has ended: start another one")
        under_way = self._runs.keys() & self.licences.keys()
        fresh = [licence for licence in licences if licence.licence_id not in under_way]
        self._queue.add(fresh, str(into.expanduser().absolute()), files)
        emit = self._around.emit
        for licence in fresh:
            licence_id, name = licence.licence_id, licence.name
            self.licences[licence_id] = licence
            self.outcomes.pop(licence_id, None)
            if self._queue[licence_id].state is QueueState.PAUSED:
                emit(Paused(licence_id=licence_id, name=name))
            else:
                emit(Queued(licence_id=licence_id, name=name, total_bytes=licence.size_bytes))
        self._changed()

    def pause(self, licence_ids: Sequence[LicenceId]) -> None:
        """Stop albums that have not ended, keeping their place. Twice is the same as once."""
        for licence_id in self._mine(licence_ids):
            entry = self._queue[licence_id]
            if licence_id in self.outcomes or entry.state is QueueState.PAUSED:
                continue
            self._queue.mark(licence_id, QueueState.PAUSED)
            self._no_room.pop(licence_id, None)
            self._stop(licence_id)
            self._around.emit(Paused(licence_id=licence_id, name=entry.name))
        self._changed()

    def resume(self, licence_ids: Sequence[LicenceId]) -> None:
        """Queue albums again that were paused, failed, or wait for room on the disk."""
        for licence_id in self._mine(licence_ids):
            entry = self._queue[licence_id]
            waited = self._no_room.pop(licence_id, None) is not None
            if entry.state in (QueueState.PAUSED, QueueState.FAILED):
                self.outcomes.pop(licence_id, None)
                self._queue.mark(licence_id, QueueState.QUEUED)
            elif not waited:
                continue
            self._around.emit(
                Queued(licence_id=licence_id, name=entry.name, total_bytes=entry.size_bytes)
            )
        self._changed()

    async def cancel(self, licence_id: LicenceId, *, discard: bool) -> None:
        """Take an album out of job and queue; with `discard` its partial files go too."""
        self._queue.remove(licence_id)
        self._no_room.pop(licence_id, None)
        self.licences.pop(licence_id, None)
        self.outcomes.pop(licence_id, None)
        self._cancelling.append(licence_id)  # and may be added again meanwhile
        run = self._stop(licence_id)
        self._changed()
        try:
            if run is not None:
                await run.ended.wait()
            if discard:
                await trio.to_thread.run_sync(placement.discard, self._around.library, licence_id)
        finally:
            self._cancelling.remove(licence_id)
            self._changed()
        await trio.lowlevel.checkpoint()

    def move(self, licence_ids: Sequence[LicenceId], before: LicenceId | None) -> None:
        """Put albums before another one, None: at the end. Raises UsageError."""
        for licence_id in licence_ids:
            self._queue.move(licence_id, before)
        self._changed()

    def prioritise(self, licence_ids: Sequence[LicenceId]) -> None:
        """Have albums come next, in the order given. Raises UsageError."""
        others = [
            entry.licence_id
            for entry in self._queue.entries()
            if entry.state is QueueState.QUEUED and entry.licence_id not in licence_ids
        ]
        self.move(licence_ids, others[0] if others else None)

    def select(self, licence_id: LicenceId, files: Sequence[str]) -> None:
        """Choose files of an album; one that ended is taken up again. Raises UsageError."""
        if licence_id not in self.licences:
            raise UsageError(f"{licence_id}: this album is not in the job")
        ended = isinstance(self.outcomes.get(licence_id), Finished)
        if not ended and (album := self.album(licence_id)) is not None:
            album.select(files)
        self._queue.select(licence_id, files)
        if ended:
            self.outcomes.pop(licence_id)
            self._queue.mark(licence_id, QueueState.QUEUED)
            self._stop(licence_id)
        self._changed()

    def album(self, licence_id: LicenceId) -> AlbumDownload | None:
        """Return an album that is under way."""
        run = self._runs.get(licence_id)
        return None if run is None else run.album

    def await_album(self, licence_id: LicenceId) -> None:
        """Start an album at once: somebody waits for it. Raises UsageError if the job has ended."""
        if self.ended:
            raise UsageError("this download has ended: start another one")
        if licence_id not in self._awaited:
            self._awaited.add(licence_id)
            self._changed()

    @property
    def next_change(self) -> trio.Event:
        """Set when an album joins its swarm or ends, or the queue changes."""
        return self._wake

    def write_traffic(self) -> None:
        """Write what was taken and given, blocking. Raises StorageError."""
        self._traffic.write_now(self._totals)

    @property
    def received_bytes(self) -> int:
        """Payload of the job, of all albums."""
        return sum(totals.received_bytes for totals in self._totals.values())

    async def run(self) -> None:
        """Run until every album has ended, which is never while seeding."""
        async with open_quiet_nursery() as nursery:
            nursery.start_soon(self._prefetch.run)
            nursery.start_soon(self._watch_line)
            nursery.start_soon(self._watch_room)
            nursery.start_soon(self._traffic.run, self._totals)
            nursery.start_soon(self._check_room)
            async with open_quiet_nursery() as albums:
                while not self._is_done():
                    woken = self._wake
                    self._admit(albums)
                    await woken.wait()
                self.ended = True
                albums.cancel_scope.cancel()
            nursery.cancel_scope.cancel()

    def _is_done(self) -> bool:
        all_ended = self.licences.keys() <= self.outcomes.keys()
        return all_ended and not (self._keep_seeding and self._runs)

    def _admit(self, albums: trio.Nursery) -> None:
        waiting = self._waiting()
        fetching, unfinished = sum(run.fetching for run in self._open.values()), len(self._open)
        waiting.sort(key=lambda entry: entry.licence_id not in self._awaited)  # those come first
        while waiting and (
            waiting[0].licence_id in self._awaited
            or (fetching < self._concurrency.target and unfinished < _MOST_OPEN)
        ):
            self._start(waiting.pop(0), albums)
            fetching, unfinished = fetching + 1, unfinished + 1
        self._prefetch.want([self.licences[entry.licence_id] for entry in waiting[:MOST_AHEAD]])

    def _waiting(self) -> list[QueueEntry]:
        held = self._runs.keys() | self._no_room.keys() | set(self._cancelling)
        waiting = self._queue.waiting(self.order, self.licences.keys())
        return [entry for entry in waiting if entry.licence_id not in held]

    def _start(self, entry: QueueEntry, albums: trio.Nursery) -> None:
        licence = self.licences[entry.licence_id]
        totals = self._totals.setdefault(
            entry.licence_id,
            AlbumTotals(entry.licence_id, entry.name, self._traffic.before(entry.licence_id)),
        )
        album = AlbumDownload(
            licence,
            self._around,
            totals,
            into=Path(entry.into),
            files=entry.files,
            keep_seeding=self._keep_seeding,
            on_joined=self._changed,
            on_fetched=lambda: self._fetched(run),
            on_finished=lambda finished: self._finished(run, finished),
        )
        run = _Run(album)
        self._begin(licence, run, albums)

    def _begin(self, licence: LicenceRecord, run: _Run, albums: trio.Nursery) -> None:
        licence_id = licence.licence_id
        self._runs[licence_id] = self._open[licence_id] = run
        self._queue.mark(licence_id, QueueState.DOWNLOADING)
        self._keeper.changed()
        self._prefetch.reserve(licence_id)
        albums.start_soon(self._run_one, licence, run)

    async def _run_one(self, licence: LicenceRecord, run: _Run) -> None:
        try:
            with run.scope:
                member = await self._prefetch.take(licence.licence_id)
                await run.album.run(member)
        except AlbumswarmError as error:
            self._ended_badly(licence, error)
        except OSError as error:
            self._ended_badly(licence, DownloadError(f"{licence.name}: {error}"))
        except ExceptionGroup as group:
            # An album that is stopped while it fails: what was cancelled is out of the group.
            errors = [leaf for leaf in leaves(group) if isinstance(leaf, AlbumswarmError)]
            if errors != leaves(group):
                raise
            self._ended_badly(licence, errors[0])
        finally:
            self._note_verified(licence.licence_id)
            del self._runs[licence.licence_id]
            self._open.pop(licence.licence_id, None)
            run.ended.set()
            self._changed()

    def _fetched(self, run: _Run) -> None:
        run.fetching = False
        self._changed()

    def _finished(self, run: _Run, finished: Finished) -> None:
        run.fetching = False
        self._open.pop(finished.licence_id, None)
        self.outcomes[finished.licence_id] = finished
        if finished.licence_id in self._queue:
            self._queue.mark(finished.licence_id, QueueState.COMPLETE)
        self._around.emit(finished)
        self._changed()

    def _ended_badly(self, licence: LicenceRecord, error: Exception) -> None:
        licence_id, name = licence.licence_id, licence.name
        if isinstance(error, LicenceRevoked):
            self._around.emit(Revoked(licence_id=licence_id, name=name, message=str(error)))
        entry = self._queue.find(licence_id)
        if entry is None or entry.state is not QueueState.DOWNLOADING:
            return  # complete and only given since, or stopped by the customer at this moment
        if (full := disk_full_error(error)) is not None:
            self._queue.mark(licence_id, QueueState.QUEUED)
            self._no_room[licence_id] = full, trio.current_time()
            self._around.emit(
                DiskFull(
                    licence_id=licence_id,
                    name=name,
                    where=full.where,
                    needed_bytes=full.needed_bytes,
                    free_bytes=full.free_bytes,
                )
            )
            return
        self._fail(licence, error)

    def _fail(self, licence: LicenceRecord, error: Exception) -> None:
        failed = Failed(licence_id=licence.licence_id, name=licence.name, error=error)
        self._queue.mark(licence.licence_id, QueueState.FAILED, str(error))
        self.outcomes[licence.licence_id] = failed
        self._around.emit(failed)

    def _stop(self, licence_id: LicenceId) -> _Run | None:
        run = self._runs.get(licence_id)
        if run is not None:
            run.scope.cancel()
        return run

    def _note_verified(self, licence_id: LicenceId) -> None:
        self._queue.note_verified(licence_id, self._totals[licence_id].verified_bytes)

    def _mine(self, licence_ids: Sequence[LicenceId]) -> list[LicenceId]:
        return [one for one in licence_ids if one in self.licences and one in self._queue]

    def _changed(self) -> None:
        self._keeper.changed()
        self._wake.set()
        self._wake = trio.Event()

    async def _watch_line(self) -> None:
        """Find out how many albums at a time the line wants."""
        while True:
            await trio.sleep(_TICK_S)
            waiting = self._waiting()
            following = [entry.remaining_bytes for entry in waiting[:_NEXT]]
            fetching = [licence_id for licence_id, run in self._open.items() if run.fetching]
            before = self._concurrency.target
            target = self._concurrency.update(
                LineSample(
                    now_s=trio.current_time(),
                    received_bytes=self.received_bytes,
                    active=len(fetching),
                    waiting=len(waiting),
                    remaining_bytes=sum(self._totals[one].remaining_bytes for one in fetching),
                    next_bytes=sum(following) // max(1, len(following)),
                )
            )
            if target > before:
                self._changed()

    async def _check_room(self) -> None:
        mine = [one for one in self._queue.entries() if one.licence_id in self.licences]
        await warn_of_shortage(self._around.library, mine, self._around.emit)

    async def _watch_room(self) -> None:
        """Let albums go on that wait for room on a disk, when there is some.

        When nothing else is under way, patience ends for them too.
        """
        while True:
            await trio.sleep(_ROOM_S)
            under_way = bool(self._open)
            for licence_id, (full, since) in tuple(self._no_room.items()):
                fits, where = self._around.space.fits, Path(full.where)
                if await trio.to_thread.run_sync(fits, where, full.needed_bytes):
                    self.resume([licence_id])
                elif not under_way and trio.current_time() - since > self._around.patience_s:
                    self._no_room.pop(licence_id, None)
                    self._fail(self.licences[licence_id], full)
                    self._changed()
