"""A release that is being served: its pieces, its customers, what went out."""

import random
from collections.abc import Callable, Collection
from dataclasses import dataclass
from functools import partial
from typing import Protocol

from client_lib.errors import StorageError
from client_lib.wire.infohash import InfoHash
from client_lib.wire.metainfo import Metainfo
from client_lib.wire.peer_protocol import Request
from client_lib.wire.release import TorrentName
from seeder.origins.origin import Origin
from seeder.origins.pieces import PieceMap
from seeder.piece_memory import PieceId, PieceMemory
from seeder.spread import Customer, Spread, Tuning


@dataclass(slots=True)
class Counters:
    """Of one release since it was loaded."""

    uploaded_bytes: int = 0
    refused_requests: int = 0


class CustomerConnection(Protocol):
    """A connection, as its swarm sees it."""

    @property
    def customer(self) -> Customer | None:
        """Who is at the other end, once the handshake is done."""

    def tell(self) -> None:
        """Tell the customer of pieces that the policy means for it, if there are any."""


class Swarm:
    """One release with its customers. Loaded when the first comes, forgotten some time after."""

    def __init__(
        self,
        torrent: Metainfo,
        origin: Origin,
        memory: PieceMemory,
        tuning: Tuning,
        *,
        rng: random.Random,
        on_damage: Callable[[TorrentName, str], None],
    ) -> None:
        """`on_damage` is told once for each piece that is not what was published."""
        self.name: TorrentName = torrent.name
        self.info_hash: InfoHash = torrent.info_hash
        self.size_bytes = torrent.size_bytes
        self.counters = Counters()
        self.connections: set[CustomerConnection] = set()
        self._map = PieceMap(torrent)
        self._reader = origin.reader(torrent, self._map)
        self._memory = memory
        self._on_damage = on_damage
        self.piece_count = len(self._map)
        self.spread = Spread(self._map.sizes(), torrent.piece_length_bytes, tuning, rng=rng)

    def tell(self, customers: Collection[Customer]) -> None:
        """Let some customers, or all in need, have what the policy means for them."""
        for connection in self.connections:
            if connection.customer in customers:
                connection.tell()

    def in_bounds(self, request: Request) -> bool:
        """Whether a request lies within its piece."""
        if request.piece >= self.piece_count or request.length_bytes == 0:
            return False
        end_bytes = request.begin_bytes + request.length_bytes
        return end_bytes <= self._map.place(request.piece).length_bytes

    def at_hand(self, piece: int) -> bytes | None:
        """A verified piece, if it is in memory."""
        return self._memory.cached(PieceId(self.info_hash.sha256, piece))

    async def fetch(self, piece: int) -> bytes:
        """A verified piece. Raises StorageError (DamagedPiece)."""
        return await self._memory.get(
            PieceId(self.info_hash.sha256, piece), partial(self._reader.read, piece)
        )

    def hold(self) -> None:
        """Tell the origin whether somebody is downloading."""
        self._reader.hold(in_use=self.spread.leechers > 0)

    def withhold(self, piece: int, error: StorageError) -> None:
        """Serve a piece to nobody any more, and report why."""
        self.spread.withhold(piece)
        self._on_damage(self.name, str(error))
