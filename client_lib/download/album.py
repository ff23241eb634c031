"""One album from licence to verified folder: join, fetch, keep resumable, reveal."""

import datetime as dt
import random
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import trio
from cryptography import x509

from client_lib.download import placement
from client_lib.download.events import (
    CertificateRenewed,
    Event,
    Fallback,
    Finished,
    Progress,
    Started,
    Trouble,
)
from client_lib.download.fallback import FallbackPolicy, FallbackTuning
from client_lib.download.library import DeviceLibrary, DownloadRecord, DownloadState
from client_lib.download.naming import local_paths
from client_lib.download.sources import SourceSplit
from client_lib.download.verification import sizes_fit
from client_lib.errors import AlbumswarmError, DownloadError, LicensingRefused, UnreachableError
from client_lib.membership import LicenceCertificateRequest, Membership, join, refusal
from client_lib.nursery import open_quiet_nursery
from client_lib.swarm.session import Session
from client_lib.swarm.torrent import AddTorrent, Phase, Torrent, TorrentStatus
from client_lib.transport.credential import Credential, keep_renewed, request_credential
from client_lib.transport.licensing_client import LicensingClient
from client_lib.wire.licensing_api import LicenceRecord

_SAMPLE_S = 0.5
_RESUME_SHARE = 64  # a crash costs at most 1/64 of the album, and what half a second brings
_RESUME_S = 5.0
_ASK_AGAIN_S = 60.0


@dataclass(frozen=True, slots=True)
class Surroundings:
    """What every album of a job shares."""

    library: DeviceLibrary
    session: Session
    licensing: LicensingClient
    ca: x509.Certificate
    into: Path
    patience_s: float
    emit: Callable[[Event], None]
    clock: Callable[[], dt.datetime]
    rng: random.Random
    fallback: FallbackTuning


