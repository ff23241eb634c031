"""One album from licence to verified folder: join, fetch, keep resumable, reveal, give."""

import contextlib
import time
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path

import trio

from client_lib.download.disk.album_place import AlbumPlace, already_there
from client_lib.download.disk.catching_up import catch_up
from client_lib.download.disk.resume_keeping import keep_resumable
from client_lib.download.events import (
    CertificateRenewed,
    Fallback,
    Finished,
    GoalReached,
    Seeding,
    Started,
    Trouble,
    Verified,
)
from client_lib.download.flow_watch import FlowWatch
from client_lib.download.line.web_seed_use import use_web_seeds_while_slow
from client_lib.download.listening.listeners import Listening
from client_lib.download.listening.web_pieces import WebPieces
from client_lib.download.standing import Standing
from client_lib.download.surroundings import Surroundings
from client_lib.download.traffic.giving import give_until_goal
from client_lib.download.traffic.totals import AlbumTotals
from client_lib.errors import StorageError
from client_lib.membership import Membership
from client_lib.nursery import open_quiet_nursery
from client_lib.swarm.resume import ResumePoint
from client_lib.swarm.status import Phase, TorrentStatus
from client_lib.swarm.torrent import AddTorrent, Torrent
from client_lib.transport.credential import Credential
from client_lib.wire.certificates import certificate_pem
from client_lib.wire.licensing_api import LicenceRecord

