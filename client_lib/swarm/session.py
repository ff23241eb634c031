"""A libtorrent session as a trio resource: alerts become state, nothing outlives the block."""

import contextlib
import ipaddress
import socket
from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass

import libtorrent as lt
import trio

from client_lib.errors import DownloadError, MetainfoError, StorageError
from client_lib.nursery import open_quiet_nursery
from client_lib.swarm.hardening import FFDHE2048_PEM, limit_every_peer, settings_pack
from client_lib.swarm.layout import file_priorities, real_files
from client_lib.swarm.settings import SessionSettings
from client_lib.swarm.torrent import AddTorrent, Torrent
from client_lib.wire.infohash import InfoHash
from client_lib.wire.release import parse_torrent_name

_OTHER_INTERFACES_S = 1.0
_GOODBYE_S = 0.8
_LAST_ANSWERS_S = 1.5  # libtorrent gives up an announce of the end after 1 s
_OLD_SELF_S = 25.0  # and any other after 20 s
_PIECES_TOGETHER_S = 0.02


_SENT, _RECEIVED = "net.sent_payload_bytes", "net.recv_payload_bytes"


@dataclass(frozen=True, slots=True)
class Traffic:
    """Payload bytes, over all torrents."""

    sent_bytes: int
    received_bytes: int


@dataclass(frozen=True, slots=True)
class PortMapping:
    """What the router said: the outer TCP port, or None and why not. `how`: UPnP or NAT-PMP."""

    port: int | None
    how: str
    failure: str


