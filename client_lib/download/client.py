"""The embedders' door: `open_client`, then redeem, licences, download, verify."""

import contextlib
import datetime as dt
import random
import secrets
from collections.abc import AsyncIterator, Callable, Sequence
from pathlib import Path

import trio
from cryptography import x509

from client_lib.download.account import Account, connected
from client_lib.download.clock_watch import ClockWatch
from client_lib.download.disk.disk_use import DiskUse
from client_lib.download.disk.folder_template import FolderTemplate
from client_lib.download.disk.repair import Repaired, complete_record, verify_album
from client_lib.download.disk.shared_files import SharedFiles
from client_lib.download.disk.space import SpaceLedger
from client_lib.download.disk.verification import FileFinding, VerifyProgress
from client_lib.download.event_box import EventBox
from client_lib.download.events import Event, Started
from client_lib.download.exporting import export_membership
from client_lib.download.job import DownloadJob, running_job
from client_lib.download.library import Service
from client_lib.download.line.fallback import FallbackTuning
from client_lib.download.line.limits import LineLimits
from client_lib.download.line.router_watch import RouterWatch
from client_lib.download.line.schedule import Limits
from client_lib.download.line.upload_cap import UploadCap
from client_lib.download.queue import Order
from client_lib.download.queueing.keeper import QueueKeeper
from client_lib.download.queueing.requests import QueueRequests
from client_lib.download.runner import JobRunner
from client_lib.download.settings import ClientSettings
from client_lib.download.surroundings import Surroundings
from client_lib.download.tracks import Tracks
from client_lib.download.traffic.file import read_traffic
from client_lib.download.traffic.keeper import TrafficKeeper
from client_lib.download.traffic.ledger import TrafficStats
from client_lib.errors import CertificateError, StorageError
from client_lib.membership import join
from client_lib.swarm.session import open_session
from client_lib.wire.certificates import certificate_pem, load_certificate
from client_lib.wire.licensing_api import (
    LicenceRecord,
    PurchaseAnswer,
    PurchaseRequest,
)
from client_lib.wire.release import TorrentName, split_torrent_name


def utc_now() -> dt.datetime:
    """Wall clock, aware."""
    return dt.datetime.now(dt.UTC)


def local_now() -> dt.datetime:
    """Wall clock of this place, aware."""
    return dt.datetime.now().astimezone()


