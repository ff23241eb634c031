"""A seeder node: the releases of its origin in one session, kept in step with the catalogue."""

import contextlib
import datetime as dt
from collections.abc import Callable
from dataclasses import dataclass

import structlog
import trio

from client_lib.errors import StorageError, WireError
from client_lib.swarm.session import Session
from client_lib.swarm.torrent import AddTorrent, PeerStatus, Phase, Torrent, TorrentStatus
from client_lib.transport.credential import Credential
from client_lib.wire.metainfo import Metainfo
from client_lib.wire.release import TorrentName
from seeder.catalogue import Catalogue, Listing
from seeder.offload import Customer, Memory, Reason, Swarm, decide
from seeder.origin import FolderOrigin
from seeder.status import NodeState, NodeStatus, ReleaseStatus

_RETRY_AFTER_ERROR_S = 30.0
log = structlog.get_logger()


@dataclass(frozen=True, slots=True)
class NodeSettings:
    """Who the node is and what it may spend. Rates in bytes/s, 0 for no limit."""

    seeder_id: str
    trackers: tuple[str, ...]
    upload_limit_bytes_s: int = 0

    @property
    def announce_tiers(self) -> tuple[tuple[str, ...], ...]:
        """Every tracker under our own path, each a tier of its own (BEP 12)."""
        return tuple((f"{url}/announce/{self.seeder_id}",) for url in self.trackers)


@dataclass(slots=True)
class _Served:
    """A release in the session."""

    torrent: Torrent
    size_bytes: int
    piece_length_bytes: int
    pieces_total: int
    status: TorrentStatus
    uploaded_before_bytes: int
    memory: Memory = Memory()  # noqa: RUF009 - a frozen value
    upload_limit_bytes_s: int = -1
    reason: Reason = Reason.NO_CUSTOMERS
    customers: int = 0
    retry_at_s: float = 0.0


