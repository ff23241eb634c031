"""Verified pieces in memory: read whole, hashed once, served in blocks."""

from collections import OrderedDict
from collections.abc import Callable
from typing import NamedTuple

import trio

from client_lib.errors import StorageError
from seeder.origins.pieces import DamagedPiece


class PieceId(NamedTuple):
    """A piece of a release, by swarm."""

    info_hash: bytes
    piece: int


class PieceMemory:
    """The pieces that were asked for last, verified, in bounded memory.

    Several customers are given different pieces and ask for each block by block: without it every
    block would be a read, and every piece hashed sixteen times.
    """

    def __init__(self, capacity_bytes: int) -> None:
        """Keep at most so many bytes; at least the last piece."""
        self._capacity_bytes = capacity_bytes
        self._pieces: OrderedDict[PieceId, bytes] = OrderedDict()
        self._bytes = 0
        self._reading: dict[PieceId, trio.Event] = {}
        self.hits = self.misses = 0
        """Blocks whose piece was here, and pieces that had to be read."""
        self.damaged = self.unreadable = 0
        """Reads that gave other bytes than were published, and that gave none."""

    @property
    def capacity_bytes(self) -> int:
        """What it may take."""
        return self._capacity_bytes

    @property
    def used_bytes(self) -> int:
        """What it takes."""
        return self._bytes

    def cached(self, key: PieceId) -> bytes | None:
        """A piece, if it is here."""
        data = self._pieces.get(key)
        if data is not None:
            self._pieces.move_to_end(key)
            self.hits += 1
        return data

    async def get(self, key: PieceId, read: Callable[[], bytes]) -> bytes:
        """A piece, from here or by `read`, in a thread, once for all who wait for it.

        `read` verifies. Raises what it raises.
        """
        while True:
            data = self.cached(key)
            if data is not None:
                return data
            reading = self._reading.get(key)
            if reading is None:
                break
            await reading.wait()
        done = self._reading[key] = trio.Event()
        self.misses += 1
        try:
            data = await trio.to_thread.run_sync(read)
        except DamagedPiece:
            self.damaged += 1
            raise
        except StorageError:
            self.unreadable += 1
            raise
        finally:
            del self._reading[key]
            done.set()
        self._keep(key, data)
        return data

    def _keep(self, key: PieceId, data: bytes) -> None:
        self._pieces[key] = data
        self._bytes += len(data)
        while self._bytes > self._capacity_bytes and len(self._pieces) > 1:
            _, dropped = self._pieces.popitem(last=False)
            self._bytes -= len(dropped)
