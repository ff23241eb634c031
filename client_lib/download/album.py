"""One album from licence to verified folder: join, fetch, keep resumable, reveal, give."""

import contextlib
import datetime as dt
import random
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import trio
from cryptography import x509

from client_lib.download import placement
from client_lib.download.album_place import AlbumPlace, already_there, find_place
from client_lib.download.clock_watch import ClockWatch
from client_lib.download.events import (
    CertificateRenewed,
    Event,
    Fallback,
    Finished,
    Seeding,
    Stalled,
    Started,
    Trouble,
    Verified,
)
from client_lib.download.fallback import FallbackTuning
from client_lib.download.library import DeviceLibrary, DownloadRecord, DownloadState
from client_lib.download.space import SpaceLedger
from client_lib.download.stall import Stillness, stall_reason
from client_lib.download.standing import Standing
from client_lib.download.totals import AlbumTotals
from client_lib.download.web_seed_use import use_web_seeds_while_slow
from client_lib.errors import CertificateError, DownloadError, LicenceExpired, StorageError
from client_lib.membership import Membership, join
from client_lib.nursery import open_quiet_nursery
from client_lib.swarm.session import Session
from client_lib.swarm.torrent import AddTorrent, Phase, Torrent, TorrentStatus
from client_lib.transport.credential import Credential
from client_lib.transport.licensing_client import LicensingClient
from client_lib.wire.licensing_api import LicenceRecord

_SAMPLE_S = 0.5
_SEEDING_SAMPLE_S = 5.0  # a thousand albums may be given at once
_RESUME_SHARE = 64  # a crash costs at most 1/64 of the album, and what half a second brings
_RESUME_S = 5.0
_LAST_POINT_S = 0.5  # for the resume point of an album that is stopped
_GOODBYE_S = 5.0


@dataclass(frozen=True, slots=True)
class Surroundings:
    """What every album of a job shares."""

    library: DeviceLibrary
    session: Session
    licensing: LicensingClient
    ca: x509.Certificate
    patience_s: float
    stalled_after_s: float
    emit: Callable[[Event], None]
    clock: Callable[[], dt.datetime]
    rng: random.Random
    clock_watch: ClockWatch
    space: SpaceLedger
    fallback: FallbackTuning
    placing: trio.Lock
    """Held while a folder is chosen, so that no two albums choose the same one."""

    async def join(self, licence: LicenceRecord) -> Membership:
        """Get torrent and certificate of a licence; see `membership.join`."""
        try:
            return await join(
                licence,
                self.library.licence_folder(licence.licence_id),
                self.licensing,
                ca=self.ca,
                now=self.clock(),
                rng=self.rng,
                on_issued=self.clock_watch.note_issued,
                encryption=self.library.key_encryption(),
            )
        except CertificateError as error:
            if not self.clock_watch.is_off:
                raise
            sentence = self.clock_watch.sentence()
            raise LicenceExpired(f"{licence.name}: {error}; {sentence}") from error


