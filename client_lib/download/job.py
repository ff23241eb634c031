"""A job as its owner sees it: what happens, how it ended, and what may be asked of it meanwhile."""

import contextlib
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from pathlib import Path

import trio

from client_lib.download.event_box import EventBox
from client_lib.download.events import Event, Failed, Finished
from client_lib.download.line.limits import LineLimits
from client_lib.download.line.schedule import Limits
from client_lib.download.listening.track_stream import TrackStream
from client_lib.download.queue import Order, QueueEntry
from client_lib.download.queueing.keeper import QueueKeeper
from client_lib.download.queueing.requests import Move, Pause, QueueRequests, Remove, Resume
from client_lib.download.runner import JobRunner
from client_lib.download.summary import JobSummary
from client_lib.download.tracks import Tracks
from client_lib.errors import DownloadError, UsageError
from client_lib.nursery import open_quiet_nursery
from client_lib.wire.licence import LicenceId
from client_lib.wire.licensing_api import LicenceRecord

_REQUESTS_S = 0.5


class DownloadJob:
    """A running download. Leaving its `async with` block stops it and keeps partial files.

    Every command takes effect at once, may be given by any task inside the block, and twice is
    the same as once. It returns when the queue is on disk, so what it did outlives a crash.
    Commands raise UsageError for an album that is not in the queue, StorageError.
    """

    def __init__(
        self,
        runner: JobRunner,
        keeper: QueueKeeper,
        box: EventBox,
        limits: LineLimits,
        tracks: Tracks,
        into: Path,
    ) -> None:
        """Made by `Client.download`."""
        self._runner = runner
        self._keeper = keeper
        self._box = box
        self._limits = limits
        self._tracks = tracks
        self._into = into
        self._order: list[LicenceRecord] = []
        self._done = trio.Event()

    @property
    def licences(self) -> tuple[LicenceRecord, ...]:
        """Albums of the job, in the order asked for, without those cancelled."""
        return tuple(one for one in self._order if one.licence_id in self._runner.licences)

    @property
    def outcomes(self) -> dict[LicenceId, Finished | Failed]:
        """How each album ended, as far as it has."""
        return self._runner.outcomes

    @property
    def queue(self) -> tuple[QueueEntry, ...]:
        """The device's queue as it is now, in order, other jobs' albums included."""
        return self._keeper.queue.entries()

    def events(self) -> AsyncIterator[Event]:
        """Events until every album has ended. Conflated: a slow reader sees fewer.

        No generator: an `async for` over it may be left at any event.
        """
        return self._box

    async def result(self) -> tuple[Finished, ...]:
        """Wait until every album has ended; raises the first failure, in the order asked for."""
        await self._done.wait()
        finished: list[Finished] = []
        for licence in self.licences:
            match self.outcomes.get(licence.licence_id):
                case Finished() as outcome:
                    finished.append(outcome)
                case Failed(error=error):
                    raise error
                case None:
                    raise DownloadError(f"{licence.name}: stopped; what is there is kept")
        return tuple(finished)

    def summary(self) -> JobSummary:
        """How the albums ended, as far as they have."""
        ends = [self.outcomes.get(one.licence_id) for one in self._order]
        return JobSummary(
            done=tuple(end for end in ends if isinstance(end, Finished)),
            failed=tuple(end for end in ends if isinstance(end, Failed)),
            skipped=tuple(
                one.name for one, end in zip(self._order, ends, strict=True) if end is None
            ),
        )

    async def add(
        self,
        licences: Sequence[LicenceRecord],
        *,
        into: Path | None = None,
        files: Sequence[str] | None = None,
    ) -> None:
        """Add albums to the end of the queue; those that are in it keep their place.

        Raises UsageError when the job has ended, or the queue would be too long.
        """
        self._take_up(licences, into or self._into, files)
        await self._keeper.saved()

    async def pause(self, licence_id: LicenceId | None = None) -> None:
        """Pause an album, None: all that have not ended. It keeps what it has and its place.

        Paused albums keep the job open, and stay paused in the next run.
        """
        self._runner.pause(self._these(licence_id))
        await self._keeper.saved()

    async def resume(self, licence_id: LicenceId | None = None) -> None:
        """Let an album go on (None: all) that was paused, failed, or waits for room on the disk."""
        self._runner.resume(self._these(licence_id))
        await self._keeper.saved()

    async def cancel(self, licence_id: LicenceId, *, discard: bool = False) -> None:
        """Take an album out of job and queue. Its partial files stay unless `discard`."""
        await self._runner.cancel(licence_id, discard=discard)
        await self._keeper.saved()

    async def move(self, licence_id: LicenceId, *, before: LicenceId | None = None) -> None:
        """Put an album before another one of the queue, None: at the end."""
        self._runner.move([licence_id], before)
        await self._keeper.saved()

    async def prioritise(self, licence_id: LicenceId) -> None:
        """Have an album come next. Those under way go on."""
        self._runner.prioritise([licence_id])
        await self._keeper.saved()

    async def set_order(self, order: Order) -> None:
        """Choose which album comes next: as the queue has them, or the smallest first."""
        self._runner.order = order
        await trio.lowlevel.checkpoint()

    async def select_files(self, licence_id: LicenceId, paths: Sequence[str]) -> None:
        """Choose files of an album by path or pattern (`*.flac`), none: all.

        It is finished, and under its final name, when these are complete; more may be chosen
        later. Raises UsageError for an item that fits no file, as far as the files are known;
        otherwise the album fails with it.
        """
        self._runner.select(licence_id, tuple(paths))
        await self._keeper.saved()

    def set_limits(self, *, up_bytes_s: int = 0, down_bytes_s: int = 0) -> None:
        """Limit the line from now on, 0 = no limit. A schedule's next change ends it.

        Raises UsageError for a rate below 0 or of 2 GiB/s and more.
        """
        self._limits.set(Limits(up_bytes_s, down_bytes_s))

    async def open_track(self, licence_id: LicenceId, path: str) -> TrackStream:
        """Open a file of an album to play it, while it downloads or when it is complete.

        `path` is that below the album folder (case ignored), a pattern that fits one file, or the
        number of a track in listening order. What is played next is fetched first; an album that
        waits for its turn is started. Raises UsageError (no such file, not chosen, paused), and
        what ended the album.
        """
        return await self._tracks.open(licence_id, path)

    def _take_up(
        self, licences: Sequence[LicenceRecord], into: Path, files: Sequence[str] | None
    ) -> None:
        self._runner.add(licences, into, files)
        known = {licence.licence_id for licence in self._order}
        self._order += [one for one in licences if one.licence_id not in known]

    def _these(self, licence_id: LicenceId | None) -> Sequence[LicenceId]:
        if licence_id is None:
            return tuple(self._runner.licences)
        if licence_id not in self._keeper.queue:
            raise UsageError(f"{licence_id}: this licence is not in the queue")
        return (licence_id,)

    async def _run(self, requests: QueueRequests) -> None:
        """Run all albums. Ends when all have ended, which is never while seeding."""
        try:
            async with open_quiet_nursery() as nursery:
                nursery.start_soon(self._keeper.run)
                nursery.start_soon(self._obey, requests)
                nursery.start_soon(self._limits.follow_schedule)
                await self._runner.run()
                nursery.cancel_scope.cancel()
        finally:
            self._done.set()
            self._box.close()

    def _write_last(self) -> None:
        self._keeper.write_now()
        self._runner.write_traffic()

    async def _obey(self, requests: QueueRequests) -> None:
        """Carry out what other commands ask, in the order in which they asked."""
        while True:
            for path, request in await trio.to_thread.run_sync(lambda: tuple(requests.pending())):
                if request is not None:
                    with contextlib.suppress(UsageError):  # it has left the queue meanwhile
                        match request:
                            case Pause(licence_ids=those):
                                self._runner.pause(those)
                            case Resume(licence_ids=those):
                                self._runner.resume(those)
                            case Move(licence_ids=those, before=before):
                                self._runner.move(those, before)
                            case Remove(licence_ids=those, discard=discard):
                                for licence_id in those:
                                    await self._runner.cancel(licence_id, discard=discard)
                    await self._keeper.saved()
                path.unlink(missing_ok=True)
            await trio.sleep(_REQUESTS_S)


@contextlib.asynccontextmanager
async def running_job(
    job: DownloadJob,
    licences: Sequence[LicenceRecord],
    files: Sequence[str] | None,
    requests: QueueRequests,
    tasks: Sequence[Callable[[], Awaitable[None]]],
) -> AsyncIterator[None]:
    """Run `job` with its first albums, and `tasks`, while the block lasts.

    Queue and traffic are written last of all.
    """
    job._take_up(licences, job._into, files)
    try:
        async with open_quiet_nursery() as nursery:
            for task in tasks:
                nursery.start_soon(task)
            nursery.start_soon(job._run, requests)
            await job._keeper.saved()  # what is to be fetched is told, whatever ends us now
            yield
            nursery.cancel_scope.cancel()
    finally:
        with trio.CancelScope(shield=True):
            await trio.to_thread.run_sync(job._write_last)
