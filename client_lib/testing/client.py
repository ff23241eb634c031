"""A client of the fake store."""

import contextlib
import datetime as dt
from collections.abc import AsyncIterator, Callable, Sequence
from pathlib import Path
from typing import cast

import trio

from client_lib.download.client import Client
from client_lib.download.disk.file_selection import wanted_files
from client_lib.download.disk.repair import Repaired
from client_lib.download.disk.verification import (
    FileFinding,
    FileState,
    VerifyProgress,
    surplus_files,
)
from client_lib.download.events import Event
from client_lib.download.line.limits import LineLimits
from client_lib.download.line.schedule import Limits
from client_lib.download.listening.order import find_track
from client_lib.download.queue import DownloadQueue, Order, QueueEntry
from client_lib.download.queueing.requests import QueueRequest, QueueRequests, apply
from client_lib.download.settings import ClientSettings
from client_lib.download.traffic.ledger import AlbumTraffic, StoredTraffic, TrafficStats
from client_lib.errors import LicenceRevoked, LicensingRefused, UnreachableError, UsageError
from client_lib.nursery import open_quiet_nursery
from client_lib.testing.books import Books, Device
from client_lib.testing.job import FakeJob
from client_lib.wire.licensing_api import (
    Balance,
    FormatQuote,
    LicenceRecord,
    PurchaseAnswer,
    ReleaseQuote,
)
from client_lib.wire.money import Money
from client_lib.wire.problem import ProblemType
from client_lib.wire.release import ReleaseId, TorrentName, split_torrent_name

_CHUNK_BYTES = 1 << 20


