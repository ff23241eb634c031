"""The service: wires configuration, ledger, authority and HTTP, and serves until stopped."""

import logging
import random
import secrets
import socket
import ssl
from pathlib import Path
from typing import Any

import anycorn
import structlog
import trio
from anycorn.utils import LifespanFailureError
from litestar import Litestar

from licensing.authority import Authority
from licensing.catalogue import Catalogue
from licensing.config import Clock, LicensingConfig, utc_now
from licensing.data_folder import DataFolder, random_serial
from licensing.http.api import new_api
from licensing.https import (
    Certificates,
    FileCertificates,
    OwnCertificates,
    bind_sockets,
    keep_certificate_fresh,
    listen_now,
    new_server_context,
)
from licensing.issuers import load_issuers
from licensing.ledger import Ledger
from licensing.licences import Licences
from licensing.nodes import Nodes
from licensing.redemption import Redemptions
from licensing.revocation_list import RevocationLists
from licensing.services import Services
from licensing.signer import TorrentSigner
from licensing.stores import open_ledger

GRACE_S = 5.0
_KEEP_ALIVE_S = 75.0
_READ_TIMEOUT_S = 120


def wire(
    config: LicensingConfig,
    folder: DataFolder,
    ledger: Ledger,
    authority: Authority,
    signer: TorrentSigner,
    clock: Clock,
) -> Services:
    """Put the domain together. Raises ConfigError for issuers' keys that cannot be read."""
    catalogue = Catalogue(ledger, authority.certificate)
    return Services(
        clock=clock,
        ledger=ledger,
        authority=authority,
        redemptions=Redemptions(
            ledger=ledger,
            issuers=load_issuers(folder.root, config.issuers),
            audience=config.token_audience,
            leeway_s=config.leeway_s,
            random_bytes=secrets.token_bytes,
        ),
        licences=Licences(ledger, authority, catalogue, signer, config.trackers),
        catalogue=catalogue,
        nodes=Nodes(ledger, authority),
        revocation_lists=RevocationLists(ledger, authority, config.crl_lifetime),
    )


async def serve(
    config: LicensingConfig,
    data: Path,
    *,
    stop: trio.Event,
    clock: Clock = utc_now,
    task_status: trio.TaskStatus[str] = trio.TASK_STATUS_IGNORED,
) -> None:
    """Serve until `stop` is set; then finish the requests under way and return.

    `task_status` gets `host:port` once connections are accepted. Raises UsageError (an address
    in use), ConfigError and StorageError before that.
    """
    folder = DataFolder(data)
    rng = random.SystemRandom()
    authority = folder.authority(random_serial)
    signer = TorrentSigner(folder.signer, config.store, authority, clock=clock, rng=rng)
    context = new_server_context()
    certificates = _certificates(config, folder, authority, clock, rng)
    async with open_ledger(folder, config) as ledger:
        services = wire(config, folder, ledger, authority, signer, clock)
        await signer.refresh()
        await certificates.refresh(context)
        await services.revocation_lists.current(clock())
        sockets = await bind_sockets(config.listen)
        listen_now(sockets)
        address = f"{config.public_host}:{sockets[0].getsockname()[1]}"
        async with trio.open_nursery() as for_ever:
            for_ever.start_soon(signer.keep_fresh)
            for_ever.start_soon(keep_certificate_fresh, certificates, context)
            async with trio.open_nursery() as until_stopped:
                await until_stopped.start(_serve_https, new_api(services), sockets, context, stop)
                structlog.get_logger().info("serving", address=address)
                task_status.started(address)
            for_ever.cancel_scope.cancel()


def _certificates(
    config: LicensingConfig,
    folder: DataFolder,
    authority: Authority,
    clock: Clock,
    rng: random.Random,
) -> Certificates:
    if config.tls_certificate:
        return FileCertificates(folder.root / config.tls_certificate, folder.root / config.tls_key)
    return OwnCertificates(folder.https, config.public_host, authority, clock=clock, rng=rng)


class _ServerConfig(anycorn.Config):
    """Hands anycorn a context of ours, which it would otherwise make from files once."""

    def __init__(self, context: ssl.SSLContext) -> None:
        super().__init__()
        self._context = context

    @property
    def ssl_enabled(self) -> bool:
        return True

    def create_ssl_context(self) -> ssl.SSLContext:
        return self._context


async def _serve_https(
    api: Litestar,
    sockets: list[socket.socket],
    context: ssl.SSLContext,
    stop: trio.Event,
    *,
    task_status: trio.TaskStatus[object],
) -> None:
    quieten_servers()
    config = _ServerConfig(context)
    config.bind = [f"fd://{sock.detach()}" for sock in sockets]
    config.accesslog = None
    config.errorlog = None
    config.include_server_header = False
    config.graceful_timeout = GRACE_S
    config.keep_alive_timeout = _KEEP_ALIVE_S
    config.read_timeout = _READ_TIMEOUT_S
    config.ssl_handshake_timeout = 30.0
    # Any: both sides write the ASGI types, and trio's TaskStatus, in words of their own.
    application: Any = api
    status: Any = task_status
    try:
        await anycorn.serve(application, config, shutdown_trigger=stop.wait, task_status=status)
    except* LifespanFailureError:
        # What anycorn says when it is cancelled, instead of just being cancelled.
        await trio.lowlevel.checkpoint_if_cancelled()
        raise


def quieten_servers() -> None:
    """Keep failed handshakes (port scanners, mostly) from writing tracebacks to the log."""
    logging.getLogger("anyio.streams.tls").setLevel(logging.CRITICAL + 1)
