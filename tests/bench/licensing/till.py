"""A licensing service as a process of its own on a core of its own, and its customers."""

import base64
import contextlib
import json
import os
import random
import secrets
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import trio

from client_lib.transport.tls import client_context
from client_lib.wire import certificates, payment_token
from client_lib.wire.licence import DeviceSecret
from client_lib.wire.payment_token import LineItem
from client_lib.wire.release import TorrentName, split_torrent_name
from licensing.api_keys import new_api_key
from licensing.config import LicensingConfig, load_licensing_config, utc_now
from licensing.data_folder import DataFolder, found, random_serial
from licensing.issuers import key_id, load_private_key
from licensing.ledger import Role
from licensing.stores import open_ledger
from tests.bench.licensing.load import Exchange, LoadGenerator, http_request
from tests.unit.client_lib.wire.torrents import Draft

STORE = "teststore"
AUDIENCE = "https://localhost:8443"
RELEASES = tuple(f"rel-{number:04}.flac-16-44" for number in range(10))
CREATED = frozenset({201})
OK = frozenset({200})
SERVER_CORE, LOAD_CORE = 0, 1
RENEWALS = 12
"""Certificates for each licence: below the default limit, which is in force here."""

# One address sends all the load; otherwise the service runs as `init` sets it up.
_LIMITS = "\n[limits]\naddress_per_s = 1_000_000\naddress_burst = 1_000_000\n"


@dataclass(frozen=True, slots=True)
class Till:
    """A running service at `address`."""

    folder: DataFolder
    address: tuple[str, int]

    @contextlib.contextmanager
    def load(self, connections: int) -> Iterator[LoadGenerator]:
        """Connect a load generator."""
        context = client_context(self.folder.ca.read_text())
        context.set_alpn_protocols(["http/1.1"])
        generator = LoadGenerator(self.address, context, connections)
        try:
            yield generator
        finally:
            generator.close()

    def redemptions(self, count: int) -> list[Exchange]:
        """Fresh tokens of one item, each in the hands of a device of its own."""
        return [self._redemption(new_secret(), RELEASES[:1]) for _ in range(count)]

    def certificates(self, count: int, devices: int) -> list[Exchange]:
        """Certificate requests of so many devices; each buys enough licences here, before."""
        secrets_ = [new_secret() for _ in range(devices)]
        purchases = -(-count // (RENEWALS * len(RELEASES) * devices))
        libraries: list[tuple[DeviceSecret, str]] = []
        with self.load(1) as generator:
            for _ in range(purchases):
                generator.closed_loop(self._redemption(secret, RELEASES) for secret in secrets_)
            for secret in secrets_:
                asked = http_request("GET", "/v1/licences", bearer=secret.bearer)
                library = json.loads(generator.ask(Exchange(asked, OK)))
                libraries += [(secret, one["licence_id"]) for one in library["licences"]]
        csrs = [certificates.make_csr(certificates.new_key()) for _ in range(64)]
        chosen = [libraries[number % len(libraries)] for number in range(count)]
        return [
            Exchange(
                http_request(
                    "POST",
                    f"/v1/licences/{licence_id}/certificate",
                    bearer=secret.bearer,
                    body=json.dumps({"csr": csrs[number % len(csrs)]}).encode(),
                ),
                CREATED,
            )
            for number, (secret, licence_id) in enumerate(chosen)
        ]

    def publish(self, key: str) -> None:
        """Publish all releases."""
        ca_pem = self.folder.ca.read_text()
        with self.load(1) as generator:
            for name in RELEASES:
                draft = Draft(ssl_cert=ca_pem)
                draft.info[b"name"] = name.encode()
                torrent = base64.b64encode(draft.encode()).decode()
                body = {"album": {"artist": "Björk", "title": "Début"}, "torrent": torrent}
                path = "/v1/releases/" + name.replace(".", "/")
                request = http_request("PUT", path, bearer=key, body=json.dumps(body).encode())
                generator.ask(Exchange(request, CREATED))

    def _redemption(self, secret: DeviceSecret, names: tuple[str, ...]) -> Exchange:
        key = load_private_key(self.folder.test_store_key)
        now = utc_now()
        token = payment_token.mint(
            issuer=STORE,
            audience=AUDIENCE,
            subject=secrets.token_hex(8),
            token_id=secrets.token_hex(12),
            purchase=secrets.token_hex(12),
            issued_at=now,
            expires_at=now.replace(year=now.year + 1),
            items=tuple(
                LineItem(*split_torrent_name(TorrentName(name)), 999, "EUR") for name in names
            ),
            key=key,
            kid=key_id(key.public_key()),
        )
        body = json.dumps({"payment_token": token}).encode()
        return Exchange(
            http_request("POST", "/v1/redemptions", bearer=secret.bearer, body=body), CREATED
        )


def new_secret() -> DeviceSecret:
    """A device that nobody has seen yet."""
    return DeviceSecret(secrets.token_bytes(32))


@contextlib.contextmanager
def open_till(root: Path, *, ledger: str = "") -> Iterator[Till]:
    """Found a service with ten releases and serve it from core 0 until the block ends."""
    folder = DataFolder(root)
    trio.run(partial(_found, folder, ledger))
    config = load_licensing_config(root, None)
    key = trio.run(_publisher, folder, config)
    command = (sys.executable, "-m", "licensing", "serve", "--data", str(root))
    with serving(command, root.with_suffix(".log")) as address:
        till = Till(folder, address)
        till.publish(key)
        yield till


@contextlib.contextmanager
def serving(command: tuple[str, ...], log: Path) -> Iterator[tuple[str, int]]:
    """Run a service on the server's core until the block ends; this process keeps to the other.

    It says `{"event": "serving", "address": "localhost:PORT"}` on standard error when it does.
    """
    cores = os.sched_getaffinity(0)
    with log.open("w+b") as file:
        if len(cores) > 1:
            os.sched_setaffinity(0, {SERVER_CORE})
        process = subprocess.Popen(command, stderr=file, stdout=subprocess.DEVNULL)
        if len(cores) > 1:
            os.sched_setaffinity(0, {LOAD_CORE})
        try:
            yield _address(process, log)
        finally:
            process.terminate()
            process.wait(30)
            os.sched_setaffinity(0, cores)


def _address(process: "subprocess.Popen[bytes]", log: Path) -> tuple[str, int]:
    while process.poll() is None:
        for line in log.read_text().splitlines(keepends=True):
            if line.endswith("\n") and '"serving"' in line:
                host, _, port = json.loads(line)["address"].partition(":")
                return host, int(port)
    raise RuntimeError(f"the service did not start: {log.read_text()[-2000:]}")


async def _found(folder: DataFolder, ledger: str) -> None:
    settings: dict[str, object] = {
        "store": "com.example.shop",
        "public_url": AUDIENCE,
        "trackers": ("https://localhost:8444",),
        "listen": ("localhost:0",),
    }
    await found(
        folder,
        settings | ({"ledger": ledger} if ledger else {}),
        test_store=STORE,
        serials=random_serial,
        now=utc_now(),
        rng=random.SystemRandom(),
    )
    with folder.config.open("a") as file:
        file.write(_LIMITS)


async def _publisher(folder: DataFolder, config: LicensingConfig) -> str:
    secret, key = new_api_key(Role.PUBLISHER, "publisher", (), token=secrets.token_urlsafe)
    async with open_ledger(folder, config) as ledger:
        await ledger.add_api_key(key, now=utc_now())
    return secret
