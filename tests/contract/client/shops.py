"""The same small shop twice: with real services and a real swarm, and as `client_lib.testing`."""

import contextlib
from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager
from pathlib import Path
from typing import Protocol

from client_lib import Client, ClientSettings, LicenceRecord, SessionSettings
from client_lib.testing import FakeStore
from tests.integration.client.market import Market, market
from tests.integration.client.rig import HOST

ALBUMS = 3
FILES = {"01 one.flac": 400_000, "02 two.flac": 300_000, "cover.jpg": 50_000}
SLOW = 250_000  # bytes/s: an album takes three seconds
FAST = 1 << 30
Open = Callable[..., AbstractAsyncContextManager[Client]]


class Shop(Protocol):
    """Three albums of 750 kB, owned by every device that redeems `token`."""

    token: str
    settings: ClientSettings

    @property
    def open(self) -> Open:
        """`open_client`, with these settings."""

    def limit(self, bytes_s: int) -> None:
        """Let that much arrive from now on."""

    def revoke(self, licence: LicenceRecord) -> None:
        """Take a licence back."""


class RealShop:
    """Licensing and tracker over HTTPS, a seeder on libtorrent."""

    token = "any"

    def __init__(self, opened: Market, folder: Path) -> None:
        self._market = opened
        self.settings = ClientSettings(
            data_folder=folder / "data",
            licensing_url=opened.server.url,
            licensing_ca=opened.shop.album.pki.ca_pem,
            session=SessionSettings(listen_port=0, listen_host=HOST, limit_local_peers=True),
            concurrent_albums=1,
        )

    @property
    def open(self) -> Open:
        from client_lib import open_client

        return open_client

    def limit(self, bytes_s: int) -> None:
        self._market.limit_seeder(bytes_s)

    def revoke(self, licence: LicenceRecord) -> None:
        self._market.shop.revoked.add(licence.licence_id)


class FakeShop:
    """`client_lib.testing`."""

    def __init__(self, folder: Path, upload_bytes_s: int) -> None:
        self._store = FakeStore(rate_bytes_s=upload_bytes_s)
        names = [
            self._store.publish(f"rel-{n:04}.flac-16-44", title=f"Album {n}", files=FILES)
            for n in range(1, ALBUMS + 1)
        ]
        self.token = self._store.token(*names)
        self.settings = ClientSettings(data_folder=folder / "data", concurrent_albums=1)

    @property
    def open(self) -> Open:
        return self._store.open_client

    def limit(self, bytes_s: int) -> None:
        self._store.rate_bytes_s = bytes_s

    def revoke(self, licence: LicenceRecord) -> None:
        self._store.revoke(licence)


@contextlib.asynccontextmanager
async def shop(kind: str, folder: Path, *, upload_bytes_s: int = FAST) -> AsyncIterator[Shop]:
    """A shop of a kind, `real` or `fake`."""
    if kind == "fake":
        yield FakeShop(folder, upload_bytes_s)
        return
    async with market(folder / "market", [FILES] * ALBUMS, upload_bytes_s=upload_bytes_s) as opened:
        yield RealShop(opened, folder)