class Session:
    """Sealed torrents on one TLS listening socket. Make it with `open_session`."""

    def __init__(self, session: lt.session) -> None:
        """Use `open_session` instead."""
        self._session = session
        self._torrents: dict[bytes, Torrent] = {}
        self._parting: dict[bytes, Torrent] = {}
        """Left and forgotten, but for an announce under way: see `TrackerTalk`."""
        self._listening = trio.Event()
        self._listen_answer = trio.Event()
        self._listen_errors: list[str] = []
        self._removal = trio.Event()
        self._traffic: list[Traffic] = []
        self._traffic_told = trio.Event()
        self._mapped = trio.Event()
        self.port_mapping: PortMapping | None = None
        """Latest word of the router, None before there was one."""

    @property
    def listen_port(self) -> int:
        """TCP port on which peers reach us over TLS."""
        return self._session.ssl_listen_port()

    async def add(self, what: AddTorrent) -> Torrent:
        """Add a torrent and join its swarm.

        Raises MetainfoError if libtorrent does not take it, DownloadError if it is there already.
        """
        try:
            params = lt.load_torrent_buffer(what.torrent)
        except RuntimeError as error:
            raise MetainfoError(f"not a torrent: {error}") from error
        if params.ti is None:
            raise MetainfoError("not a torrent: no info dictionary")
        name = parse_torrent_name(params.ti.name())
        info_hash = InfoHash(params.ti.info_hashes().v2.to_bytes())
        params.save_path = str(what.save_path)
        if what.trackers is not None:
            params.trackers = [url for tier in what.trackers for url in tier]
            params.tracker_tiers = [n for n, tier in enumerate(what.trackers) for _ in tier]
        params.url_seeds = []
        if what.paths is not None:
            params.renamed_files = _renamed(params.ti, what.paths)
        if what.resume is not None:
            params.have_pieces = what.resume.have_pieces
            params.unfinished_pieces = what.resume.unfinished_pieces
            params.peers = _usable(what.resume.peers)
        if what.wanted is not None:
            params.file_priorities = file_priorities(params.ti.layout(), what.wanted)
        # Paused until the certificate is set: otherwise the first announce goes out without one.
        params.flags &= ~lt.torrent_flags.auto_managed
        params.flags |= lt.torrent_flags.paused | lt.torrent_flags.duplicate_is_error
        if what.complete:
            params.flags |= lt.torrent_flags.seed_mode
        with trio.move_on_after(_OLD_SELF_S):
            await self._gone(info_hash.sha256)
        if info_hash.sha256 in (self._torrents.keys() | self._parting.keys()):
            raise DownloadError(f"{name}: this release is in the session already")
        handle = await trio.to_thread.run_sync(self._session.add_torrent, params)
        torrent = Torrent(handle, params.ti, name, what.wanted)
        self._torrents[info_hash.sha256] = torrent
        handle.set_ssl_certificate_buffer(what.certificate_pem, what.key_pem, FFDHE2048_PEM)
        handle.resume()
        return torrent

    async def remove(self, torrent: Torrent) -> None:
        """Leave the swarm (the tracker is told) and forget the torrent. Files stay.

        A tracker that does not answer is not waited for: the torrent stays paused until then.
        """
        key = torrent.info_hash.sha256
        if self._torrents.get(key) is not torrent:
            await trio.lowlevel.checkpoint()
            return
        with trio.move_on_after(_GOODBYE_S):
            await torrent.say_goodbye()
        if self._torrents.pop(key, None) is None:
            return  # somebody else removed it meanwhile
        self._parting[key] = torrent
        if not torrent.talks_to_trackers:
            self._session.remove_torrent(torrent._handle)
            await self._gone(key)

    async def _gone(self, key: bytes) -> None:
        """Wait until no torrent that was left is there any more under its key."""
        while key in self._parting:
            await self._removal.wait()
        await trio.lowlevel.checkpoint()

    async def _remove_all(self) -> None:
        """Leave all swarms at once.

        The destructor of libtorrent's session waits until trackers have heard `stopped`, and
        holds the GIL: with 5 torrents the whole process stood still for 3 s. So they hear it
        before.
        """
        async with open_quiet_nursery() as nursery:
            for torrent in tuple(self._torrents.values()):
                nursery.start_soon(self.remove, torrent)
        with trio.move_on_after(_LAST_ANSWERS_S):
            for key in tuple(self._parting):
                await self._gone(key)

    def set_limits(self, *, upload_bytes_s: int, download_bytes_s: int) -> None:
        """Change the session's rate limits; 0 lifts one."""
        self._session.apply_settings(
            {"upload_rate_limit": upload_bytes_s, "download_rate_limit": download_bytes_s}
        )

    def make_way(self, bytes_s: int, *, except_for: Torrent | None = None) -> None:
        """Have torrents take so many bytes per second each; 0: no limit, `except_for` one."""
        for torrent in self._torrents.values():
            torrent.limit_download(0 if torrent is except_for else bytes_s)

    async def traffic(self) -> Traffic:
        """Payload of the session since it was opened."""
        told = self._traffic_told
        self._session.post_session_stats()
        await told.wait()
        return self._traffic[-1]

    async def wait_port_mapping(self) -> PortMapping:
        """Wait for the router's next word."""
        await self._mapped.wait()
        assert self.port_mapping is not None  # noqa: S101 - set with the event
        return self.port_mapping

    async def _wait_listening(self, settings: SessionSettings) -> None:
        """Wait for a socket that listens; an interface that cannot (IPv6, say) may be missing."""
        await self._listen_answer.wait()
        # libtorrent tries all interfaces at once, and does not say how many they are.
        with trio.move_on_after(_OTHER_INTERFACES_S):
            await self._listening.wait()
        if not self._listening.is_set():
            where = f"{settings.listen_host or '*'}:{settings.listen_port}"
            raise StorageError(f"cannot listen for peers on {where}: {self._listen_errors[0]}")

    async def _pump(self, readable: socket.socket, pumping: trio.CancelScope) -> None:
        """Turn alerts into state. An alert object dies at the next `pop_alerts`: copy at once."""
        with pumping:
            while True:
                await trio.lowlevel.wait_readable(readable)
                with contextlib.suppress(BlockingIOError):
                    while readable.recv(4096):
                        pass
                alerts = self._session.pop_alerts()
                for alert in alerts:
                    self._dispatch(alert)
                # Pieces come by the thousand, and each would wake us.
                if alerts and all(isinstance(one, lt.piece_finished_alert) for one in alerts):
                    del alerts
                    await trio.sleep(_PIECES_TOGETHER_S)

    def _dispatch(self, alert: lt.alert) -> None:
        if isinstance(alert, lt.piece_finished_alert):  # most of them by far
            self._tell_torrent(alert)
        elif isinstance(alert, lt.listen_succeeded_alert):
            self._listening.set()
            self._listen_answer.set()
        elif isinstance(alert, lt.listen_failed_alert):
            self._listen_errors.append(alert.error.message())
            self._listen_answer.set()
        elif isinstance(alert, lt.torrent_removed_alert):
            self._parting.pop(alert.info_hashes.v2.to_bytes(), None)
            self._removal.set()
            self._removal = trio.Event()
        elif isinstance(alert, lt.session_stats_alert):
            values = alert.values
            sent, received = values[_SENT], values[_RECEIVED]
            self._traffic[:] = [Traffic(sent, received)]
            self._traffic_told.set()
            self._traffic_told = trio.Event()
        elif isinstance(alert, lt.portmap_alert | lt.portmap_error_alert):
            self._hear_router(alert)
        elif isinstance(alert, lt.torrent_alert):
            self._tell_torrent(alert)

    def _tell_torrent(self, alert: lt.torrent_alert) -> None:
        # The handle of a torrent that has just been removed is invalid and raises.
        with contextlib.suppress(RuntimeError):
            key = alert.handle.info_hashes().v2.to_bytes()
            torrent = self._torrents.get(key) or self._parting.get(key)
            if torrent is None:
                return
            torrent.on_alert(alert)
            if key in self._parting and not torrent.talks_to_trackers:
                self._session.remove_torrent(torrent._handle)

    def _hear_router(self, alert: lt.portmap_alert | lt.portmap_error_alert) -> None:
        how = "UPnP" if alert.map_transport == lt.portmap_transport.upnp else "NAT-PMP"
        known = self.port_mapping
        if isinstance(alert, lt.portmap_alert):
            if alert.map_protocol != lt.portmap_protocol.tcp:
                return  # we speak TCP alone
            self.port_mapping = PortMapping(alert.external_port, how, "")
        elif known is None or known.port is None:  # what one way gave, the other cannot refuse
            self.port_mapping = PortMapping(None, how, alert.error.message())
        self._mapped.set()
        self._mapped = trio.Event()