class FakeClient(Client):
    """`client_lib.Client` without network, threads and services. From `FakeStore.open_client`."""

    def __init__(self, settings: ClientSettings, store: Books, device: Device) -> None:
        """Use `FakeStore.open_client` instead."""
        self._settings = settings
        self._store = store
        self._device = device

    async def redeem(self, payment_token: str) -> tuple[LicenceRecord, ...]:
        """Turn a token of the store's into licences. Raises LicensingRefused, UnreachableError."""
        await trio.lowlevel.checkpoint()
        return self._store.redeem(self._device, payment_token)

    async def licences(self, *, refresh: bool = True) -> tuple[LicenceRecord, ...]:
        """Licences of this device; with the store away (or no `refresh`), as last seen."""
        await trio.lowlevel.checkpoint()
        if not refresh:
            return self._device.licences
        try:
            self._store.require_answer()
        except UnreachableError:
            if not self._device.licences:
                raise
            return self._device.licences
        return self._store.refreshed(self._device)

    async def balances(self) -> tuple[Balance, ...]:
        """Prepaid credit. Raises UnreachableError."""
        await trio.lowlevel.checkpoint()
        self._store.require_answer()
        return self._store.balances()

    async def quote(self, release_id: ReleaseId) -> ReleaseQuote:
        """Every format of a release. Raises LicensingRefused, UnreachableError."""
        await trio.lowlevel.checkpoint()
        self._store.require_answer()
        formats = tuple(
            FormatQuote(
                release.name,
                split_torrent_name(release.name)[1],
                release.size_bytes,
                tuple(Money(amount, currency) for currency, amount in release.prices.items()),
            )
            for release in self._store.releases()
            if split_torrent_name(release.name)[0] == release_id
        )
        if not formats:
            raise LicensingRefused(ProblemType.UNKNOWN_RELEASE, 404, f"no release {release_id}")
        return ReleaseQuote(release_id, formats)

    async def buy(self, name: TorrentName, currency: str) -> PurchaseAnswer:
        """Buy a release with prepaid credit. Raises LicensingRefused, UnreachableError."""
        release_id, _ = split_torrent_name(name)
        quoted = {entry.name: entry for entry in (await self.quote(release_id)).formats}
        if name not in quoted:
            raise LicensingRefused(ProblemType.UNKNOWN_RELEASE, 404, f"no release {name}")
        prices = {price.currency: price.amount_minor for price in quoted[name].prices}
        if currency not in prices:
            raise LicensingRefused(
                ProblemType.NOT_FOR_SALE, 409, f"{name} is not for sale in {currency}"
            )
        owned = next((one for one in self._device.licences if one.name == name), None)
        charged = 0 if owned else prices[currency]
        left = self._store.charge(charged, currency)
        licence = owned or self._store.sell(self._device, name)
        return PurchaseAnswer(
            licence, f"fake-{licence.licence_id}", owned is not None, charged, left, currency
        )

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
    ) -> AsyncIterator[FakeJob]:
        """Download albums while the block lasts. Raises LibraryInUse, UsageError."""
        for licence in licences if play_first is not None else ():
            find_track(licence.name, str(play_first), list(self._store.release(licence.name).files))
        device = self._device
        session = self._settings.session
        job = FakeJob(
            self._store,
            device,
            self._settings,
            LineLimits(
                Limits(session.upload_limit_bytes_s, session.download_limit_bytes_s),
                self._settings.schedule,
                lambda limits: setattr(device, "limits", limits),
                lambda: dt.datetime.now().astimezone(),
            ),
            into,
            order=order,
            keep_seeding=keep_seeding,
        )
        with device.exclusive(job):
            device.limits = Limits(session.upload_limit_bytes_s, session.download_limit_bytes_s)
            job._keeper.queue.keep(licence.licence_id for licence in licences)
            job._take_up(licences, into, files)
            try:
                async with open_quiet_nursery() as nursery:
                    # The fake job waits for no request files.
                    nursery.start_soon(job._run, cast("QueueRequests", None))
                    yield job
                    nursery.cancel_scope.cancel()
            finally:
                job._keeper.write_now()

    async def stats(self) -> TrafficStats:
        """What this device took; nobody asks a fake one for anything."""
        await trio.lowlevel.checkpoint()
        names = {one.licence_id: one.name for one in self._device.licences}
        return TrafficStats.of(
            StoredTraffic(
                albums={
                    key: AlbumTraffic(
                        str(names[key]),
                        from_seeders_bytes=state.received_bytes,
                        given_s=state.given_s,
                    )
                    for key, state in self._device.albums.items()
                }
            )
        )

    async def queue(self) -> tuple[QueueEntry, ...]:
        """The device's queue in order, whoever downloads."""
        await trio.lowlevel.checkpoint()
        return self._device.queue.entries

    async def change_queue(self, request: QueueRequest) -> None:
        """Have the queue changed by the job that downloads, or else change it here."""
        await trio.lowlevel.checkpoint()
        if self._device.job is not None:
            await self._device.job.ask(request)
            return
        queue = DownloadQueue(self._device.queue.entries)
        apply(request, queue)
        self._device.queue = queue.stored()

    async def verify(
        self,
        licence: LicenceRecord,
        on_progress: Callable[[VerifyProgress], None] = lambda _progress: None,
    ) -> tuple[FileFinding, ...]:
        """Look for files that are missing, or are not the zeros that were written."""
        await trio.lowlevel.checkpoint()
        state, release = self._device.album(licence.licence_id), self._store.release(licence.name)
        if state.folder is None or not state.complete:
            raise UsageError(f"{licence.name}: not downloaded here yet; get it first")
        every = list(release.files.items())
        chosen = wanted_files(licence.name, state.files, list(release.files))
        files = [every[index] for index in sorted(chosen)]
        findings, read_bytes = [], 0
        for path, size in files:
            findings.append(FileFinding(path, _state(state.folder / path, size), size))
            read_bytes += size
            on_progress(VerifyProgress(path, read_bytes, sum(size for _, size in files)))
        if any(finding.is_damage for finding in findings):
            right = (one.length_bytes for one in findings if not one.is_damage)
            state.verified_bytes, state.complete = sum(right), False
        surplus = surplus_files(state.folder, list(release.files))
        return (
            *findings,
            *(FileFinding(path, FileState.SURPLUS, length) for path, length in surplus),
        )

    async def repair(
        self,
        licence: LicenceRecord,
        on_progress: Callable[[VerifyProgress], None] = lambda _progress: None,
        on_event: Callable[[Event], None] = lambda _event: None,
    ) -> Repaired:
        """Verify a complete album, and fetch what is missing or changed. Raises as `download`."""
        findings = await self.verify(licence, on_progress)
        state = self._device.album(licence.licence_id)
        folder = state.folder or Path()
        if state.complete:
            return Repaired(licence.name, folder, findings)
        music = folder.parent  # the folder is kept
        async with self.download([licence], into=music, files=state.files) as job:
            await job.resume(licence.licence_id)
            async for event in job.events():
                on_event(event)
            (end,) = await job.result()
        return Repaired(licence.name, folder, findings, end.from_seeders_bytes)

    async def export(self, licence: LicenceRecord, folder: Path) -> Path:
        """Write files of the right names into a new folder. Raises UsageError, LicenceRefused."""
        await trio.lowlevel.checkpoint()
        if licence.licence_id in self._store.revoked:
            raise LicenceRevoked(f"{licence.name}: this licence was revoked")
        final = folder / licence.name
        if final.exists():
            raise UsageError(f"{final} is there already, and nothing is overwritten")
        final.mkdir(parents=True)
        for name in (f"{licence.name}.torrent", "certificate.pem", "key.pem", "README.txt"):
            (final / name).write_text("of a fake store\n")
            (final / name).chmod(0o600)
        return final


def _state(path: Path, size: int) -> FileState:
    if not path.is_file():
        return FileState.MISSING
    if path.stat().st_size != size:
        return FileState.WRONG_SIZE
    with path.open("rb") as content:
        while chunk := content.read(_CHUNK_BYTES):
            if chunk.strip(b"\0"):
                return FileState.CORRUPT
    return FileState.OK
