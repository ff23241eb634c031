"""A release that is being served: its pieces, its customers, what went out."""

import random
from collections.abc import Callable, Collection
from dataclasses import dataclass
from functools import partial
from typing import Protocol

import trio

from client_lib.errors import StorageError
from client_lib.wire.infohash import InfoHash
from client_lib.wire.metainfo import Metainfo
from client_lib.wire.peer_protocol import Request
from client_lib.wire.release import TorrentName
from seeder.origins.origin import Origin
from seeder.origins.pieces import FilePieces, PieceMap
from seeder.peers.pace import Flow, Pace
from seeder.piece_memory import PieceId, PieceMemory
from seeder.spread import Customer, Spread, Tuning

RETRY_S = 30.0
"""After which a piece that could not be read is offered again."""


@dataclass(slots=True)
class Counters:
    """Of one release since it was loaded."""

    uploaded_bytes: int = 0
    web_seed_bytes: int = 0
    """Of these, what the web seed has sent."""
    refused_requests: int = 0


class CustomerConnection(Protocol):
    """A connection, as its swarm sees it."""

    def tell(self) -> None:
        """Tell the customer of pieces that the policy means for it, if there are any."""


class Swarm:
    """One release with its customers. Loaded when the first comes, forgotten some time after.

    A piece that cannot be read is withheld for a while and then tried again: what failed may have
    been the way to the bucket, or an operator may have put the file right.
    """

    def __init__(
        self,
        torrent: Metainfo,
        origin: Origin,
        memory: PieceMemory,
        tuning: Tuning,
        *,
        rng: random.Random,
        on_problem: Callable[[TorrentName, str | None], None],
        retry_s: float = RETRY_S,
    ) -> None:
        """`on_problem` is told what is wrong with a piece, and None when all can be read again."""
        self.name: TorrentName = torrent.name
        self.info_hash: InfoHash = torrent.info_hash
        self.counters = Counters()
        self.connections: dict[Customer, CustomerConnection] = {}
        self.readers = 0
        """Visitors of the web seed that are being sent something."""
        self.flow = Flow()
        self._map = PieceMap(torrent)
        self._reader = origin.reader(torrent, self._map)
        self._memory = memory
        self._on_problem = on_problem
        self._retry_s = retry_s
        self._withheld: dict[int, float] = {}  # until when
        self._unread: set[int] = set()  # failed when they were last read
        self.piece_count = len(self._map)
        self._sizes = self._map.sizes()
        self.spread = Spread(self._sizes, torrent.piece_length_bytes, tuning, rng=rng)

    def tell(self, customers: Collection[Customer]) -> None:
        """Let some customers have what the policy means for them."""
        for customer in customers:
            connection = self.connections.get(customer)
            if connection is not None:
                connection.tell()

    def act(self, now_s: float, pace: Pace, *, spare: bool) -> None:
        """Let the policy act. Call it twice a second or so. `spare`: the line is not full."""
        for piece in [piece for piece, until_s in self._withheld.items() if until_s <= now_s]:
            del self._withheld[piece]
            self.spread.offer_again(piece)
        self.spread.measure(now_s, spare=spare)
        pace.weigh(self.flow, self.spread.worth)
        for connection in list(self.connections.values()):
            connection.tell()

    def in_bounds(self, request: Request) -> bool:
        """Whether a request lies within its piece."""
        if request.piece >= self.piece_count or request.length_bytes == 0:
            return False
        return request.begin_bytes + request.length_bytes <= self._sizes[request.piece]

    def file(self, path: tuple[str, ...]) -> FilePieces | None:
        """A file of the release, by its exact path."""
        return self._map.file(path)

    def at_hand(self, piece: int) -> bytes | None:
        """A verified piece, if it is in memory."""
        return self._memory.cached(PieceId(self.info_hash.sha256, piece))

    async def fetch(self, piece: int) -> bytes | None:
        """A verified piece; None if it cannot be had now, which is reported."""
        try:
            data = await self._memory.get(
                PieceId(self.info_hash.sha256, piece), partial(self._reader.read, piece)
            )
        except StorageError as error:  # DamagedPiece too
            self.spread.withhold(piece)
            self._withheld[piece] = trio.current_time() + self._retry_s
            self._unread.add(piece)
            self._on_problem(self.name, str(error))
            return None
        if piece in self._unread:
            self._unread.discard(piece)
            if not self._unread:
                self._on_problem(self.name, None)
        return data

    def hold(self) -> None:
        """Tell the origin whether somebody is downloading."""
        self._reader.hold(in_use=self.spread.leechers > 0 or self.readers > 0)
