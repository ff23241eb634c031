"""The service: wires configuration, ledger, authority and HTTP, and serves until stopped."""

import random
import secrets
import socket
import time
from pathlib import Path
from typing import Any

import structlog
import trio
from litestar import Litestar

from licensing.authority import Authority
from licensing.catalogue import Catalogue
from licensing.config import Clock, LicensingConfig, utc_now
from licensing.data_folder import DataFolder, random_serial
from licensing.http.access import Access, Limits
from licensing.http.api import new_api
from licensing.http.exposition import Exposition
from licensing.https import (
    Certificates,
    FileCertificates,
    OwnCertificates,
    bind_sockets,
    keep_certificate_fresh,
    listen_now,
    new_server_context,
)
from licensing.issuers import Issuers
from licensing.key_sources import open_issuers
from licensing.ledger import Ledger
from licensing.licences import Licences
from licensing.limits import LimitsConfig
from licensing.metrics import Metrics
from licensing.nodes import Nodes
from licensing.passphrase import configured_passphrase
from licensing.purchases import Purchases
from licensing.readiness import Readiness
from licensing.redemption import Redemptions
from licensing.revocation_list import RevocationLists
from licensing.revocations import Revocations
from licensing.services import Services
from licensing.serving.front_end import FrontEnd
from licensing.signer import TorrentSigner
from licensing.stores import open_ledger

GRACE_S = 5.0


def wire(
    config: LicensingConfig,
    ledger: Ledger,
    authority: Authority,
    signer: TorrentSigner,
    issuers: Issuers,
    clock: Clock,
) -> Services:
    """Put the domain together."""
    catalogue = Catalogue(ledger, authority.certificate)
    revocation_lists = RevocationLists(ledger, authority, config.crl_lifetime)
    return Services(
        clock=clock,
        ledger=ledger,
        authority=authority,
        redemptions=Redemptions(
            ledger=ledger,
            issuers=issuers,
            audience=config.token_audience,
            leeway_s=config.leeway_s,
            prices=config.prices,
            random_bytes=secrets.token_bytes,
        ),
        purchases=Purchases(ledger, config.prices, secrets.token_bytes),
        revocations=Revocations(ledger, issuers, config.token_audience, config.leeway_s),
        licences=Licences(
            ledger,
            authority,
            catalogue,
            signer,
            config.trackers,
            config.limits.certificates_per_day,
            config.web_seeds,
        ),
        catalogue=catalogue,
        nodes=Nodes(ledger, authority),
        revocation_lists=revocation_lists,
        readiness=Readiness(ledger, authority, signer, revocation_lists, issuers),
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
    passphrase = configured_passphrase(folder.root, config)
    authority = folder.authority(random_serial, passphrase)
    signer = TorrentSigner(
        folder.signer, config.store, authority, clock=clock, rng=rng, passphrase=passphrase
    )
    context = new_server_context()
    certificates = _certificates(config, folder, authority, clock, rng)
    issuers = open_issuers(folder.root, config.issuers)
    metrics = Metrics()
    async with open_ledger(folder, config) as ledger:
        services = wire(config, ledger, authority, signer, issuers, clock)
        await signer.refresh()
        await certificates.refresh(context)
        await services.revocation_lists.current(clock())
        sockets = await bind_sockets(config.listen)
        scraped = await bind_sockets((config.metrics_listen,)) if config.metrics_listen else []
        listen_now([*sockets, *scraped])
        address = f"{config.public_host}:{sockets[0].getsockname()[1]}"
        async with trio.open_nursery() as for_ever:
            for_ever.start_soon(signer.keep_fresh)
            for_ever.start_soon(keep_certificate_fresh, certificates, context)
            for_ever.start_soon(issuers.keep_fresh)
            exposition = FrontEnd(Exposition(metrics, services), None)
            for_ever.start_soon(exposition.serve, scraped, trio.Event())
            async with trio.open_nursery() as until_stopped:
                front_end = FrontEnd(
                    _guarded(new_api(services), config.limits, metrics),
                    context,
                    max_connections=config.limits.connections,
                    grace_s=GRACE_S,
                )
                await until_stopped.start(front_end.serve, sockets, stop)
                structlog.get_logger().info("serving", address=address, **_at_metrics(scraped))
                task_status.started(address)
            for_ever.cancel_scope.cancel()


def _guarded(api: Litestar, limits: LimitsConfig, metrics: Metrics) -> Access:
    application: Any = api  # both sides write ASGI's types in words of their own
    return Access(application, Limits(limits, clock=time.monotonic), metrics, limits.proxies)


def _at_metrics(sockets: list[socket.socket]) -> dict[str, str]:
    return {"metrics": f"localhost:{sockets[0].getsockname()[1]}"} if sockets else {}


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
