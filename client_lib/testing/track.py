"""A track of a fake album: zeros, as fast as the store gives them."""

from collections.abc import Awaitable, Callable
from typing import cast

from client_lib.download.listening.read_ahead import TrackPieces
from client_lib.download.listening.track_stream import FindTrack, TrackStream

_CHUNK_BYTES = 64 << 10


class FakeTrackStream(TrackStream):
    """The real stream over no file. `arrival` waits until so many bytes would be there."""

    def __init__(
        self, path: str, size_bytes: int, arrival: Callable[[int], Awaitable[None]]
    ) -> None:
        """Made by `FakeJob.open_track`."""
        super().__init__(cast("FindTrack", None), cast("TrackPieces", None), path)
        self._size_bytes = size_bytes
        self._arrival = arrival

    @property
    def size_bytes(self) -> int:
        """Length of the file."""
        return self._size_bytes

    async def _load(self) -> None:
        count = min(_CHUNK_BYTES, self._size_bytes - self._position)
        await self._arrival(count)
        self._start, self._piece = self._position, bytes(count)