class AlbumDownload:
    """Download of one licence's album. `run` may be cancelled at any moment: partials stay."""

    def __init__(self, licence: LicenceRecord, around: Surroundings) -> None:
        """Take the licence and the job's surroundings."""
        self._licence = licence
        self._around = around
        self._split = SourceSplit()
        self._from = (0, 0)
        self._uploaded_bytes = 0
        self._last_question = -_ASK_AGAIN_S

    async def run(self, *, keep_seeding: bool) -> Finished:
        """Fetch the album; with `keep_seeding`, go on giving to others until cancelled.

        Emits events; Finished is emitted as soon as the album is there. Raises LicenceRefused,
        UnreachableError, StorageError, DownloadError, SignatureError.
        """
        around, licence = self._around, self._licence
        started = time.monotonic()
        member = await join(
            licence,
            around.library.licence_folder(licence.licence_id),
            around.licensing,
            ca=around.ca,
            now=around.clock(),
            rng=around.rng,
            encryption=around.library.key_encryption(),
        )
        record = placement.place(around.library, licence, around.into)
        paths = local_paths([file.path for file in member.metainfo.files])
        complete = is_complete(record, member, paths)
        if complete and not keep_seeding:
            return self._finished(Path(record.folder), member, started, already_there=True)
        if not complete and record.state is DownloadState.COMPLETE:
            record = placement.remember_incomplete(around.library, licence, record)
        torrent = await self._add(member, record, paths, complete=complete)
        try:
            return await self._take_part(torrent, member, record, started, complete, keep_seeding)
        except AlbumswarmError:
            # Other albums of the job go on: this one must not go on transferring unseen.
            await around.session.remove(torrent)
            raise

    async def _take_part(
        self,
        torrent: Torrent,
        member: Membership,
        record: DownloadRecord,
        started: float,
        complete: bool,
        keep_seeding: bool,
    ) -> Finished:
        async with open_quiet_nursery() as nursery:
            nursery.start_soon(self._renew, torrent, member.credential)
            nursery.start_soon(self._sample, torrent)
            nursery.start_soon(self._watch_trackers, torrent, member.credential)
            if not complete and member.metainfo.web_seeds:
                nursery.start_soon(self._watch_sources, torrent, member.metainfo.web_seeds)
            if complete:
                folder = Path(record.folder)
            else:
                folder = await self._fetch(torrent, record)
            finished = self._finished(folder, member, started, already_there=complete)
            if keep_seeding:
                await trio.sleep_forever()
            nursery.cancel_scope.cancel()
        return finished

    async def _add(
        self, member: Membership, record: DownloadRecord, paths: tuple[str, ...], *, complete: bool
    ) -> Torrent:
        around, licence = self._around, self._licence
        info_hash = member.metainfo.info_hash
        resume = None if complete else around.library.resume_point(licence.licence_id, info_hash)
        torrent = await around.session.add(
            AddTorrent(
                torrent=member.torrent,
                save_path=placement.content_folder(record),
                certificate_pem=member.credential.certificate_pem,
                key_pem=member.credential.key_pem,
                trackers=member.metainfo.announce_tiers,
                paths=paths,
                resume=resume,
                complete=complete,
            )
        )
        while (status := torrent.status()).phase is Phase.CHECKING:
            self._progress(torrent, status)
            with trio.move_on_after(_SAMPLE_S):
                await torrent.wait_change()
        if not complete:
            placement.check_free_space(record, status.total_bytes - status.verified_bytes)
            around.emit(
                Started(
                    licence_id=licence.licence_id,
                    name=licence.name,
                    total_bytes=status.total_bytes,
                    resumed_bytes=status.verified_bytes,
                )
            )
        return torrent

    async def _fetch(self, torrent: Torrent, record: DownloadRecord) -> Path:
        """Wait for the last piece, keeping resume points; then give the album its final name."""
        async with open_quiet_nursery() as nursery:
            nursery.start_soon(self._keep_resumable, torrent)
            nursery.start_soon(self._lose_patience, torrent)
            await torrent.wait_complete()
            nursery.cancel_scope.cancel()
        self._progress(torrent, torrent.status())
        # Write everything and keep the full resume point before the rename: whatever moment a
        # crash takes, the next run finds a complete album and fetches nothing.
        await self._keep_resume_point(torrent)
        library, licence = self._around.library, self._licence
        folder = await trio.to_thread.run_sync(placement.reveal, library, licence, record)
        await torrent.files_moved_to(folder)
        placement.remember_complete(library, licence, record, folder)
        return folder

    async def _keep_resumable(self, torrent: Torrent) -> None:
        kept, kept_at = torrent.pieces_verified, trio.current_time()
        step = max(1, torrent.piece_count // _RESUME_SHARE)
        while True:
            with trio.move_on_after(_SAMPLE_S):
                await torrent.wait_change()
            new = torrent.pieces_verified - kept
            late = trio.current_time() - kept_at > _RESUME_S
            if new >= step or (new and late):
                kept, kept_at = torrent.pieces_verified, trio.current_time()
                await self._keep_resume_point(torrent)

    async def _keep_resume_point(self, torrent: Torrent) -> None:
        point = await torrent.resume_point()
        keep = self._around.library.keep_resume_point
        await trio.to_thread.run_sync(keep, self._licence.licence_id, point)

    async def _lose_patience(self, torrent: Torrent) -> None:
        """Fail an album that receives nothing for too long, saying what the tracker said."""
        received = -1
        while True:
            now_received = torrent.status().downloaded_bytes
            if now_received == received:
                heard = "; ".join(f"{r.url}: {r.message}" for r in torrent.trackers.values())
                raise DownloadError(
                    f"{torrent.name}: nothing arrived for {self._around.patience_s:.0f} s "
                    f"({heard or 'no tracker answered'}); what is there is kept, try again later"
                )
            received = now_received
            await trio.sleep(self._around.patience_s)

    async def _sample(self, torrent: Torrent) -> None:
        while True:
            self._progress(torrent, torrent.status())
            await trio.sleep(_SAMPLE_S)

    def _progress(self, torrent: Torrent, status: TorrentStatus) -> None:
        self._from = self._split.update(torrent.peers(), status.downloaded_bytes)
        self._uploaded_bytes = status.uploaded_bytes
        self._around.emit(
            Progress(
                licence_id=self._licence.licence_id,
                name=torrent.name,
                total_bytes=status.total_bytes,
                verified_bytes=status.verified_bytes,
                from_seeders_bytes=self._from[0],
                from_customers_bytes=self._from[1],
                uploaded_bytes=status.uploaded_bytes,
                download_rate_bytes_s=status.download_rate_bytes_s,
                upload_rate_bytes_s=status.upload_rate_bytes_s,
                connected_peers=status.connected_peers,
                checking=status.phase is Phase.CHECKING,
            )
        )

    async def _watch_sources(self, torrent: Torrent, web_seeds: tuple[str, ...]) -> None:
        """Fetch from the web seeds too, while the swarm is slow."""
        policy = FallbackPolicy(self._around.fallback)
        while torrent.status().phase is not Phase.SEEDING:
            await trio.sleep(_SAMPLE_S)
            joined = policy.joined
            rates = [0, 0]
            for peer in torrent.peers():
                rates[peer.web_seed] += peer.download_rate_bytes_s
            if policy.update(trio.current_time(), *rates) is joined:
                continue
            if policy.joined:
                torrent.use_web_seeds(web_seeds)
            else:
                torrent.drop_web_seeds()
            licence = self._licence
            self._around.emit(
                Fallback(licence_id=licence.licence_id, name=licence.name, joined=policy.joined)
            )
        torrent.drop_web_seeds()

    async def _watch_trackers(self, torrent: Torrent, credential: Credential) -> None:
        """Report what trackers complain of; a refusal is taken to licensing, which knows why."""
        told: dict[str, str] = {}
        while True:
            for report in tuple(torrent.trackers.values()):
                if report.message and told.get(report.url) != report.message:
                    self._trouble(f"tracker {report.url.rpartition('/')[0]}: {report.message}")
                if report.message and report.refused:
                    await self._ask_why(torrent, credential)
                told[report.url] = report.message
            await torrent.wait_change()

    async def _ask_why(self, torrent: Torrent, credential: Credential) -> None:
        """Get a fresh certificate: either that mends it, or licensing says what is wrong."""
        if trio.current_time() - self._last_question < _ASK_AGAIN_S:
            return
        self._last_question = trio.current_time()
        around = self._around
        ask = LicenceCertificateRequest(self._licence, around.licensing)
        try:
            renewed = await request_credential(
                credential.path,
                ask,
                ca=around.ca,
                now=around.clock(),
                key=credential.key,
                encryption=credential.encryption,
            )
        except LicensingRefused as error:
            raise refusal(self._licence, error) from error
        except UnreachableError as error:
            self._trouble(str(error))
        else:
            torrent.renew(renewed.certificate_pem, renewed.key_pem)

    async def _renew(self, torrent: Torrent, credential: Credential) -> None:
        around, licence = self._around, self._licence

        async def on_renewed(renewed: Credential) -> None:
            torrent.renew(renewed.certificate_pem, renewed.key_pem)
            around.emit(
                CertificateRenewed(
                    licence_id=licence.licence_id,
                    name=licence.name,
                    not_after=renewed.certificate.not_valid_after_utc,
                )
            )
            await trio.lowlevel.checkpoint()

        try:
            await keep_renewed(
                credential,
                LicenceCertificateRequest(licence, around.licensing),
                ca=around.ca,
                clock=around.clock,
                rng=around.rng,
                on_renewed=on_renewed,
                on_delayed=lambda error: self._trouble(f"renewal is late: {error}"),
            )
        except LicensingRefused as error:
            raise refusal(licence, error) from error

    def _trouble(self, message: str) -> None:
        licence = self._licence
        event = Trouble(licence_id=licence.licence_id, name=licence.name, message=message)
        self._around.emit(event)

    def _finished(
        self, folder: Path, member: Membership, started: float, *, already_there: bool
    ) -> Finished:
        finished = Finished(
            licence_id=self._licence.licence_id,
            name=self._licence.name,
            folder=folder,
            total_bytes=member.metainfo.size_bytes,
            from_seeders_bytes=self._from[0],
            from_customers_bytes=self._from[1],
            uploaded_bytes=self._uploaded_bytes,
            seconds=time.monotonic() - started,
            already_there=already_there,
        )
        self._around.emit(finished)
        return finished


def is_complete(record: DownloadRecord, member: Membership, paths: tuple[str, ...]) -> bool:
    """Tell whether an earlier run finished the album and its files still have their lengths."""
    return record.state is DownloadState.COMPLETE and sizes_fit(
        Path(record.folder), member.metainfo.files, paths
    )
