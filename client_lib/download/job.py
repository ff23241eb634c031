"""A job: many albums, a few at a time, one failing never stopping the rest."""

import contextlib
from collections.abc import AsyncIterator, Sequence

import trio

from client_lib.download.album import AlbumDownload, Surroundings
from client_lib.download.event_box import EventBox
from client_lib.download.events import Event, Failed, Finished
from client_lib.errors import AlbumswarmError, DownloadError
from client_lib.nursery import open_quiet_nursery
from client_lib.wire.licence import LicenceId
from client_lib.wire.licensing_api import LicenceRecord


class DownloadJob:
    """A running download. Leaving its `async with` block stops it and keeps partial files."""

    def __init__(self, licences: Sequence[LicenceRecord], box: EventBox) -> None:
        """Made by `Client.download`."""
        self.licences = tuple(licences)
        self.outcomes: dict[LicenceId, Finished | Failed] = {}
        """How each album ended, as far as it has."""
        self._box = box
        self._done = trio.Event()

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

    async def _run(self, around: Surroundings, *, concurrent: int, keep_seeding: bool) -> None:
        """Run all albums. Ends when all have ended, which is never while seeding."""
        limiter = trio.CapacityLimiter(max(concurrent, len(self.licences) * keep_seeding))
        try:
            async with open_quiet_nursery() as nursery:
                for licence in self.licences:
                    nursery.start_soon(self._run_one, licence, around, limiter, keep_seeding)
        finally:
            self._done.set()
            self._box.close()

    async def _run_one(
        self,
        licence: LicenceRecord,
        around: Surroundings,
        limiter: trio.CapacityLimiter,
        keep_seeding: bool,
    ) -> None:
        async with limiter:
            try:
                album = AlbumDownload(licence, around)
                self.outcomes[licence.licence_id] = await album.run(keep_seeding=keep_seeding)
            except AlbumswarmError as error:
                self._fail(licence, error)
            except OSError as error:
                self._fail(licence, DownloadError(f"{licence.name}: {error}"))

    def _fail(self, licence: LicenceRecord, error: AlbumswarmError) -> None:
        failed = Failed(licence_id=licence.licence_id, name=licence.name, error=error)
        self.outcomes[licence.licence_id] = failed
        self._box.put(failed)


@contextlib.asynccontextmanager
async def running_job(
    job: DownloadJob, around: Surroundings, *, concurrent: int, keep_seeding: bool
) -> AsyncIterator[DownloadJob]:
    """Run `job` while the block lasts."""
    async with open_quiet_nursery() as nursery:

        async def run() -> None:
            await job._run(around, concurrent=concurrent, keep_seeding=keep_seeding)

        nursery.start_soon(run)
        yield job
        nursery.cancel_scope.cancel()
