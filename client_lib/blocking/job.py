"""`DownloadJob` of the package, for any thread."""

from collections.abc import Iterator, Sequence
from pathlib import Path

import trio

from client_lib.blocking.portal import Held, Portal, PortalClosed
from client_lib.blocking.track import TrackStream
from client_lib.download import job as trio_job
from client_lib.download.events import Event, Failed, Finished
from client_lib.download.queue import Order, QueueEntry
from client_lib.download.summary import JobSummary
from client_lib.wire.licence import LicenceId
from client_lib.wire.licensing_api import LicenceRecord


class DownloadJob:
    """A running download. Leaving its `with` block stops it and keeps partial files.

    Each method is that of `client_lib.DownloadJob`, and raises what that raises. How it ended
    can be asked after the block, too.
    """

    def __init__(self, portal: Portal, held: Held[trio_job.DownloadJob]) -> None:
        """Made by `Client.download`."""
        self._portal = portal
        self._held = held
        self._job = held.value

    @property
    def licences(self) -> tuple[LicenceRecord, ...]:
        """Albums of the job, in the order asked for, without those cancelled."""
        return self._portal.tell(lambda: self._job.licences)

    @property
    def outcomes(self) -> dict[LicenceId, Finished | Failed]:
        """How each album ended, as far as it has: a copy, because the job goes on."""
        return self._portal.tell(lambda: dict(self._job.outcomes))

    @property
    def queue(self) -> tuple[QueueEntry, ...]:
        """The device's queue as it is now, in order, other jobs' albums included."""
        return self._portal.tell(lambda: self._job.queue)

    def events(self) -> Iterator[Event]:
        """Events until every album has ended, or the client is closed. May be left at any event."""
        return _Events(self._portal, self._job)

    def result(self) -> tuple[Finished, ...]:
        """Wait until every album has ended; raises the first failure, in the order asked for."""
        return self._portal.call(self._job.result)

    def summary(self) -> JobSummary:
        """How the albums ended, as far as they have."""
        return self._portal.tell(self._job.summary)

    def add(
        self,
        licences: Sequence[LicenceRecord],
        *,
        into: Path | None = None,
        files: Sequence[str] | None = None,
    ) -> None:
        """Add albums to the end of the queue; those that are in it keep their place."""
        self._portal.call(lambda: self._job.add(licences, into=into, files=files))

    def pause(self, licence_id: LicenceId | None = None) -> None:
        """Pause an album, None: all that have not ended. It keeps what it has and its place."""
        self._portal.call(lambda: self._job.pause(licence_id))

    def resume(self, licence_id: LicenceId | None = None) -> None:
        """Let an album go on (None: all) that was paused, failed, or waits for room on the disk."""
        self._portal.call(lambda: self._job.resume(licence_id))

    def cancel(self, licence_id: LicenceId, *, discard: bool = False) -> None:
        """Take an album out of job and queue. Its partial files stay unless `discard`."""
        self._portal.call(lambda: self._job.cancel(licence_id, discard=discard))

    def move(self, licence_id: LicenceId, *, before: LicenceId | None = None) -> None:
        """Put an album before another one of the queue, None: at the end."""
        self._portal.call(lambda: self._job.move(licence_id, before=before))

    def prioritise(self, licence_id: LicenceId) -> None:
        """Have an album come next. Those under way go on."""
        self._portal.call(lambda: self._job.prioritise(licence_id))

    def set_order(self, order: Order) -> None:
        """Choose which album comes next: as the queue has them, or the smallest first."""
        self._portal.call(lambda: self._job.set_order(order))

    def select_files(self, licence_id: LicenceId, paths: Sequence[str]) -> None:
        """Choose files of an album by path or pattern (`*.flac`), none: all."""
        self._portal.call(lambda: self._job.select_files(licence_id, paths))

    def open_track(self, licence_id: LicenceId, path: str) -> TrackStream:
        """Open a file of an album to play it, while it downloads or when it is complete."""
        stream = self._portal.call(lambda: self._job.open_track(licence_id, path))
        return TrackStream(self._portal, stream)

    def set_limits(self, *, up_bytes_s: int = 0, down_bytes_s: int = 0) -> None:
        """Limit the line from now on, 0 = no limit. A schedule's next change ends it."""

        async def set_them() -> None:
            await trio.lowlevel.checkpoint_if_cancelled()
            self._job.set_limits(up_bytes_s=up_bytes_s, down_bytes_s=down_bytes_s)

        self._portal.call(set_them)

    def close(self) -> None:
        """Stop the job as leaving its block does, from any thread, without waiting for that.

        `events` ends, `result` raises DownloadError for what is not complete.
        """
        self._held.ask_to_leave()


class _Events:
    """One event after the other, each asked for when the reader wants it."""

    def __init__(self, portal: Portal, job: trio_job.DownloadJob) -> None:
        self._portal = portal
        self._job = job

    def __iter__(self) -> "_Events":
        return self

    def __next__(self) -> Event:
        async def following() -> Event | None:
            return await anext(self._job.events(), None)

        try:
            event = self._portal.call(following)
        except PortalClosed:
            event = None
        if event is None:
            raise StopIteration
        return event
