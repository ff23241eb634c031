"""What comes of an album: progress while something does, and why when nothing does."""

from collections.abc import Callable

import trio

from client_lib.download.events import Stalled
from client_lib.download.line.stall import Redial, Stillness, stall_reason
from client_lib.download.standing import Standing
from client_lib.download.surroundings import Surroundings
from client_lib.errors import DownloadError, LicenceExpired
from client_lib.swarm.status import TorrentStatus
from client_lib.swarm.torrent import Torrent
from client_lib.wire.licensing_api import LicenceRecord

SAMPLE_S = 0.5


class FlowWatch:
    """Looks at one torrent that is being fetched."""

    def __init__(
        self, torrent: Torrent, standing: Standing, licence: LicenceRecord, around: Surroundings
    ) -> None:
        """Take the torrent, its standing in the swarm, and whom to tell."""
        self._torrent = torrent
        self._standing = standing
        self._licence = licence
        self._around = around

    async def run(self, on_status: Callable[[TorrentStatus], None]) -> None:
        """Hand on each sample; say why there is no progress; after long patience fail with that.

        When nothing comes, licensing is asked whether the licence is still good. Raises
        LicenceExpired, DownloadError.
        """
        around, torrent = self._around, self._torrent
        stillness, redial = Stillness(trio.current_time()), Redial()
        told = ""
        while True:
            await trio.sleep(SAMPLE_S)
            status = torrent.status()
            on_status(status)
            around.space.update(
                self._licence.licence_id, status.total_bytes - status.verified_bytes
            )
            still_s = stillness.update(status.downloaded_bytes, trio.current_time())
            if redial.is_due(still_s, status.connected_peers):
                torrent.redial()
            if still_s < min(around.stalled_after_s, around.patience_s):
                told = ""
            else:
                told = self._report_stall(status, still_s, told)
            if still_s >= around.patience_s:
                self._lose_patience()

    def _report_stall(self, status: TorrentStatus, still_s: float, told: str) -> str:
        torrent = self._torrent
        reason, detail = stall_reason(status.connected_peers, torrent.trackers.values())
        if detail != told:
            if not told and not status.connected_peers:
                torrent.announce()
            if not told and status.downloaded_bytes:
                self._standing.ask()  # we were let in, and are no more
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

    def _lose_patience(self) -> None:
        torrent = self._torrent
        heard = "; ".join(f"{r.url}: {r.message}" for r in torrent.trackers.values())
        if self._standing.expired:
            raise LicenceExpired(
                f"{torrent.name}: the licence's certificate has ended and licensing did not "
                "renew it; what is there is kept, try again when licensing answers"
            )
        raise DownloadError(
            f"{torrent.name}: nothing arrived for {self._around.patience_s:.0f} s "
            f"({heard or 'no tracker answered'}); what is there is kept, try again later"
        )