class Client(Account):
    """One device at one licensing service. Make it with `open_client`."""

    async def redeem(self, payment_token: str) -> tuple[LicenceRecord, ...]:
        """Turn a store's payment token into licences of this device. Safe to repeat.

        None for a token that topped up prepaid credit: see `balances`. Raises LicensingRefused,
        UnreachableError.
        """
        redeemed = await self._licensing.redeem(payment_token)
        await self._swarm_ca()
        self.library.keep_licences(await self._licensing.library())
        return redeemed.licences

    async def buy(self, name: TorrentName, currency: str) -> PurchaseAnswer:
        """Buy a release with prepaid credit; what the customer owns is not charged again.

        So it is safe to repeat after any error. Raises LicensingRefused (insufficient credit, not
        for sale, unknown release), UnreachableError.
        """
        release_id, audio_format = split_torrent_name(name)
        bought = await self._licensing.buy(
            PurchaseRequest(release_id, audio_format, currency),
            idempotency_key=secrets.token_urlsafe(24),
        )
        await self._swarm_ca()
        self.library.keep_licences(await self._licensing.library())
        return bought

    @contextlib.asynccontextmanager
    async def download(
        self,
        licences: Sequence[LicenceRecord],
        *,
        into: Path,
        keep_seeding: bool = False,
        order: Order = Order.GIVEN,
        files: Sequence[str] | None = None,
        play_first: str | None = None,
    ) -> AsyncIterator[DownloadJob]:
        """Download albums below the folder `into` while the block lasts.

        They join the device's queue: those that an earlier run left in it keep their place and
        pause, and their chosen files unless `files` (see `DownloadJob.select_files`) are given.
        Albums that are complete already are reported as Finished
        at once; with `keep_seeding` they are given to others until the block ends, or each until
        the settings' seeding goal. `play_first` fetches every album in listening order from a
        track on, named as for `DownloadJob.open_track`. Raises
        LibraryInUse if another process uses this library, StorageError if no port is free,
        UsageError.
        """
        box = EventBox()
        with self.library.exclusive():
            keeper = QueueKeeper(self.library)
            keeper.queue.keep(licence.licence_id for licence in licences)
            ca = await self._swarm_ca()
            async with open_session(self._settings.session) as session:
                around = Surroundings(
                    library=self.library,
                    session=session,
                    licensing=self._licensing,
                    ca=ca,
                    patience_s=self._settings.patience_s,
                    stalled_after_s=self._settings.stalled_after_s,
                    emit=box.put,
                    clock=utc_now,
                    rng=random.SystemRandom(),
                    clock_watch=ClockWatch(utc_now, box.put),
                    space=SpaceLedger(),
                    disk=DiskUse(
                        self.library,
                        FolderTemplate.parse(self._settings.folder_template),
                        SharedFiles(self.library),
                        checksums=self._settings.checksums,
                        placing=trio.Lock(),
                    ),
                    fallback=FallbackTuning(self._settings.web_seed_below_bytes_s),
                    goal=self._settings.seeding_goal,
                    encryption=self.library.key_encryption(),
                )
                runner = JobRunner(
                    around,
                    keeper,
                    concurrent=self._settings.concurrent_albums,
                    order=order,
                    keep_seeding=keep_seeding,
                    traffic=TrafficKeeper(self.library.folder),
                )
                requests = QueueRequests(self.library.requests_folder)
                cap = UploadCap(session, self._settings.upload_share)
                tracks = Tracks(runner, keeper.queue, self.library)
                job = DownloadJob(runner, keeper, box, self._line_limits(cap), tracks, into)
                tasks = [cap.run, RouterWatch(session, box.put).run]
                if play_first is not None:
                    tasks.append(lambda: tracks.play_all(licences, play_first, box.put))
                async with running_job(job, licences, files, requests, tasks):
                    yield job

    async def stats(self) -> TrafficStats:
        """What this device took and gave, over all runs; of one under way a few seconds ago."""
        folder = self.library.folder
        return TrafficStats.of(await trio.to_thread.run_sync(read_traffic, folder))

    def _line_limits(self, cap: UploadCap) -> LineLimits:
        chosen = self._settings.session
        limits = Limits(chosen.upload_limit_bytes_s, chosen.download_limit_bytes_s)
        cap.apply(limits)
        return LineLimits(limits, self._settings.schedule, cap.apply, local_now)

    async def verify(
        self,
        licence: LicenceRecord,
        on_progress: Callable[[VerifyProgress], None] = lambda _progress: None,
    ) -> tuple[FileFinding, ...]:
        """Hash a complete album against what was bought; works without any service.

        Every file of the album is reported, and what else lies in its folder. `repair` and
        `download` mend what is damaged. Raises StorageError, UsageError if the album was not
        downloaded here.
        """
        return await verify_album(self.library, licence, on_progress)

    async def repair(
        self,
        licence: LicenceRecord,
        on_progress: Callable[[VerifyProgress], None] = lambda _progress: None,
        on_event: Callable[[Event], None] = lambda _event: None,
    ) -> Repaired:
        """Verify a complete album, and get what is missing or changed, piece by piece.

        A file that was only renamed, or that another album here has, is copied. Each mended file
        replaces the damaged one at once; the customer's own files are not touched. `on_progress`
        hears of the verification, `on_event` of the download. Raises UsageError if the album was
        not downloaded here, LibraryInUse, LicenceRefused, UnreachableError, StorageError,
        DownloadError.
        """
        with self.library.exclusive():
            record = complete_record(self.library, licence)  # before hours of hashing
        findings = await self.verify(licence, on_progress)
        folder = Path(record.folder)
        if not any(finding.is_damage for finding in findings):
            return Repaired(licence.name, folder, findings)
        reused_bytes = 0
        music = Path(record.partial).parent.parent
        async with self.download([licence], into=music, files=record.files) as job:
            await job.resume(licence.licence_id)  # it may be paused in the queue
            async for event in job.events():
                on_event(event)
                if isinstance(event, Started):
                    reused_bytes = event.reused_bytes
        (end,) = await job.result()
        received_bytes = end.from_seeders_bytes + end.from_customers_bytes
        return Repaired(licence.name, end.folder, findings, received_bytes, reused_bytes)

    async def export(self, licence: LicenceRecord, folder: Path) -> Path:
        """Write torrent, certificate and key (0600) for another client into a new folder.

        It is `folder/<torrent name>` and is returned. Raises UsageError if it is there already,
        LicenceRefused, UnreachableError, StorageError.
        """
        member = await join(
            licence,
            self.library.licence_folder(licence.licence_id),
            self._licensing,
            ca=await self._swarm_ca(),
            now=utc_now(),
            rng=random.SystemRandom(),
            encryption=self.library.key_encryption(),
        )
        return await trio.to_thread.run_sync(export_membership, member, folder)

    async def _swarm_ca(self) -> x509.Certificate:
        """The pinned swarm CA; fetched at first contact, over a connection that is trusted."""
        if self._service.swarm_ca is None:
            certificate = load_certificate(await self._licensing.swarm_ca())
            self._service = Service(
                licensing_url=self._service.licensing_url,
                licensing_ca=self._service.licensing_ca,
                swarm_ca=certificate_pem(certificate),
            )
            self.library.keep_service(self._service)
        await trio.lowlevel.checkpoint()
        try:
            return load_certificate(self._service.swarm_ca or "")
        except CertificateError as error:
            where = self.library.folder / "service.json"
            raise StorageError(f"{where} is damaged: remove it and try again") from error


@contextlib.asynccontextmanager
async def open_client(settings: ClientSettings) -> AsyncIterator[Client]:
    """Open this device's library and its connection to licensing.

    Raises UsageError when no licensing service was ever named, or for a folder template that
    cannot be.
    """
    FolderTemplate.parse(settings.folder_template)
    async with connected(settings) as (library, service, licensing):
        yield Client(settings, library, service, licensing)
