"""The body of an answer: pieces of a file, verified, a few of them read ahead."""

import contextlib
import itertools
from collections import deque
from collections.abc import AsyncIterator, Iterator
from typing import NamedTuple

import trio

from client_lib.errors import StorageError
from client_lib.nursery import open_quiet_nursery
from seeder.origins.pieces import FilePieces
from seeder.peers.swarm import Swarm
from seeder.web_seed.answer import Part
from seeder.web_seed.ranges import Span

_CHUNK_BYTES = 128 << 10
"""Sent at once: what others have to wait for."""
_AHEAD_BYTES = 1 << 20
_MOST_AHEAD = 8


class Chunk(NamedTuple):
    """Bytes to be sent; `payload`: they are the release's."""

    data: bytes | memoryview
    payload: bool


class _Slice(NamedTuple):
    """Part of a piece, in bytes from its beginning."""

    piece: int
    begin: int
    end: int


class Body:
    """Made by `open_body`."""

    def __init__(
        self, swarm: Swarm, file: FilePieces, parts: tuple[Part, ...], ahead: trio.Nursery
    ) -> None:
        """Take an answer's parts, the file that their spans are of, and where to read ahead."""
        self._swarm = swarm
        self._nursery = ahead
        self._ahead = max(1, min(_MOST_AHEAD, _AHEAD_BYTES // file.piece_length_bytes))
        # One after another as they are needed: a file may have a million pieces.
        self._later = itertools.chain.from_iterable(_cut(part, file) for part in parts)
        self._soon: deque[bytes | _Slice] = deque(itertools.islice(self._later, 1))
        self._now: deque[Chunk] = deque()
        self.flow = swarm.flow
        """What it waits in line as."""

    async def prepare(self) -> None:
        """Read what comes first. Raises StorageError."""
        if not self._now and self._soon:
            part = self._soon.popleft()
            if isinstance(part, bytes):
                self._now.append(Chunk(part, payload=False))
                await trio.lowlevel.checkpoint()
                return
            self._read_ahead()
            data = self._swarm.at_hand(part.piece) or await self._swarm.fetch(part.piece)
            if data is None:  # the swarm has reported why
                raise StorageError(f"{self._swarm.name}: piece {part.piece} cannot be had now")
            for begin in range(part.begin, part.end, _CHUNK_BYTES):
                end = min(begin + _CHUNK_BYTES, part.end)
                self._now.append(Chunk(memoryview(data)[begin:end], payload=True))

    async def next_chunk(self) -> Chunk | None:
        """What is to be sent next, None at the end. Raises StorageError."""
        await self.prepare()
        if not self._now:
            return None
        chunk = self._now.popleft()
        if not self._soon:
            self._soon.extend(itertools.islice(self._later, 1))
        return chunk

    def count(self, sent_bytes: int) -> None:
        """Note what was sent: a web seed's bytes are seeder bytes."""
        self._swarm.counters.uploaded_bytes += sent_bytes
        self._swarm.counters.web_seed_bytes += sent_bytes

    def _read_ahead(self) -> None:
        for part in itertools.islice(self._later, self._ahead - len(self._soon)):
            self._soon.append(part)
            if isinstance(part, _Slice) and self._swarm.at_hand(part.piece) is None:
                self._nursery.start_soon(self._swarm.fetch, part.piece)


@contextlib.asynccontextmanager
async def open_body(swarm: Swarm, file: FilePieces, parts: tuple[Part, ...]) -> AsyncIterator[Body]:
    """Read what an answer needs, while the block lasts; until then the release stays loaded."""
    swarm.readers += 1
    try:
        async with open_quiet_nursery() as ahead:
            yield Body(swarm, file, parts, ahead)
            ahead.cancel_scope.cancel()
    finally:
        swarm.readers -= 1


def _cut(part: Part, file: FilePieces) -> Iterator[bytes | _Slice]:
    """A span at the borders of pieces; bytes as they are."""
    if not isinstance(part, Span):
        yield part
        return
    length = file.piece_length_bytes
    for number in range(part.begin // length, -(-part.end // length)):
        begin = max(part.begin - number * length, 0)
        end = min(part.end - number * length, length)
        yield _Slice(file.first_piece + number, begin, end)