class Node:
    """Seeds every release that is both in the catalogue and in the origin."""

    def __init__(
        self,
        session: Session,
        origin: FolderOrigin,
        catalogue: Catalogue,
        credential: Credential,
        settings: NodeSettings,
        *,
        clock: Callable[[], dt.datetime],
        uploaded_before: dict[TorrentName, int],
    ) -> None:
        """`uploaded_before` counts earlier runs; `clock` gives aware UTC."""
        self._session = session
        self._origin = origin
        self._catalogue = catalogue
        self._credential = credential
        self._settings = settings
        self._clock = clock
        self._started_at = clock()
        self._uploaded_before = uploaded_before
        self._served: dict[TorrentName, _Served] = {}
        self._problems: dict[TorrentName, str] = {}

    async def reconcile(self) -> None:
        """Load every release that should be served and is not yet.

        A release whose files are plainly wrong is reported, left out, and looked at again the
        next time: libtorrent would make up for missing files by writing to the origin, even if
        it is only a disk that is not mounted.
        """
        try:
            present = await trio.to_thread.run_sync(self._origin.releases)
        except StorageError as error:
            log.error("origin unreadable", error=str(error))
            return
        for name in sorted(present - self._served.keys()):
            listing = self._catalogue.listings.get(name)
            if listing is not None:
                await self._load(listing)

    async def renew(self, credential: Credential) -> None:
        """Present a renewed certificate in every swarm, from the next connection on."""
        self._credential = credential
        for served in self._served.values():
            served.torrent.renew(credential.certificate_pem, credential.key_pem)
        log.info("certificate renewed", expires_at=credential.certificate.not_valid_after_utc)
        await trio.lowlevel.checkpoint()

    async def control(self, now_s: float) -> None:
        """One round: look at every release, set its upload limit, note what is wrong with it."""
        for name, served in list(self._served.items()):
            served.status = served.torrent.status()
            peers = served.torrent.peers() if served.status.connected_peers else ()
            self._steer(served, peers, now_s)
            await self._look_after(name, served, now_s)
            await trio.lowlevel.checkpoint()

    def snapshot(self, state: NodeState) -> NodeStatus:
        """The node as of the last round of `control`."""
        releases = [self._release_status(name) for name in self._served.keys() | self._problems]
        return NodeStatus(
            seeder_id=self._settings.seeder_id,
            port=self._session.listen_port,
            state=state,
            started_at=self._started_at,
            updated_at=self._clock(),
            certificate_expires_at=self._credential.certificate.not_valid_after_utc,
            catalogue_position=self._catalogue.position,
            uploaded_bytes=sum(release.uploaded_bytes for release in releases),
            connected_peers=sum(release.connected_peers for release in releases),
            releases=tuple(sorted(releases, key=lambda release: release.name)),
        )

    async def _load(self, listing: Listing) -> None:
        name = listing.name
        try:
            data, torrent = await trio.to_thread.run_sync(self._read_torrent, listing)
            added = await self._session.add(
                AddTorrent(
                    torrent=data,
                    save_path=self._origin.root,
                    certificate_pem=self._credential.certificate_pem,
                    key_pem=self._credential.key_pem,
                    trackers=self._settings.announce_tiers,
                    complete=True,
                )
            )
        except (StorageError, WireError) as error:
            self._note(name, str(error))
            return
        self._served[name] = _Served(
            added,
            torrent.size_bytes,
            torrent.piece_length_bytes,
            # In a v2 torrent every file begins with a piece of its own.
            sum(-(-file.length_bytes // torrent.piece_length_bytes) for file in torrent.files),
            added.status(),
            self._uploaded_before.get(name, 0),
        )
        self._note(name, None)
        log.info("release served", name=name, size_bytes=torrent.size_bytes)

    def _read_torrent(self, listing: Listing) -> tuple[bytes, Metainfo]:
        data = self._origin.torrent(listing.name)
        if data is None:
            raise StorageError(f"{self._origin.torrent_file(listing.name)} is gone")
        torrent = Metainfo.from_bytes(data)
        if (torrent.name, torrent.info_hash) != (listing.name, listing.info_hash):
            where = self._origin.torrent_file(listing.name)
            raise StorageError(f"{where} is not the torrent that licensing sells by this name")
        if defect := self._origin.defect(torrent):
            raise StorageError(defect)
        return data, torrent

    def _steer(self, served: _Served, peers: tuple[PeerStatus, ...], now_s: float) -> None:
        customers = tuple(
            Customer((peer.address, peer.port), peer.pieces, peer.complete)
            for peer in peers
            if not peer.central_seeder
        )
        decision = decide(
            Swarm(served.pieces_total, served.piece_length_bytes, customers),
            served.memory,
            budget_bytes_s=self._settings.upload_limit_bytes_s,
            now_s=now_s,
        )
        served.memory = decision.memory
        served.reason = decision.reason
        served.customers = len(customers)
        if decision.upload_limit_bytes_s != served.upload_limit_bytes_s:
            served.torrent.set_upload_limit(decision.upload_limit_bytes_s)
            served.upload_limit_bytes_s = decision.upload_limit_bytes_s

    async def _look_after(self, name: TorrentName, served: _Served, now_s: float) -> None:
        """Report damage; bring a torrent that libtorrent has stopped back when its files are."""
        error = served.torrent.error
        if error is not None:
            self._note(name, error)
            if now_s >= served.retry_at_s:
                served.retry_at_s = now_s + _RETRY_AFTER_ERROR_S
                if await self._files_look_right(name):
                    served.torrent.resume()
            return
        status = served.status
        damaged_bytes = status.total_bytes - status.verified_bytes
        if status.phase is Phase.DOWNLOADING and damaged_bytes:
            # Seed mode hashes a piece before its first upload; a wrong one makes libtorrent hash
            # everything again and offer only what is right.
            self._note(name, f"{damaged_bytes} bytes in {self._origin.content(name)} are damaged")
        elif status.phase is Phase.SEEDING:
            self._note(name, None)

    async def _files_look_right(self, name: TorrentName) -> bool:
        listing = self._catalogue.listings[name]
        with contextlib.suppress(StorageError, WireError):
            await trio.to_thread.run_sync(self._read_torrent, listing)
            return True
        return False

    def _note(self, name: TorrentName, problem: str | None) -> None:
        """Remember what is wrong with a release, and log it when that changes."""
        if problem == self._problems.get(name):
            return
        if problem is None:
            del self._problems[name]
            log.info("release repaired", name=name)
        else:
            self._problems[name] = problem
            log.error("release damaged", name=name, problem=problem)

    def _release_status(self, name: TorrentName) -> ReleaseStatus:
        problem = self._problems.get(name)
        served = self._served.get(name)
        if served is None:
            before = self._uploaded_before.get(name, 0)
            size_bytes = self._catalogue.listings[name].size_bytes
            return ReleaseStatus(name, size_bytes, 0, before, 0, 0, problem=problem)
        uploaded_bytes = served.status.uploaded_bytes
        return ReleaseStatus(
            name=name,
            size_bytes=served.size_bytes,
            uploaded_bytes=uploaded_bytes,
            uploaded_total_bytes=served.uploaded_before_bytes + uploaded_bytes,
            connected_peers=served.status.connected_peers,
            customers=served.customers,
            upload_limit_bytes_s=max(served.upload_limit_bytes_s, 0),
            policy=served.reason,
            problem=problem,
        )
