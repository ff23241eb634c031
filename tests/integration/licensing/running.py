"""A licensing service on loopback over real TLS, with a store, a publisher and customers."""

import base64
import contextlib
import datetime as dt
import random
import secrets
from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

import httpx2
import msgspec
import trio

from client_lib.transport.licensing_client import LicensingClient, open_licensing
from client_lib.transport.tls import client_context
from client_lib.wire import payment_token
from client_lib.wire.licence import DeviceSecret
from client_lib.wire.payment_token import LineItem
from client_lib.wire.problem import Problem, ProblemType
from client_lib.wire.release import TorrentName, split_torrent_name
from licensing.api_keys import new_api_key
from licensing.app import serve
from licensing.config import Clock, LicensingConfig, load_licensing_config, utc_now
from licensing.data_folder import DataFolder, found, random_serial
from licensing.issuers import key_id, load_private_key
from licensing.ledger import Role
from licensing.stores import open_ledger
from tests.patience import PATIENCE_S
from tests.unit.client_lib.wire.torrents import Draft

STORE = "teststore"
ALBUM = TorrentName("rel-0001.flac-16-44")
PUBLIC_URL = "https://localhost:8443"
TRACKERS = ("https://localhost:8444", "https://localhost:8445", "https://tracker.example")


async def found_folder(root: Path, **settings: object) -> DataFolder:
    """What `init` does, listening on any free port."""
    folder = DataFolder(root)
    chosen: dict[str, object] = {
        "store": "com.example.shop",
        "public_url": PUBLIC_URL,
        "trackers": TRACKERS,
        "listen": ("localhost:0",),
    }
    await found(
        folder,
        chosen | settings,
        test_store=STORE,
        serials=random_serial,
        now=utc_now(),
        rng=random.Random(1),
    )
    return folder


def new_secret() -> DeviceSecret:
    return DeviceSecret(secrets.token_bytes(32))


@dataclass
class Running:
    """A service at `address`; everything a test does to it goes over HTTPS."""

    folder: DataFolder
    config: LicensingConfig
    address: str
    stop: trio.Event = field(default_factory=trio.Event)

    @property
    def url(self) -> str:
        return f"https://{self.address}"

    @property
    def ca_pem(self) -> str:
        return self.folder.ca.read_text()

    @contextlib.asynccontextmanager
    async def http(self, bearer: str | None = None) -> AsyncIterator[httpx2.AsyncClient]:
        headers = {"Authorization": f"Bearer {bearer}"} if bearer else {}
        async with httpx2.AsyncClient(
            base_url=self.url,
            verify=client_context(self.ca_pem),
            headers=headers,
            timeout=30,
            trust_env=False,
        ) as client:
            yield client

    @contextlib.asynccontextmanager
    async def client(
        self, secret: DeviceSecret | str | None = None
    ) -> AsyncIterator[LicensingClient]:
        bearer = secret.bearer if isinstance(secret, DeviceSecret) else secret
        async with open_licensing(self.url, ca_pem=self.ca_pem, bearer=bearer) as client:
            yield client

    async def api_key(self, role: Role, *hosts: str, key_id: str = "node-1") -> str:
        secret, key = new_api_key(role, key_id, hosts, token=secrets.token_urlsafe)
        async with open_ledger(self.folder, self.config) as ledger:
            await ledger.add_api_key(key, now=utc_now())
        return secret

    def draft(self, name: str = ALBUM) -> Draft:
        draft = Draft(ssl_cert=self.ca_pem)
        draft.info[b"name"] = name.encode()
        return draft

    def publication(self, name: str = ALBUM, **changes: object) -> dict[str, Any]:
        torrent = base64.b64encode(self.draft(name).encode()).decode()
        return {"album": {"artist": "Björk", "title": "Début"}, "torrent": torrent} | changes

    async def publish(self, *names: str) -> None:
        key = await self.api_key(Role.PUBLISHER)
        async with self.http(key) as http:
            for name in names or (ALBUM,):
                path = "/v1/releases/" + name.replace(".", "/")
                answer = await http.put(path, json=self.publication(name))
                assert answer.status_code in (200, 201), answer.text

    def token(
        self,
        *names: str,
        key: Any = None,  # noqa: ANN401
        kid: str | None = None,
        now: dt.datetime | None = None,
        life: dt.timedelta = dt.timedelta(hours=1),
        **claims: Any,  # noqa: ANN401
    ) -> str:
        own_key = load_private_key(self.folder.test_store_key)
        issued_at = now or utc_now()
        items = tuple(
            LineItem(*split_torrent_name(TorrentName(name)), 999, "EUR")
            for name in (names or (ALBUM,))
        )
        defaults: dict[str, Any] = {
            "issuer": STORE,
            "audience": PUBLIC_URL,
            "subject": "customer-4711",
            "token_id": secrets.token_urlsafe(8),
            "purchase": f"purchase-{secrets.token_hex(4)}",
            "issued_at": issued_at,
            "expires_at": issued_at + life,
            "items": items,
        }
        return payment_token.mint(
            **(defaults | claims),
            key=key or own_key,
            kid=kid or key_id(own_key.public_key()),
        )


@contextlib.asynccontextmanager
async def running(folder: DataFolder, *, clock: Clock = utc_now) -> AsyncIterator[Running]:
    """Serve in this process until the block ends, then stop gracefully."""
    config = load_licensing_config(folder.root, None)
    stop = trio.Event()
    with trio.fail_after(PATIENCE_S):
        async with trio.open_nursery() as nursery:
            address: str = await nursery.start(
                partial(serve, config, folder.root, stop=stop, clock=clock)
            )
            yield Running(folder, config, address, stop)
            stop.set()


def problem(answer: httpx2.Response) -> ProblemType:
    """Check that an answer is a whole problem document, and tell its type."""
    assert answer.headers["Content-Type"] == "application/problem+json", answer.text
    document = msgspec.json.decode(answer.content, type=Problem)
    assert document.status == answer.status_code
    assert document.title
    assert document.detail
    assert "Traceback" not in answer.text
    return ProblemType(document.type)
