"""Finds the files that listeners ask for: in an album under way, or complete on the disk."""

from collections.abc import Callable, Sequence
from pathlib import Path

import trio

from client_lib.download.disk.naming import local_paths
from client_lib.download.events import Failed, Trouble
from client_lib.download.library import DeviceLibrary, DownloadState
from client_lib.download.listening.listeners import Listening
from client_lib.download.listening.order import find_track, played_from
from client_lib.download.listening.read_ahead import TrackPieces
from client_lib.download.listening.track_stream import TrackStream
from client_lib.download.piece_map import PieceMap
from client_lib.download.queue import DownloadQueue, QueueState
from client_lib.download.runner import JobRunner
from client_lib.errors import AlbumswarmError, StorageError, UsageError
from client_lib.membership import stored_metainfo
from client_lib.wire.licence import LicenceId
from client_lib.wire.licensing_api import LicenceRecord
from client_lib.wire.metainfo import Metainfo

PLAYED_BYTES_S = 176_400
"""A compact disc: 44,100 samples of four bytes a second."""


class Tracks:
    """Opens files of a job's albums."""

    def __init__(self, runner: JobRunner, queue: DownloadQueue, library: DeviceLibrary) -> None:
        """Take the job's engine, its queue, and the device's library."""
        self._runner = runner
        self._queue = queue
        self._library = library

    async def open(self, licence_id: LicenceId, path: str) -> TrackStream:
        """See `DownloadJob.open_track`."""
        metainfo, paths = await self._joined(licence_id)
        index = find_track(str(metainfo.name), path, paths)
        stream = self._stream(licence_id, metainfo, paths, index)
        await self._find(licence_id, paths[index], index)  # or say why not
        return stream

    async def play_through(self, licence_id: LicenceId, first: str) -> None:
        """Read an album as somebody would who listens to it, from track `first` on.

        Not faster than a compact disc plays: that is what a web seed may be asked for. Raises as
        `open` does.
        """
        metainfo, paths = await self._joined(licence_id)
        for index in played_from(str(metainfo.name), first, paths):
            async with self._stream(licence_id, metainfo, paths, index) as stream:
                async for data in stream:
                    await trio.sleep(len(data) / PLAYED_BYTES_S)

    async def play_all(
        self,
        licences: Sequence[LicenceRecord],
        first: str,
        emit: Callable[[Trouble], None],
    ) -> None:
        """`play_through` of one album after the other; `emit` is told of those that have none."""
        for licence in licences:
            try:
                await self.play_through(licence.licence_id, first)
            except AlbumswarmError as error:
                # It says no more than that this album is not fetched in listening order: what
                # ends the album itself is told by its own events.
                if licence.licence_id not in self._runner.outcomes:
                    name = licence.name
                    message = f"not in listening order: {error}"
                    emit(Trouble(licence_id=licence.licence_id, name=name, message=message))

    def _stream(
        self, licence_id: LicenceId, metainfo: Metainfo, paths: tuple[str, ...], index: int
    ) -> TrackStream:
        first_piece = PieceMap(metainfo).first_pieces[index]
        length_bytes = metainfo.files[index].length_bytes
        track = TrackPieces(first_piece, metainfo.piece_length_bytes, length_bytes)

        async def find() -> Listening | Path:
            return await self._find(licence_id, paths[index], index)

        return TrackStream(find, track, paths[index])

    async def _joined(self, licence_id: LicenceId) -> tuple[Metainfo, tuple[str, ...]]:
        """Torrent of an album, and its paths on the disk, as soon as it is known."""
        while True:
            change = self._runner.next_change
            folder = self._library.licence_folder(licence_id)
            metainfo = await trio.to_thread.run_sync(stored_metainfo, folder)
            if metainfo is not None:
                return metainfo, local_paths([file.path for file in metainfo.files])
            self._have_it_come(licence_id)
            await change.wait()

    async def _find(self, licence_id: LicenceId, path: str, index: int) -> Listening | Path:
        """Where a file can be read now; waits until an album has joined its swarm."""
        while True:
            change = self._runner.next_change
            album = self._runner.album(licence_id)
            if album is not None and not album.wants(index):
                raise UsageError(f"{path} is not among the chosen files of this album")
            if album is not None and album.listening is not None and not album.listening.closed:
                await trio.lowlevel.checkpoint()
                return album.listening
            file = await trio.to_thread.run_sync(self._complete, licence_id, path)
            if file is not None:
                return file
            self._have_it_come(licence_id)
            await change.wait()

    def _complete(self, licence_id: LicenceId, path: str) -> Path | None:
        record = self._library.download(licence_id)
        if record is None or record.state is not DownloadState.COMPLETE:
            return None
        if record.files is not None and path not in record.files:
            return None
        return Path(record.folder) / path

    def _have_it_come(self, licence_id: LicenceId) -> None:
        """Have an album join its swarm, if it has not. Raises what ended it."""
        outcome = self._runner.outcomes.get(licence_id)
        if isinstance(outcome, Failed):
            raise outcome.error
        entry = self._queue.find(licence_id)
        if entry is None or licence_id not in self._runner.licences:
            raise UsageError(f"{licence_id}: this album is not in the job")
        if entry.state is QueueState.PAUSED:
            raise UsageError(f"{entry.name}: this album is paused: resume it first")
        if outcome is not None:
            raise StorageError(
                f"{entry.name}: the file is not there; `albumswarm verify` finds why"
            )
        self._runner.await_album(licence_id)
