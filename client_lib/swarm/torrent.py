"""One sealed torrent in a session: its state as values, its commands as methods."""

import errno
import itertools
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import libtorrent as lt
import trio

from client_lib.errors import DiskFullError, DownloadError, StorageError
from client_lib.swarm.hardening import FFDHE2048_PEM
from client_lib.swarm.layout import file_priorities, piece_lengths
from client_lib.swarm.pieces import NORMAL, Pieces
from client_lib.swarm.resume import ResumePoint
from client_lib.swarm.seams import seams
from client_lib.swarm.status import PeerStatus, Phase, TorrentStatus, Total, peer_status
from client_lib.swarm.tracker_talk import TrackerReport, TrackerTalk
from client_lib.wire.infohash import InfoHash
from client_lib.wire.release import TorrentName


@dataclass(frozen=True, slots=True)
class AddTorrent:
    """How to put a torrent into a session.

    `trackers` are tiers of URLs (BEP 12), None for those in the torrent. `paths` gives the files,
    in the torrent's order, other paths below `save_path`. `complete` says that all content is
    there: pieces are then verified when they are uploaded first (libtorrent's seed mode). `wanted`
    are the indexes of the files to fetch, None for all.
    """

    torrent: bytes
    save_path: Path
    certificate_pem: str
    key_pem: str
    trackers: tuple[tuple[str, ...], ...] | None = None
    paths: Sequence[str] | None = None
    resume: ResumePoint | None = None
    complete: bool = False
    wanted: frozenset[int] | None = None


