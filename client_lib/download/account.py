"""What a device can be told without joining a swarm: its licences, its queue, its credit, prices.

Free of libtorrent and certificates, which take longer to load than to be told.
"""

import contextlib
from collections.abc import AsyncIterator

import trio

from client_lib.download.library import DeviceLibrary, Service
from client_lib.download.queue import QueueEntry
from client_lib.download.queueing.commands import carry_out
from client_lib.download.queueing.requests import QueueRequest
from client_lib.download.settings import ClientSettings
from client_lib.errors import UnreachableError, UsageError
from client_lib.transport.licensing_client import LicensingClient, open_licensing
from client_lib.wire.licensing_api import Balance, LicenceRecord, ReleaseQuote
from client_lib.wire.release import ReleaseId


class Account:
    """One device's account at one licensing service. Make it with `open_account`."""

    def __init__(
        self,
        settings: ClientSettings,
        library: DeviceLibrary,
        service: Service,
        licensing: LicensingClient,
    ) -> None:
        """Use `open_account` or `open_client` instead."""
        self._settings = settings
        self._service = service
        self._licensing = licensing
        self.library = library

    async def licences(self, *, refresh: bool = True) -> tuple[LicenceRecord, ...]:
        """Licences of this device; with licensing away (or no `refresh`), as last seen.

        Raises UnreachableError if none were ever seen.
        """
        await trio.lowlevel.checkpoint()
        seen = self.library.licences().licences
        if not refresh:
            return seen
        try:
            library = await self._licensing.library()
        except UnreachableError:
            if not seen:
                raise
            return seen
        self.library.keep_licences(library)
        return library.licences

    async def balances(self) -> tuple[Balance, ...]:
        """Prepaid credit that this device may spend. Raises LicensingRefused, UnreachableError."""
        return await self._licensing.balances()

    async def quote(self, release_id: ReleaseId) -> ReleaseQuote:
        """Every format of a release, with its size and its prices in prepaid credit.

        Raises LicensingRefused (unknown release), UnreachableError.
        """
        return await self._licensing.quote(release_id)

    async def queue(self) -> tuple[QueueEntry, ...]:
        """The device's queue in order, whoever downloads. Raises StorageError."""
        return (await trio.to_thread.run_sync(self.library.queue)).entries

    async def change_queue(self, request: QueueRequest) -> None:
        """Have the queue changed by whoever downloads, or else change it here.

        Returns when it is done; a process that downloads takes half a second. Raises
        StorageError.
        """
        await carry_out(self.library, request)


@contextlib.asynccontextmanager
async def open_account(settings: ClientSettings) -> AsyncIterator[Account]:
    """Open this device's library and its connection to licensing, to ask and not to download.

    Raises UsageError when no licensing service was ever named.
    """
    async with connected(settings) as (library, service, licensing):
        yield Account(settings, library, service, licensing)


@contextlib.asynccontextmanager
async def connected(
    settings: ClientSettings,
) -> AsyncIterator[tuple[DeviceLibrary, Service, LicensingClient]]:
    """Library, service and connection of this device. Raises as `open_account`."""
    library = DeviceLibrary(settings.data_folder, settings.secrets)
    service = _service(library, settings)
    bearer = library.device_secret().bearer
    async with open_licensing(
        service.licensing_url, ca_pem=service.licensing_ca, bearer=bearer
    ) as licensing:
        yield library, service, licensing


def _service(library: DeviceLibrary, settings: ClientSettings) -> Service:
    """The remembered service, changed by what the settings name."""
    known = library.service()
    url = settings.licensing_url or (known.licensing_url if known else None)
    if url is None:
        raise UsageError("no licensing service yet: name the store's with --licensing-url")
    url = url.rstrip("/")
    ca = settings.licensing_ca
    if ca is None and known is not None:
        ca = known.licensing_ca
    if known is not None and known.licensing_url == url and known.licensing_ca == ca:
        return known
    # The swarm CA stays pinned when a store moves to another address: its swarms are the same.
    return Service(url, ca, known.swarm_ca if known else None)
