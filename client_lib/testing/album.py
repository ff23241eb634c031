"""One album of the fake swarm: arrives at the store's rate, as its script says."""

from collections.abc import Callable, Sequence
from hashlib import sha256
from pathlib import Path

import trio

from client_lib.download.disk.checksums import CHECKSUMS_FILE
from client_lib.download.disk.file_selection import wanted_files
from client_lib.download.disk.folder_template import FolderTemplate
from client_lib.download.events import (
    Event,
    Finished,
    GoalReached,
    Progress,
    Seeding,
    Stalled,
    Started,
    Verified,
)
from client_lib.download.settings import ClientSettings
from client_lib.download.traffic.totals import AlbumTotals
from client_lib.errors import DownloadError, LicenceRevoked
from client_lib.testing.books import AlbumState, Books, Device, FakeRelease
from client_lib.testing.script import Break, Receive, Stall
from client_lib.wire.licence import LicenceId
from client_lib.wire.licensing_api import LicenceRecord
from client_lib.wire.release import TorrentName

_SAMPLE_S = 0.5
_SEEDING_SAMPLE_S = 5.0


class FakeTotals(AlbumTotals):
    """What one album has received in a job, over pauses and restarts: all from seeders."""

    def __init__(self, licence_id: LicenceId, name: TorrentName) -> None:
        """Start at zero."""
        super().__init__(licence_id, name)
        self.arrived_bytes = 0

    @property
    def received_bytes(self) -> int:
        """Payload received."""
        return self.arrived_bytes