_SAMPLE_S = 0.5
_LAST_POINT_S = 0.5  # for the resume point of an album that is stopped
_GOODBYE_S = 5.0


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
        on_joined: Callable[[], None] = lambda: None,
        on_fetched: Callable[[], None] = lambda: None,
        on_finished: Callable[[Finished], None] = lambda _finished: None,
    ) -> None:
        """Take the licence, the job's surroundings, and the folder to put the album below.

        `on_joined` is called when the album is being fetched and can be listened to,
        `on_fetched` when nothing more is to come (before the album has its final
        name), `on_finished` when it is there, before it is given to others.
        """
        self._licence = licence
        self._around = around
        self._totals = totals
        self._into = into
        self._files = tuple(files)
        self._keep_seeding = keep_seeding
        self._on_joined = on_joined
        self._on_fetched = on_fetched
        self._on_finished = on_finished
        self._started = time.monotonic()
        self._torrent: Torrent | None = None
        self._place: AlbumPlace | None = None
        self.listening: Listening | None = None
        """Where to listen to it while it is being fetched."""
        self._finished = False

    async def run(self, member: Membership | None = None) -> None:
        """Fetch the album, then give it to others until cancelled.

        Returns when there is nothing to do: the album was there already, and is not to be given.
        `member` is what a `join` ahead of time brought. Raises LicenceRefused, UnreachableError,
        StorageError (DiskFullError), DownloadError, SignatureError, UsageError.
        """
        around = self._around
        if member is None and not self._keep_seeding:
            there = await trio.to_thread.run_sync(
                already_there, around.library, self._licence, self._files
            )
            if there is not None:
                self._finish(*there, already_there=True)
                return
        member = member or await around.join(self._licence)
        while True:  # once more for an album that was mended: it is given whole then
            chosen = self._files
            disk = around.disk
            place = self._place = await disk.find(
                self._licence, member.metainfo, self._into, chosen
            )
            if not place.is_complete:
                self._totals.reused_bytes += await disk.stage(place, member.metainfo, self._licence)
            try:
                torrent = self._torrent = await self._add(member, place)
                if self._files != chosen:
                    self.select(self._files)
                try:
                    await self._take_part(torrent, member, place)
                finally:
                    if self.listening is not None:
                        self.listening.close()
                    await self._leave(torrent)
            finally:
                self._torrent = self.listening = None
                around.space.release(self._licence.licence_id)
            if place.is_complete or not place.replaces:
                return

    def select(self, files: Sequence[str]) -> None:
        """Fetch other files from now on. Raises UsageError if one fits none of the album."""
        self._files = tuple(files)
        if self._torrent is None or self._place is None:
            return
        self._place = self._place.selecting(self._licence.name, files)
        self._torrent.want(self._place.needed)

    def wants(self, file: int) -> bool:
        """Tell whether a file, by index, is among those chosen."""
        return self._place is None or file in self._place.needed

    async def _add(self, member: Membership, place: AlbumPlace) -> Torrent:
        around, licence, complete = self._around, self._licence, place.is_complete
        resume = None if complete else await self._resume_point(member, place)
        whole = complete and place.record.files is None
        torrent = await around.session.add(
            AddTorrent(
                torrent=member.torrent,
                save_path=place.folder,
                certificate_pem=member.credential.certificate_pem,
                key_pem=member.credential.key_pem,
                trackers=member.metainfo.announce_tiers,
                paths=place.paths,
                resume=resume,
                complete=whole,
                wanted=None if len(place.needed) == len(place.paths) else place.needed,
            )
        )
        try:
            # One that meets an error while it is checked stays in that phase.
            while (status := torrent.status()).phase is Phase.CHECKING and not torrent.error:
                with trio.move_on_after(_SAMPLE_S) as waited:
                    await torrent.wait_turn()
                if waited.cancelled_caught:
                    self._progress(torrent, status)
            self._totals.begin(status.verified_bytes, status.total_bytes)
            if not complete:
                around.space.claim(
                    licence.licence_id, place.folder, status.total_bytes - status.verified_bytes
                )
                around.emit(
                    Started(
                        licence_id=licence.licence_id,
                        name=licence.name,
                        total_bytes=status.total_bytes,
                        resumed_bytes=status.verified_bytes,
                        reused_bytes=self._totals.reused_bytes,
                    )
                )
        except BaseException:
            await self._leave(torrent, fetching=False)
            raise
        return torrent

    async def _resume_point(self, member: Membership, place: AlbumPlace) -> ResumePoint | None:
        """What is there: the last point, and what came after it."""
        metainfo = member.metainfo
        library, licence_id = self._around.library, self._licence.licence_id
        point = library.resume_point(licence_id, metainfo.info_hash)
        if point is None:
            return None
        return await trio.to_thread.run_sync(catch_up, point, metainfo, place.folder, place.paths)

    async def _take_part(self, torrent: Torrent, member: Membership, place: AlbumPlace) -> None:
        """Fetch what is to be fetched, then give; returns when a complete album was mended."""
        around, complete = self._around, place.is_complete
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
            if not complete:
                self._listen(nursery, torrent, member)
            if not complete and web_seeds:
                nursery.start_soon(
                    use_web_seeds_while_slow, torrent, web_seeds, around.fallback, self._fell_back
                )
            folder = Path(place.record.folder)
            if not complete:
                folder = await self._fetch(torrent, member, standing)
            self._finish(folder, torrent.total_bytes, already_there=complete)
            if place.replaces and not complete:
                nursery.cancel_scope.cancel()
                return
            if self._keep_seeding:
                name = self._licence.name
                around.emit(Seeding(licence_id=self._licence.licence_id, name=name))
            await self._give(torrent)
            nursery.cancel_scope.cancel()

    def _listen(self, nursery: trio.Nursery, torrent: Torrent, member: Membership) -> None:
        around = self._around
        self.listening = Listening(
            torrent,
            WebPieces(member, certificate_pem(around.ca)),
            stand_back=lambda bytes_s, but: around.session.make_way(bytes_s, except_for=but),
            on_web_bytes=self._totals.add_listened,
        )
        nursery.start_soon(self.listening.run)
        self._on_joined()

    async def _give(self, torrent: Torrent) -> None:
        """Give the complete album to others until its goal is reached, if it has one."""
        given = await give_until_goal(torrent, self._totals, self._around.goal, self._around.emit)
        licence = self._licence
        self._around.emit(
            GoalReached(
                licence_id=licence.licence_id,
                name=licence.name,
                given_bytes=given.given_bytes,
                given_s=given.given_s,
            )
        )

    async def _fetch(self, torrent: Torrent, member: Membership, standing: Standing) -> Path:
        """Wait for the last piece, keeping resume points; then give the album its final name."""
        assert self._place is not None  # noqa: S101 - set before the album is fetched
        hashing = self._around.disk.hashing_ahead(self._place, member.metainfo, torrent.pieces)
        async with open_quiet_nursery() as nursery:
            piece_bytes = member.metainfo.piece_length_bytes
            keep = partial(self._keep_resume_point, torrent)
            nursery.start_soon(keep_resumable, torrent, piece_bytes, keep, hashing)
            if hashing is not None:
                nursery.start_soon(hashing.run)
            watch = FlowWatch(torrent, standing, self._licence, self._around)
            nursery.start_soon(watch.run, lambda status: self._progress(torrent, status))
            status = await torrent.wait_complete()
            nursery.cancel_scope.cancel()
        self._progress(torrent, status)
        self._around.space.release(self._licence.licence_id)
        self._on_fetched()
        # Write everything before the rename: whatever moment a crash takes, the next run finds a
        # complete album, at worst by hashing what came since the last resume point.
        await torrent.flush()
        around, licence = self._around, self._licence
        around.emit(
            Verified(
                licence_id=licence.licence_id, name=licence.name, total_bytes=torrent.total_bytes
            )
        )
        place = self._place
        if place.replaces:
            torrent.pause()  # its files go, one by one
        folder = await around.disk.reveal(place, member.metainfo, licence, hashing)
        if not place.replaces:
            await torrent.files_moved_to(folder)
        return folder

    async def _leave(self, torrent: Torrent, *, fetching: bool = True) -> None:
        """Leave the swarm, keeping what the next run needs. Never for long, never half."""
        status = torrent.status()
        self._totals.update(status, torrent.peers)  # the last half second counts as well
        if fetching and status.verified_bytes < torrent.total_bytes:
            with trio.move_on_after(_LAST_POINT_S) as last, contextlib.suppress(StorageError):
                last.shield = True
                await self._keep_resume_point(torrent)
        with trio.move_on_after(_GOODBYE_S) as goodbye:
            goodbye.shield = True
            await self._around.session.remove(torrent)

    async def _keep_resume_point(self, torrent: Torrent) -> None:
        point = await torrent.resume_point()
        keep = self._around.library.keep_resume_point
        await trio.to_thread.run_sync(keep, self._licence.licence_id, point)

    def _progress(self, torrent: Torrent, status: TorrentStatus) -> None:
        self._around.emit(self._totals.update(status, torrent.peers))

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
        if self._finished:
            return
        self._finished = True
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