class AlbumDownload:
    """Download of one licence's album. `run` may be cancelled at any moment: partials stay."""

    def __init__(
        self,
        licence: LicenceRecord,
        around: Surroundings,
        totals: AlbumTotals,
        *,
        into: Path,
        files: Sequence[str] = (),
        keep_seeding: bool = False,
        on_fetched: Callable[[], None] = lambda: None,
        on_finished: Callable[[Finished], None] = lambda _finished: None,
    ) -> None:
        """Take the licence, the job's surroundings, and the folder to put the album below.

        `on_fetched` is called when nothing more is to come (before the album has its final
        name), `on_finished` when it is there, before it is given to others.
        """
        self._licence = licence
        self._around = around
        self._totals = totals
        self._into = into
        self._files = tuple(files)
        self._keep_seeding = keep_seeding
        self._on_fetched = on_fetched
        self._on_finished = on_finished
        self._started = time.monotonic()
        self._torrent: Torrent | None = None
        self._place: AlbumPlace | None = None

    async def run(self, member: Membership | None = None) -> None:
        """Fetch the album, then give it to others until cancelled.

        Returns when there is nothing to do: the album was there already, and is not to be given.
        `member` is what a `join` ahead of time brought. Raises LicenceRefused, UnreachableError,
        StorageError (DiskFullError), DownloadError, SignatureError, UsageError.
        """
        around = self._around
        if not self._keep_seeding:
            there = await trio.to_thread.run_sync(
                already_there, around.library, self._licence, self._files
            )
            if there is not None:
                self._finish(*there, already_there=True)
                return
        member = member or await around.join(self._licence)
        chosen = self._files
        async with around.placing:
            place = self._place = await trio.to_thread.run_sync(
                find_place, around.library, self._licence, member.metainfo, self._into, chosen
            )
        complete = place.record.state is DownloadState.COMPLETE
        try:
            torrent = self._torrent = await self._add(member, place, complete=complete)
            if self._files != chosen:
                self.select(self._files)
            try:
                await self._take_part(torrent, member, place, complete=complete)
            finally:
                await self._leave(torrent)
        finally:
            self._torrent = None
            around.space.release(self._licence.licence_id)

    def select(self, files: Sequence[str]) -> None:
        """Fetch other files from now on. Raises UsageError if one fits none of the album."""
        self._files = tuple(files)
        if self._torrent is None or self._place is None:
            return
        self._place = self._place.selecting(self._licence.name, files)
        self._torrent.want(self._place.wanted)

    async def _add(self, member: Membership, place: AlbumPlace, *, complete: bool) -> Torrent:
        around, licence = self._around, self._licence
        info_hash = member.metainfo.info_hash
        resume = None if complete else around.library.resume_point(licence.licence_id, info_hash)
        whole = complete and place.record.files is None
        torrent = await around.session.add(
            AddTorrent(
                torrent=member.torrent,
                save_path=placement.content_folder(place.record),
                certificate_pem=member.credential.certificate_pem,
                key_pem=member.credential.key_pem,
                trackers=member.metainfo.announce_tiers,
                paths=place.paths,
                resume=resume,
                complete=whole,
                wanted=None if place.files is None else place.wanted,
            )
        )
        try:
            while (status := torrent.status()).phase is Phase.CHECKING:
                self._progress(torrent, status)
                with trio.move_on_after(_SAMPLE_S):
                    await torrent.wait_change()
            self._totals.begin(status.verified_bytes, status.total_bytes)
            if not complete:
                self._claim_space(status, place.record)
                around.emit(
                    Started(
                        licence_id=licence.licence_id,
                        name=licence.name,
                        total_bytes=status.total_bytes,
                        resumed_bytes=status.verified_bytes,
                    )
                )
        except BaseException:
            await self._leave(torrent, fetching=False)
            raise
        return torrent

    async def _take_part(
        self, torrent: Torrent, member: Membership, place: AlbumPlace, *, complete: bool
    ) -> None:
        around = self._around
        standing = Standing(
            member,
            torrent,
            around.licensing,
            ca=around.ca,
            clock=around.clock,
            rng=around.rng,
            on_issued=around.clock_watch.note_issued,
            on_renewed=self._renewed,
            on_trouble=self._trouble,
        )
        async with open_quiet_nursery() as nursery:
            nursery.start_soon(standing.keep_renewed)
            nursery.start_soon(standing.watch_trackers)
            nursery.start_soon(standing.answer_questions)
            web_seeds = member.metainfo.web_seeds
            if not complete and web_seeds:
                nursery.start_soon(
                    use_web_seeds_while_slow, torrent, web_seeds, around.fallback, self._fell_back
                )
            folder = Path(place.record.folder)
            if not complete:
                folder = await self._fetch(torrent, standing)
            self._finish(folder, torrent.total_bytes, already_there=complete)
            if self._keep_seeding:
                name = self._licence.name
                around.emit(Seeding(licence_id=self._licence.licence_id, name=name))
            while True:
                await trio.sleep(_SEEDING_SAMPLE_S)
                self._progress(torrent, torrent.status())

    async def _fetch(self, torrent: Torrent, standing: Standing) -> Path:
        """Wait for the last piece, keeping resume points; then give the album its final name."""
        async with open_quiet_nursery() as nursery:
            nursery.start_soon(self._keep_resumable, torrent)
            nursery.start_soon(self._watch_flow, torrent, standing)
            await torrent.wait_complete()
            nursery.cancel_scope.cancel()
        self._progress(torrent, torrent.status())
        self._around.space.release(self._licence.licence_id)
        self._on_fetched()
        # Write everything and keep the full resume point before the rename: whatever moment a
        # crash takes, the next run finds a complete album and fetches nothing.
        await self._keep_resume_point(torrent)
        around, licence = self._around, self._licence
        around.emit(
            Verified(
                licence_id=licence.licence_id, name=licence.name, total_bytes=torrent.total_bytes
            )
        )
        async with around.placing:
            folder = await trio.to_thread.run_sync(self._reveal)
        await torrent.files_moved_to(folder)
        return folder

    def _reveal(self) -> Path:
        """Give the album its final name and record that it is complete. Blocking."""
        assert self._place is not None  # noqa: S101 - set before the album is fetched
        library, licence, record = self._around.library, self._licence, self._place.record
        folder = placement.reveal(library, licence, record)
        placement.remember_complete(library, licence, record, folder, self._place.files)
        return folder

    async def _leave(self, torrent: Torrent, *, fetching: bool = True) -> None:
        """Leave the swarm, keeping what the next run needs. Never for long, never half."""
        if fetching and torrent.status().verified_bytes < torrent.total_bytes:
            with trio.move_on_after(_LAST_POINT_S) as last, contextlib.suppress(StorageError):
                last.shield = True
                await self._keep_resume_point(torrent)
        with trio.move_on_after(_GOODBYE_S) as goodbye:
            goodbye.shield = True
            await self._around.session.remove(torrent)

    async def _keep_resumable(self, torrent: Torrent) -> None:
        kept, kept_at = torrent.pieces_verified, trio.current_time()
        step = max(1, torrent.piece_count // _RESUME_SHARE)
        while True:
            with trio.move_on_after(_SAMPLE_S):
                await torrent.wait_verified(kept + step)
            new = torrent.pieces_verified - kept
            late = trio.current_time() - kept_at > _RESUME_S
            if new >= step or (new and late):
                kept, kept_at = torrent.pieces_verified, trio.current_time()
                await self._keep_resume_point(torrent)

    async def _keep_resume_point(self, torrent: Torrent) -> None:
        point = await torrent.resume_point()
        keep = self._around.library.keep_resume_point
        await trio.to_thread.run_sync(keep, self._licence.licence_id, point)

    async def _watch_flow(self, torrent: Torrent, standing: Standing) -> None:
        """Report progress, and why there is none; after long patience fail, saying why.

        When nothing comes, licensing is asked whether the licence is still good.
        """
        around, stillness = self._around, Stillness(trio.current_time())
        told = ""
        while True:
            status = torrent.status()
            self._progress(torrent, status)
            around.space.update(
                self._licence.licence_id, status.total_bytes - status.verified_bytes
            )
            still_s = stillness.update(status.downloaded_bytes, trio.current_time())
            if still_s < min(around.stalled_after_s, around.patience_s):
                told = ""
            else:
                told = self._report_stall(torrent, standing, status, still_s, told)
            if still_s >= around.patience_s:
                self._lose_patience(torrent, standing)
            await trio.sleep(_SAMPLE_S)

    def _report_stall(
        self,
        torrent: Torrent,
        standing: Standing,
        status: TorrentStatus,
        still_s: float,
        told: str,
    ) -> str:
        reason, detail = stall_reason(status.connected_peers, torrent.trackers.values())
        if detail != told:
            if not told and not status.connected_peers:
                torrent.announce()
            if not told and status.downloaded_bytes:
                standing.ask()  # we were let in, and are no more
            licence = self._licence
            self._around.emit(
                Stalled(
                    licence_id=licence.licence_id,
                    name=licence.name,
                    reason=reason,
                    detail=detail,
                    still_s=still_s,
                )
            )
        return detail

    def _lose_patience(self, torrent: Torrent, standing: Standing) -> None:
        heard = "; ".join(f"{r.url}: {r.message}" for r in torrent.trackers.values())
        if standing.expired:
            raise LicenceExpired(
                f"{torrent.name}: the licence's certificate has ended and licensing did not "
                "renew it; what is there is kept, try again when licensing answers"
            )
        raise DownloadError(
            f"{torrent.name}: nothing arrived for {self._around.patience_s:.0f} s "
            f"({heard or 'no tracker answered'}); what is there is kept, try again later"
        )

    def _claim_space(self, status: TorrentStatus, record: DownloadRecord) -> None:
        self._around.space.claim(
            self._licence.licence_id,
            placement.content_folder(record),
            status.total_bytes - status.verified_bytes,
        )

    def _progress(self, torrent: Torrent, status: TorrentStatus) -> None:
        self._around.emit(self._totals.update(status, torrent.peers()))

    def _renewed(self, renewed: Credential) -> None:
        self._around.emit(
            CertificateRenewed(
                licence_id=self._licence.licence_id,
                name=self._licence.name,
                not_after=renewed.certificate.not_valid_after_utc,
            )
        )

    def _fell_back(self, joined: bool) -> None:
        licence = self._licence
        event = Fallback(licence_id=licence.licence_id, name=licence.name, joined=joined)
        self._around.emit(event)

    def _trouble(self, message: str) -> None:
        licence = self._licence
        event = Trouble(licence_id=licence.licence_id, name=licence.name, message=message)
        self._around.emit(event)

    def _finish(self, folder: Path, total_bytes: int, *, already_there: bool) -> None:
        totals = self._totals
        finished = Finished(
            licence_id=self._licence.licence_id,
            name=self._licence.name,
            folder=folder,
            total_bytes=total_bytes,
            from_seeders_bytes=totals.from_seeders_bytes,
            from_customers_bytes=totals.from_customers_bytes,
            uploaded_bytes=totals.uploaded_bytes,
            seconds=time.monotonic() - self._started,
            already_there=already_there,
        )
        self._on_finished(finished)