class FakeAlbum:
    """Fetches an album into a folder of sparse files. `run` may be cancelled at any moment."""

    def __init__(
        self,
        licence: LicenceRecord,
        store: Books,
        device: Device,
        settings: ClientSettings,
        totals: FakeTotals,
        *,
        emit: Callable[[Event], None],
        into: Path,
        files: Sequence[str],
        keep_seeding: bool,
        on_fetched: Callable[[], None],
        on_finished: Callable[[Finished], None],
    ) -> None:
        """Take what a real album takes, and the store."""
        self._licence = licence
        self._store = store
        self._device = device
        self._settings = settings
        self._totals = totals
        self._emit = emit
        self._into = into
        self._files = tuple(files)
        self._keep_seeding = keep_seeding
        self._on_fetched = on_fetched
        self._on_finished = on_finished
        self._release = store.release(licence.name)
        self._state = device.album(licence.licence_id)
        self._began = trio.current_time()

    def select(self, files: Sequence[str]) -> None:
        """Fetch other files from now on. Raises UsageError if one fits none of the album."""
        self._wanted(files)
        self._files = tuple(files)
        self._totals.total_bytes = self._total_bytes

    async def run(self, _member: object = None) -> None:
        """Fetch it, then give it to others until cancelled. Raises what the script says."""
        await trio.lowlevel.checkpoint()
        there = is_there(self._state, self._release)
        if there and set(self._wanted(self._files)) <= set(self._wanted(self._state.files)):
            self._finish(already_there=True)
        else:
            self._state.verified_bytes = min(self._state.verified_bytes, self._total_bytes - 1)
            self._totals.begin(self._state.verified_bytes, self._total_bytes)
            licence, resumed = self._licence, self._state.verified_bytes
            self._emit(
                Started(
                    licence_id=licence.licence_id,
                    name=licence.name,
                    total_bytes=self._total_bytes,
                    resumed_bytes=resumed,
                )
            )
            await self._follow_script()
            await self._receive(1.0)
            self._on_fetched()
            self._emit(
                Verified(
                    licence_id=licence.licence_id, name=licence.name, total_bytes=self._total_bytes
                )
            )
            self._reveal()
            self._finish()
        if self._keep_seeding:
            self._emit(Seeding(licence_id=self._licence.licence_id, name=self._licence.name))
            await self._give()

    async def _give(self) -> None:
        """Be complete until the seeding goal is reached; nobody asks for anything."""
        goal, state = self._settings.seeding_goal, self._state
        while left_s := goal.seconds_left(0, self._total_bytes, state.given_s):
            for_s = min(_SEEDING_SAMPLE_S, left_s)
            await trio.sleep(for_s)
            state.given_s += for_s
            self._require_licence()
            self._progress(0)
        self._emit(
            GoalReached(
                licence_id=self._licence.licence_id,
                name=self._licence.name,
                given_bytes=0,
                given_s=state.given_s,
            )
        )

    @property
    def _total_bytes(self) -> int:
        return sum(self._wanted(self._files).values())

    def _wanted(self, files: Sequence[str]) -> dict[str, int]:
        every = list(self._release.files)
        indexes = wanted_files(self._licence.name, files, every)
        return {every[index]: self._release.files[every[index]] for index in sorted(indexes)}

    async def _follow_script(self) -> None:
        while self._state.step < len(self._release.script):
            match self._release.script[self._state.step]:
                case Receive(share=share):
                    await self._receive(share)
                    self._state.step += 1
                case Stall() as stall:
                    await self._stall(stall)
                    self._state.step += 1
                case Break(error=error):
                    self._state.step += 1
                    raise error

    async def _receive(self, share: float) -> None:
        since = trio.current_time()
        while (rest := int(self._total_bytes * share) - self._state.verified_bytes) > 0:
            self._require_licence()
            rate = self._rate()
            if rate == 0:
                await self._wait(since, Stall())
                continue
            since = trio.current_time()
            arriving = max(1, min(rest, int(rate * _SAMPLE_S)))
            await trio.sleep(arriving / rate)
            self._state.verified_bytes += arriving
            self._totals.arrived_bytes += arriving
            self._state.received_bytes += arriving
            self._totals.verified_bytes = self._state.verified_bytes
            self._progress(rate)
        await trio.lowlevel.checkpoint()

    def _rate(self) -> int:
        limit = self._device.limits.down_bytes_s
        return min(self._store.rate_bytes_s, limit) if limit else self._store.rate_bytes_s

    async def _stall(self, stall: Stall) -> None:
        since = trio.current_time()
        while trio.current_time() - since < stall.for_s:
            self._require_licence()
            await self._wait(since, stall, until_s=stall.for_s)

    async def _wait(self, since: float, stall: Stall, until_s: float = float("inf")) -> None:
        """Wait for a moment, and say or end what has stood still for too long."""
        settings, licence = self._settings, self._licence
        before = trio.current_time() - since
        await trio.sleep(min(_SAMPLE_S, until_s - before))
        still_s = trio.current_time() - since
        self._progress(0)
        if before < settings.stalled_after_s <= still_s:
            self._emit(
                Stalled(
                    licence_id=licence.licence_id,
                    name=licence.name,
                    reason=stall.reason,
                    detail=stall.detail,
                    still_s=still_s,
                )
            )
        if still_s >= settings.patience_s:
            raise DownloadError(
                f"{licence.name}: nothing arrived for {settings.patience_s:.0f} s "
                f"({stall.detail}); what is there is kept, try again later"
            )

    def _require_licence(self) -> None:
        if self._licence.licence_id in self._store.revoked:
            raise LicenceRevoked(f"{self._licence.name}: this licence was revoked")

    def _progress(self, rate_bytes_s: int) -> None:
        totals = self._totals
        self._emit(
            Progress(
                licence_id=self._licence.licence_id,
                name=self._licence.name,
                total_bytes=self._total_bytes,
                verified_bytes=self._state.verified_bytes,
                from_seeders_bytes=totals.arrived_bytes,
                from_customers_bytes=0,
                uploaded_bytes=0,
                download_rate_bytes_s=rate_bytes_s,
                upload_rate_bytes_s=0,
                connected_peers=int(rate_bytes_s > 0),
            )
        )

    def _reveal(self) -> None:
        """Make the album's folder with what was chosen of it."""
        if self._state.folder is None:
            self._state.folder = self._free_folder()
        for path, size in self._wanted(self._files).items():
            file = self._state.folder / path
            file.parent.mkdir(parents=True, exist_ok=True)
            with file.open("wb") as sparse:
                sparse.truncate(size)
        self._state.files, self._state.complete = self._files, True

        if self._settings.checksums:
            lines = (
                f"{sha256(bytes(size)).hexdigest()}  {path}\n"
                for path, size in sorted(self._wanted(self._files).items())
            )
            (self._state.folder / CHECKSUMS_FILE).write_text("".join(lines))

    def _free_folder(self) -> Path:
        template = FolderTemplate.parse(self._settings.folder_template)
        wanted = self._into.joinpath(*template.folder(self._licence))
        taken = {state.folder for state in self._device.albums.values()}
        folder, number = wanted, 1
        while folder in taken or folder.exists():
            number += 1
            folder = wanted.with_name(f"{wanted.name} ({number})")
        return folder

    def _finish(self, *, already_there: bool = False) -> None:
        totals, folder = self._totals, self._state.folder
        assert folder is not None  # noqa: S101 - revealed, or found there
        self._on_finished(
            Finished(
                licence_id=self._licence.licence_id,
                name=self._licence.name,
                folder=folder,
                total_bytes=self._total_bytes,
                from_seeders_bytes=totals.arrived_bytes,
                from_customers_bytes=0,
                uploaded_bytes=0,
                seconds=trio.current_time() - self._began,
                already_there=already_there,
            )
        )


def is_there(state: AlbumState, release: FakeRelease) -> bool:
    """Tell whether a complete album is where it was put, by the sizes of its files."""
    if state.folder is None or not state.complete:
        return False
    paths = list(release.files)
    return all(
        (state.folder / paths[index]).is_file()
        and (state.folder / paths[index]).stat().st_size == release.files[paths[index]]
        for index in wanted_files(release.name, state.files, paths)
    )
