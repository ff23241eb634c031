"""The releases that are loaded: opened when the first customer asks, put away when none is left."""

import random
from collections.abc import Callable
from dataclasses import dataclass, field

import structlog
import trio

from client_lib.errors import StorageError, WireError
from client_lib.wire.metainfo import Metainfo
from client_lib.wire.release import TorrentName
from seeder.catalogue import Catalogue, Listing
from seeder.origins.origin import Origin
from seeder.peers.swarm import RETRY_S, Swarm
from seeder.piece_memory import PieceMemory
from seeder.spread import Tuning

IDLE_S = 120.0
"""How long a release without customers stays loaded: libtorrent comes back within a minute."""
log = structlog.get_logger()


@dataclass(slots=True)
class Loaded:
    """A release in memory."""

    swarm: Swarm
    idle_since_s: float


@dataclass
class Shelf:
    """Loads and puts away. `uploaded_bytes` counts what put-away releases had uploaded."""

    origin: Origin
    catalogue: Catalogue
    memory: PieceMemory
    tuning: Tuning
    rng: random.Random
    retry_s: float = RETRY_S
    """After which a piece that could not be read is tried again."""
    loaded: dict[str, Loaded] = field(default_factory=dict)
    """By truncated info-hash, 40 hexadecimal digits: what TLS asks for by name."""
    uploaded_bytes: dict[TorrentName, int] = field(default_factory=dict)
    put_away: int = 0
    """How many were, so far: when it changes, `uploaded_bytes` has."""
    problems: dict[TorrentName, str] = field(default_factory=dict)
    on_loaded: Callable[[Swarm], None] = field(default=lambda _: None)
    on_put_away: Callable[[Swarm], None] = field(default=lambda _: None)
    _loading: dict[str, trio.Event] = field(default_factory=dict)

    async def find(self, truncated_hex: str) -> Swarm | None:
        """The swarm of a release, loaded if need be; None for one that we do not have.

        Raises StorageError if it is here and cannot be served; that is noted, and tried again
        at the next call.
        """
        if truncated_hex not in self.loaded and self.catalogue.find(truncated_hex) is None:
            await self.catalogue.catch_up()  # perhaps it was published and sold a moment ago
        while True:
            here = self.loaded.get(truncated_hex)
            if here is not None:
                here.idle_since_s = trio.current_time()
                return here.swarm
            loading = self._loading.get(truncated_hex)
            if loading is None:
                break
            await loading.wait()
        listing = self.catalogue.find(truncated_hex)
        if listing is None:
            return None
        done = self._loading[truncated_hex] = trio.Event()
        try:
            return await self._load(truncated_hex, listing)
        finally:
            del self._loading[truncated_hex]
            done.set()

    def put_idle_away(self, now_s: float) -> None:
        """Forget releases that have had no customer for a while."""
        for key, here in list(self.loaded.items()):
            here.swarm.hold()
            if here.swarm.connections or here.swarm.readers:
                here.idle_since_s = now_s
            elif now_s - here.idle_since_s >= IDLE_S:
                del self.loaded[key]
                self._remember(here.swarm)
                self.on_put_away(here.swarm)

    def uploaded(self) -> dict[TorrentName, int]:
        """Bytes uploaded by release, those of earlier runs included."""
        totals = dict(self.uploaded_bytes)
        for here in self.loaded.values():
            name = here.swarm.name
            totals[name] = totals.get(name, 0) + here.swarm.counters.uploaded_bytes
        return totals

    def note(self, name: TorrentName, problem: str | None) -> None:
        """Remember what is wrong with a release, and log it when that changes."""
        if problem == self.problems.get(name):
            return
        if problem is None:
            del self.problems[name]
            log.info("release repaired", name=name)
        else:
            self.problems[name] = problem
            log.error("release damaged", name=name, problem=problem)

    async def _load(self, key: str, listing: Listing) -> Swarm:
        try:
            torrent = await trio.to_thread.run_sync(self._read, listing)
        except (StorageError, WireError) as error:
            self.note(listing.name, str(error))
            raise StorageError(str(error)) from error
        self.note(listing.name, None)
        swarm = Swarm(
            torrent,
            self.origin,
            self.memory,
            self.tuning,
            rng=self.rng,
            on_problem=self.note,
            retry_s=self.retry_s,
        )
        self.loaded[key] = Loaded(swarm, trio.current_time())
        self.on_loaded(swarm)
        return swarm

    def _read(self, listing: Listing) -> Metainfo:
        data = self.origin.torrent(listing.name)
        where = self.origin.where(listing.name)
        if data is None:
            raise StorageError(f"{where} is not there")
        torrent = Metainfo.from_bytes(data)
        if (torrent.name, torrent.info_hash) != (listing.name, listing.info_hash):
            raise StorageError(f"{where} is not the torrent that licensing sells by this name")
        if defect := self.origin.defect(torrent):
            raise StorageError(defect)
        return torrent

    def _remember(self, swarm: Swarm) -> None:
        self.put_away += 1
        before = self.uploaded_bytes.get(swarm.name, 0)
        self.uploaded_bytes[swarm.name] = before + swarm.counters.uploaded_bytes