@contextlib.asynccontextmanager
async def open_session(settings: SessionSettings) -> AsyncIterator[Session]:
    """Open a session; it listens when the block begins and has said goodbye when it ends.

    Raises StorageError if it cannot listen on that address.
    """
    readable, writable = socket.socketpair()
    readable.setblocking(False)
    writable.setblocking(False)
    native = lt.session(settings_pack(settings))
    # In the class of local peers nobody waits for an unchoke slot.
    if settings.limit_local_peers or not settings.upload:
        limit_every_peer(native)
    # A socket, not set_alert_notify: a Python callback from libtorrent's thread can deadlock.
    native.set_alert_fd(writable.fileno())
    session = Session(native)
    try:
        async with open_quiet_nursery() as nursery:
            # Whoever is cancelled inside the block still says goodbye, and hears the answers.
            pumping = trio.CancelScope(shield=True)
            nursery.start_soon(session._pump, readable, pumping)
            try:
                await session._wait_listening(settings)
                yield session
            finally:
                with trio.CancelScope(shield=True):
                    await session._remove_all()
                pumping.cancel()
    finally:
        native.set_alert_fd(-1)
        last_reference = [native]
        del native, session._session
        with trio.CancelScope(shield=True):
            await trio.to_thread.run_sync(last_reference.clear)
        readable.close()
        writable.close()


def _renamed(info: lt.torrent_info, paths: Sequence[str]) -> dict[int, str]:
    """Other paths by libtorrent's file index, which counts padding between files too."""
    files = real_files(info.layout())
    if len(files) != len(paths):
        raise MetainfoError(f"{info.name()}: {len(files)} files and {len(paths)} paths for them")
    return dict(zip(files, paths, strict=True))


def _usable(peers: Sequence[tuple[str, int]]) -> list[tuple[str, int]]:
    """Peers of the last run whose addresses are addresses: a file may hold anything."""
    usable: list[tuple[str, int]] = []
    for address, port in peers:
        with contextlib.suppress(ValueError):
            usable.append((str(ipaddress.ip_address(address)), port))
    return usable
