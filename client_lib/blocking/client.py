"""`Client` and `open_client` of the package, for any thread."""

import contextlib
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractAsyncContextManager
from pathlib import Path

from client_lib.blocking.job import DownloadJob
from client_lib.blocking.portal import Portal, open_portal
from client_lib.download import client as trio_client
from client_lib.download.disk.repair import Repaired
from client_lib.download.disk.verification import FileFinding, VerifyProgress
from client_lib.download.events import Event
from client_lib.download.queue import Order, QueueEntry
from client_lib.download.queueing.requests import QueueRequest
from client_lib.download.settings import ClientSettings
from client_lib.download.traffic.ledger import TrafficStats
from client_lib.wire.licensing_api import Balance, LicenceRecord, PurchaseAnswer, ReleaseQuote
from client_lib.wire.release import ReleaseId, TorrentName

Opener = Callable[[ClientSettings], AbstractAsyncContextManager[trio_client.Client]]


class Client:
    """One device at one licensing service. Make it with `open_client`.

    Each method is that of `client_lib.Client`, and raises what that raises; after `close`, and
    while it closes, UsageError.
    """

    def __init__(self, portal: Portal, client: trio_client.Client) -> None:
        """Use `open_client` instead."""
        self._portal = portal
        self._client = client

    def redeem(self, payment_token: str) -> tuple[LicenceRecord, ...]:
        """Turn a store's payment token into licences of this device. Safe to repeat."""
        return self._portal.call(lambda: self._client.redeem(payment_token))

    def licences(self, *, refresh: bool = True) -> tuple[LicenceRecord, ...]:
        """Licences of this device; with licensing away (or no `refresh`), as last seen."""
        return self._portal.call(lambda: self._client.licences(refresh=refresh))

    def balances(self) -> tuple[Balance, ...]:
        """Prepaid credit that this device may spend."""
        return self._portal.call(self._client.balances)

    def quote(self, release_id: ReleaseId) -> ReleaseQuote:
        """Every format of a release, with its size and its prices in prepaid credit."""
        return self._portal.call(lambda: self._client.quote(release_id))

    def buy(self, name: TorrentName, currency: str) -> PurchaseAnswer:
        """Buy a release with prepaid credit; what the customer owns is not charged again."""
        return self._portal.call(lambda: self._client.buy(name, currency))

    @contextlib.contextmanager
    def download(
        self,
        licences: Sequence[LicenceRecord],
        *,
        into: Path,
        keep_seeding: bool = False,
        order: Order = Order.GIVEN,
        files: Sequence[str] | None = None,
        play_first: str | None = None,
    ) -> Iterator[DownloadJob]:
        """Download albums below the folder `into` while the block lasts."""
        download = self._client.download(
            licences,
            into=into,
            keep_seeding=keep_seeding,
            order=order,
            files=files,
            play_first=play_first,
        )
        with self._portal.holding(download) as held:
            yield DownloadJob(self._portal, held)

    def stats(self) -> TrafficStats:
        """What this device took and gave, over all runs."""
        return self._portal.call(self._client.stats)

    def queue(self) -> tuple[QueueEntry, ...]:
        """The device's queue in order, whoever downloads."""
        return self._portal.call(self._client.queue)

    def change_queue(self, request: QueueRequest) -> None:
        """Have the queue changed by whoever downloads, or else change it here."""
        self._portal.call(lambda: self._client.change_queue(request))

    def verify(
        self,
        licence: LicenceRecord,
        on_progress: Callable[[VerifyProgress], None] = lambda _progress: None,
    ) -> tuple[FileFinding, ...]:
        """Hash a complete album against what was bought.

        `on_progress` is called by our thread: it must neither wait nor call the client.
        """
        return self._portal.call(lambda: self._client.verify(licence, on_progress))

    def repair(
        self,
        licence: LicenceRecord,
        on_progress: Callable[[VerifyProgress], None] = lambda _progress: None,
        on_event: Callable[[Event], None] = lambda _event: None,
    ) -> Repaired:
        """Verify a complete album, and get what is missing or changed, piece by piece.

        `on_progress` and `on_event` are called by our thread, as that of `verify`.
        """
        return self._portal.call(lambda: self._client.repair(licence, on_progress, on_event))

    def export(self, licence: LicenceRecord, folder: Path) -> Path:
        """Write torrent, certificate and key (0600) for another client into a new folder."""
        return self._portal.call(lambda: self._client.export(licence, folder))

    def close(self) -> None:
        """End every call and download, from any thread, without waiting for that.

        What cancelling a scope is with trio. The owner's blocks then end as if left.
        """
        self._portal.cancel()


@contextlib.contextmanager
def open_client(
    settings: ClientSettings, *, opened_by: Opener = trio_client.open_client
) -> Iterator[Client]:
    """Open this device's library and its connection to licensing.

    Raises UsageError when no licensing service was ever named. `opened_by` is for tests: a fake
    store's `open_client` (see `client_lib.testing`).
    """
    with open_portal() as portal, portal.holding(opened_by(settings)) as held:
        yield Client(portal, held.value)