class Torrent:
    """A torrent that a `Session` made. Use it from the session's own task tree only."""

    def __init__(
        self,
        handle: lt.torrent_handle,
        info: lt.torrent_info,
        name: TorrentName,
        wanted: frozenset[int] | None = None,
    ) -> None:
        """Made by `Session.add`."""
        self._handle = handle
        self._layout = info.layout()
        self._piece_lengths = piece_lengths(self._layout, None)
        self._wanted_lengths = piece_lengths(self._layout, wanted)
        self.total_bytes = sum(self._wanted_lengths)
        """Bytes of the wanted files."""
        self.name = name
        self.info_hash = InfoHash(info.info_hashes().v2.to_bytes())
        self._talk = TrackerTalk()
        self._downloaded, self._uploaded = Total(), Total()
        self._paused = True  # as it was added
        self.error: str | None = None
        self.disk_full = False
        self.pieces_verified = 0
        """Pieces that passed their hash check since the torrent was added."""
        self._changed = trio.Event()
        self._turned = trio.Event()
        self._heard = trio.Event()
        self._resume_points: list[ResumePoint | None] = []
        self._flushed = 0
        self._moved: list[str | None] = []
        self._seams = seams(self._piece_lengths, info.piece_length())
        self._held_back: set[int] = set()
        self.pieces = Pieces(handle, self._held_back)

    def __repr__(self) -> str:
        """Name it."""
        return f"<Torrent {self.name}>"

    def status(self) -> TorrentStatus:
        """Take the current state."""
        status = self._handle.status()
        checking = lt.torrent_status.states
        if status.state in (checking.checking_files, checking.checking_resume_data):
            phase = Phase.CHECKING
        elif status.flags & lt.torrent_flags.paused:
            phase = Phase.PAUSED
        else:
            phase = Phase.SEEDING if status.is_finished else Phase.DOWNLOADING
        return TorrentStatus(
            phase=phase,
            # Counted here: libtorrent's `total` has the padding between files in it while it
            # downloads, and its `total_done` blocks that nobody has hashed yet.
            total_bytes=self.total_bytes,
            verified_bytes=self.total_bytes
            if status.is_seeding
            else sum(itertools.compress(self._wanted_lengths, status.pieces)),
            downloaded_bytes=self._downloaded.update(status.total_payload_download),
            uploaded_bytes=self._uploaded.update(status.total_payload_upload),
            download_rate_bytes_s=status.download_payload_rate,
            upload_rate_bytes_s=status.upload_payload_rate,
            connected_peers=status.num_peers,
            known_peers=status.list_peers,
            pieces=status.num_pieces,
        )

    def peers(self) -> tuple[PeerStatus, ...]:
        """Peers whose handshake is done."""
        unfinished = lt.peer_info.connecting | lt.peer_info.handshake
        return tuple(
            peer_status(peer)
            for peer in self._handle.get_peer_info()
            if not peer.flags & unfinished
        )

    @property
    def trackers(self) -> dict[str, TrackerReport]:
        """The latest word of each tracker, by URL."""
        return self._talk.reports

    @property
    def talks_to_trackers(self) -> bool:
        """Whether an announce is under way: the torrent must not be removed then."""
        return self._talk.under_way > 0

    @property
    def piece_count(self) -> int:
        """How many pieces the torrent has."""
        return len(self._piece_lengths)

    async def wait_change(self) -> None:
        """Wait until an alert has changed something: state, tracker, error, piece."""
        await self._changed.wait()

    async def wait_turn(self) -> None:
        """Wait until it has another state or an error, or other files are wanted."""
        await self._turned.wait()

    async def wait_tracker(self) -> None:
        """Wait until a tracker has been asked, or has said something."""
        await self._heard.wait()

    async def wait_complete(self) -> TorrentStatus:
        """Wait until every wanted piece is there and verified; return that state.

        Raises DiskFullError, DownloadError on another error of the torrent.
        """
        while (status := self.status()).verified_bytes < status.total_bytes:
            if self.disk_full:
                where = self._handle.status().save_path
                raise DiskFullError(where, status.total_bytes - status.verified_bytes, 0)
            if self.error is not None:
                raise DownloadError(f"{self.name}: {self.error}")
            # Not for every piece: a status has a list of them all, and libtorrent's thread is
            # waited for. It says when it has finished.
            await self.wait_turn()
        await trio.lowlevel.checkpoint()
        return status

    def want(self, files: frozenset[int] | None) -> None:
        """Fetch these files from now on, by index, None for all; what is there stays."""
        self._handle.prioritize_files(file_priorities(self._layout, files))
        self._wanted_lengths = piece_lengths(self._layout, files)
        self.total_bytes = sum(self._wanted_lengths)
        self._turn()
        self.notify()

    def renew(self, certificate_pem: str, key_pem: str) -> None:
        """Present another certificate from the next connection on."""
        self._handle.set_ssl_certificate_buffer(certificate_pem, key_pem, FFDHE2048_PEM)

    def connect(self, address: str, port: int) -> None:
        """Try a peer besides those that the tracker names."""
        self._handle.connect_peer((address, port))

    def use_web_seeds(self, urls: Sequence[str]) -> None:
        """Fetch over HTTPS, too, from folders with the release in them (BEP 19).

        Pieces at seams wait until the piece behind them is there (`client_lib.swarm.seams`).
        """
        self._hold_back_seams()
        for url in urls:
            self._handle.add_url_seed(url)

    def _hold_back_seams(self) -> None:
        wanted, there = self._wanted_lengths, self._handle.status().pieces
        self._held_back.clear()
        self._held_back |= {
            piece
            for piece in self._seams
            if wanted[piece] and wanted[piece + 1] and not there[piece] and not there[piece + 1]
        }
        self._handle.prioritize_pieces([(piece, 0) for piece in self._held_back])

    def drop_web_seeds(self) -> None:
        """Fetch from peers alone again."""
        for url in self._handle.url_seeds():
            self._handle.remove_url_seed(url)
        self._handle.prioritize_pieces([(piece, NORMAL) for piece in self._held_back])
        self._held_back.clear()

    def limit_download(self, bytes_s: int) -> None:
        """Take no more than so many bytes per second from peers and web seeds; 0: no limit."""
        self._handle.set_download_limit(bytes_s)

    def announce(self) -> None:
        """Ask the tracker again now, within its minimum interval."""
        self._handle.force_reannounce()

    def recheck(self) -> None:
        """Hash everything on disk again."""
        self.pieces.forget()
        self._handle.force_recheck()

    def pause(self) -> None:
        """Disconnect from the swarm and stay in the session."""
        self._handle.pause()

    def redial(self) -> None:
        """Drop all connections, and call trackers and peers anew."""
        self.status()  # the last count before libtorrent begins again
        self._handle.pause()
        self._handle.resume()

    async def say_goodbye(self) -> None:
        """Disconnect, and wait until the trackers that know us have heard of it."""
        self._handle.pause()
        await trio.lowlevel.checkpoint()
        # Announces of the end are under way when libtorrent says that it has paused.
        while not self._paused or self.talks_to_trackers:
            await self.wait_change()

    def resume(self) -> None:
        """Join the swarm (again), clearing an earlier error."""
        self.error = None
        self.disk_full = False
        self._handle.clear_error()
        self._handle.resume()

    async def resume_point(self) -> ResumePoint:
        """What is verified *and written*, for `AddTorrent.resume` after a crash.

        The disk cache is flushed before the snapshot, which counts written blocks only (of 9
        verified pieces it had none), and after it, so that the point never claims a block that
        a SIGKILL could still lose. Raises StorageError.
        """
        await self.flush()
        self._resume_points.clear()
        self._handle.save_resume_data()
        while not self._resume_points:
            await self.wait_change()
        point = self._resume_points.pop()
        if point is None:
            raise StorageError(f"{self.name}: no resume point while files are being checked")
        await self.flush()
        return point

    async def flush(self) -> None:
        """Write everything received to the files."""
        before = self._flushed
        self._handle.flush_cache()
        while self._flushed == before:
            await self.wait_change()

    async def files_moved_to(self, save_path: Path) -> None:
        """Go on below another folder, to which the caller has renamed ours; peers stay connected.

        Raises StorageError.
        """
        self._moved.clear()
        # Unchecked: libtorrent would hash everything again, and a rename changes no content.
        self._handle.move_storage(str(save_path), lt.move_flags_t.reset_save_path_unchecked)
        while not self._moved:
            await self.wait_change()
        failure = self._moved.pop()
        if failure is not None:
            raise StorageError(f"cannot use {save_path}: {failure}")

    def on_alert(self, alert: lt.alert) -> None:
        """Take over what an alert says; the session calls this before the alert dies."""
        match alert:
            case lt.piece_finished_alert():
                self.pieces_verified += 1
                self.pieces.on_verified(alert.piece_index)
                before = alert.piece_index - 1
                if before in self._held_back:
                    self._held_back.discard(before)
                    self._handle.prioritize_pieces([(before, NORMAL)])
            case lt.read_piece_alert():
                self.pieces.on_read(alert)
            case lt.file_prio_alert():  # other files: libtorrent has set each piece's priority anew
                self._held_back.clear()
                if self._handle.url_seeds():
                    self._hold_back_seams()
            case lt.save_resume_data_alert():
                # Copied now: `params` lives in the alert, and reading it later is a crash.
                have, unfinished = alert.params.have_pieces, alert.params.unfinished_pieces
                peers = tuple(alert.params.peers)
                self._resume_points.append(ResumePoint.of(self.info_hash, have, unfinished, peers))
            case lt.save_resume_data_failed_alert():
                self._resume_points.append(None)
            case lt.cache_flushed_alert():
                self._flushed += 1
            case lt.storage_moved_alert():
                self._moved.append(None)
            case lt.storage_moved_failed_alert():
                self._moved.append(alert.error.message())
            case lt.torrent_resumed_alert():
                self._paused = False
            case lt.torrent_paused_alert():
                self._paused = True
            case lt.file_error_alert():
                self.error = f"{alert.filename()}: {alert.error.message()}"
                self.disk_full |= alert.error.value() in (errno.ENOSPC, errno.EDQUOT)
                self._turn()
            case lt.torrent_error_alert():
                # What a file_error_alert said before it names the file.
                self.error = self.error or alert.error.message()
                self._turn()
            case lt.state_changed_alert() | lt.torrent_finished_alert():
                self._turn()
            case lt.torrent_checked_alert():
                self._turn()
            case _ if self._talk.on_alert(alert):
                self._heard.set()
                self._heard = trio.Event()
            case _:
                return
        self.notify()

    def _turn(self) -> None:
        """Have `wait_complete` look again."""
        self._turned.set()
        self._turned = trio.Event()

    def notify(self) -> None:
        """Wake those who wait for a change."""
        self._changed.set()
        self._changed = trio.Event()
