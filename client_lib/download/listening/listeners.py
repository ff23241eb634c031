"""One album's listeners while it is being fetched: what they play next comes first."""

from collections.abc import Callable
from dataclasses import dataclass

import trio

from client_lib.download.listening.read_ahead import ReadAhead, TrackPieces, wishes
from client_lib.download.listening.web_pieces import WebPieces
from client_lib.errors import StorageError, UnreachableError
from client_lib.nursery import open_quiet_nursery
from client_lib.swarm.torrent import Torrent

_LOOK_AGAIN_S = 0.5
_REST_S = 2.0
_AT_ONCE = 3
_STAND_BACK_BYTES_S = 16 << 10


class ListeningEnded(Exception):
    """The album is no longer being fetched: ask again where it is."""


@dataclass(eq=False, slots=True)
class Listener:
    """Somebody who plays a file, and the byte where they are."""

    track: TrackPieces
    position_bytes: int = 0
    hungry: bool = False


class Listening:
    """Listeners of one album under way. `run` serves them; close it when the torrent goes."""

    def __init__(
        self,
        torrent: Torrent,
        web: WebPieces,
        *,
        stand_back: Callable[[int, Torrent | None], None],
        on_web_bytes: Callable[[int], None],
        tuning: ReadAhead | None = None,
    ) -> None:
        """Take the torrent and its web seeds.

        `stand_back` is told how many bytes per second each other download may take (0: no limit)
        while somebody here is hungry, and which torrent is not to; `on_web_bytes` of payload.
        """
        self._torrent = torrent
        self._web = web
        self._stand_back = stand_back
        self._on_web_bytes = on_web_bytes
        self._tuning = tuning or ReadAhead()
        self._listeners: list[Listener] = []
        self._fetching: dict[int, trio.CancelScope] = {}
        self._standing_back = False
        self._joined = trio.Event()
        self.closed = False

    def join(self, track: TrackPieces) -> Listener:
        """Begin to listen at the beginning of a file."""
        listener = Listener(track)
        self._listeners.append(listener)
        self._joined.set()
        self._torrent.notify()
        return listener

    def move(self, listener: Listener, position_bytes: int) -> None:
        """Play on from another byte."""
        piece = listener.track.piece_at(listener.position_bytes)
        listener.position_bytes = position_bytes
        if listener.track.piece_at(position_bytes) != piece:
            self._torrent.notify()

    def leave(self, listener: Listener) -> None:
        """Listen no more; what came first for this listener comes as ever again."""
        if listener in self._listeners:
            self._listeners.remove(listener)
            if not self._listeners and not self.closed:
                self._torrent.pieces.hasten({})
            self._torrent.notify()

    async def read(self, listener: Listener) -> tuple[int, bytes]:
        """Wait for the piece at the listener's position; its first byte in the file, its bytes.

        Raises ListeningEnded.
        """
        pieces = self._torrent.pieces
        while True:
            if self.closed:
                raise ListeningEnded
            piece = listener.track.piece_at(listener.position_bytes)
            if piece not in pieces:
                await self._torrent.wait_change()
                continue
            try:
                return listener.track.start_of(piece), await pieces.read(piece)
            except StorageError:
                if self.closed:
                    raise ListeningEnded from None
                raise

    def close(self) -> None:
        """End it: the torrent goes."""
        self.closed = True
        self._torrent.pieces.abandon_reads("the album is no longer fetched")
        self._torrent.notify()

    async def run(self) -> None:
        """See to it that listeners get what they need, for ever."""
        await self._joined.wait()  # most albums are fetched without anybody listening
        try:
            async with open_quiet_nursery() as nursery:
                while True:
                    while self._listeners or self._fetching or self._standing_back:
                        self._serve(nursery)
                        with trio.move_on_after(_LOOK_AGAIN_S):
                            await self._torrent.wait_change()
                    self._joined = trio.Event()
                    await self._joined.wait()
        finally:
            self._make_way(hungry=False, urgent=False)
            with trio.CancelScope(shield=True):
                await self._web.aclose()

    def _serve(self, nursery: trio.Nursery) -> None:
        there, ahead, urgent = self._torrent.pieces.verified, dict[int, int](), list[int]()
        waited_for: set[int] = set()
        for listener in self._listeners:
            wish = wishes(listener.track, listener.position_bytes, there, self._tuning)
            listener.hungry = wish.is_hungry(listener.hungry, self._tuning)
            for piece, deadline_ms in wish.deadlines_ms.items():
                ahead[piece] = min(deadline_ms, ahead.get(piece, deadline_ms))
            if listener.hungry and self._web.possible:
                urgent += wish.near
                if not wish.there_bytes:
                    waited_for |= set(wish.near[:1])
        for piece, scope in self._fetching.items():
            if piece not in urgent:
                scope.cancel()  # the listener has moved on: others need the line
        # What somebody waits for comes alone: two at a time would each take twice as long.
        at_once = max(1, len(waited_for)) if waited_for else _AT_ONCE
        ordered = [*sorted(waited_for), *(piece for piece in urgent if piece not in waited_for)]
        for piece in ordered:
            if len(self._fetching) >= at_once:
                break
            if piece not in self._fetching:
                scope = self._fetching[piece] = trio.CancelScope()
                nursery.start_soon(self._fetch, piece, scope)
        for piece in self._fetching:
            ahead.pop(piece, None)
        self._torrent.pieces.hasten(ahead)
        hungry = any(listener.hungry for listener in self._listeners)
        self._make_way(hungry=hungry, urgent=bool(urgent))

    def _make_way(self, *, hungry: bool, urgent: bool) -> None:
        """Have other downloads stand back; this one as well while the web seed brings it."""
        if hungry:
            self._stand_back(_STAND_BACK_BYTES_S, None if urgent else self._torrent)
        elif self._standing_back:
            self._stand_back(0, None)
        self._standing_back = hungry

    async def _fetch(self, piece: int, scope: trio.CancelScope) -> None:
        pieces = self._torrent.pieces
        pieces.leave_to_us(piece)
        try:
            with scope:
                try:
                    data = await self._web.fetch(piece)
                except UnreachableError:
                    pieces.back_to_peers(piece)
                    await trio.sleep(_REST_S)
                else:
                    self._on_web_bytes(len(data))
                    pieces.put(piece, data)
                    while piece not in pieces:
                        await self._torrent.wait_change()
        finally:
            del self._fetching[piece]
            pieces.back_to_peers(piece)
            self._torrent.notify()
