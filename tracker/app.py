"""The whole tracker, wired: what `albumswarm-tracker serve` runs."""

import datetime as dt
import random
import resource
import time
from pathlib import Path
from typing import Protocol

import structlog
import trio

from client_lib.durable import private_folder, read_text
from client_lib.errors import ConfigError
from client_lib.transport.licensing_client import open_licensing
from client_lib.transport.tls import mutual_server_context
from client_lib.wire.certificates import certificate_pem
from tracker.accounting.tally import Tally
from tracker.announce import Announcer
from tracker.config import TrackerConfig
from tracker.routes import announce_path
from tracker.serving.connection import Patience
from tracker.serving.front_end import FrontEnd
from tracker.serving.listening import open_sockets
from tracker.swarms.handout import Pace
from tracker.swarms.swarm import Swarms
from tracker.trust.admission import Admission
from tracker.trust.host_credential import (
    IdentitySource,
    host_credential,
    keep_host_credential,
    swarm_ca,
)
from tracker.trust.revocations import RevocationFeed, RevocationSource

_SWEEP_S = 10.0
_TALLY_S = 60.0
_SPARE_FILES = 64


class Licensing(IdentitySource, RevocationSource, Protocol):
    """All that the tracker asks licensing; `LicensingClient` has more."""


async def serve(
    config: TrackerConfig,
    stop: trio.Event,
    *,
    task_status: trio.TaskStatus[int] = trio.TASK_STATUS_IGNORED,
) -> None:
    """Run a tracker until `stop` is set; reports its port once it accepts connections.

    Raises ConfigError, UsageError (the port is taken), UnreachableError (licensing, where `data`
    has nothing to start from), LicensingRefused (the API key), StorageError.
    """
    licensing_ca = None if config.licensing_ca is None else read_text(config.licensing_ca)
    api_key = None if config.api_key_file is None else _api_key(config.api_key_file)
    async with open_licensing(
        config.licensing_url, ca_pem=licensing_ca, bearer=api_key
    ) as licensing:
        await serve_with(licensing, config, stop, task_status=task_status)


async def serve_with(
    licensing: Licensing,
    config: TrackerConfig,
    stop: trio.Event,
    *,
    task_status: trio.TaskStatus[int] = trio.TASK_STATUS_IGNORED,
) -> None:
    """`serve`, with a connection to licensing that is there already."""
    private_folder(config.data)
    rng = random.SystemRandom()
    ca = await swarm_ca(config.swarm_ca, config.data / "swarm-ca.pem", licensing)
    credential = await host_credential(
        config.data / "host.pem", licensing, ca=ca, now=_utc_now(), rng=rng
    )
    context = mutual_server_context(credential.path, certificate_pem(ca))
    revocations = RevocationFeed(config.data / "crl.der", ca=ca, grace_s=config.crl_grace_s)
    revocations.load()
    tally, swarms = Tally(), Swarms()
    announcer = Announcer(
        admission=Admission(ca),
        revocations=revocations,
        accounting=tally,
        swarms=swarms,
        pace=_pace(config),
        default_numwant=config.default_numwant,
        max_numwant=config.max_numwant,
        copies_wanted=config.copies_wanted,
        rng=random.Random(rng.random()),  # noqa: S311 - samples peers; SystemRandom is slow
    )
    _allow_files(config.max_connections + _SPARE_FILES)
    front_end = FrontEnd(
        context,
        announce_path(announcer),
        count=tally.count,
        max_connections=config.max_connections,
        patience=Patience(
            handshake_s=config.handshake_timeout_s,
            head_s=config.head_timeout_s,
            idle_s=config.idle_timeout_s,
        ),
    )
    async with trio.open_nursery() as nursery:
        # First the list, then the clients: they would be refused for want of it.
        await nursery.start(
            lambda task_status: revocations.keep_current(
                licensing,
                every_s=config.crl_poll_s,
                clock=_utc_now,
                on_change=announcer.expel,
                task_status=task_status,
            )
        )
        sockets = await open_sockets(config.host, config.port)
        port: int = sockets[0].getsockname()[1]
        nursery.start_soon(
            lambda: keep_host_credential(
                credential, licensing, ca=ca, context=context, clock=_utc_now, rng=rng
            )
        )
        nursery.start_soon(_sweep, swarms)
        nursery.start_soon(_log_tally, tally, swarms)
        structlog.get_logger().info("serving", address=f"{config.host or 'localhost'}:{port}")
        task_status.started(port)
        await front_end.serve(sockets, stop)
        nursery.cancel_scope.cancel()
    structlog.get_logger().info("stopped", **tally.counts)


def _api_key(path: Path) -> str:
    key = read_text(path).strip()
    if not key:
        raise ConfigError(f"{path}: no API key in it")
    if path.stat().st_mode & 0o077:
        structlog.get_logger().warning("api-key-readable-by-others", path=str(path))
    return key


def _pace(config: TrackerConfig) -> Pace:
    return Pace(
        interval_s=config.interval_s,
        jitter=config.interval_jitter,
        young_interval_s=config.young_interval_s,
        young_age_s=config.young_age_s,
        few_peers=config.few_peers,
        min_interval_s=config.min_interval_s,
    )


async def _sweep(swarms: Swarms) -> None:
    """Forget silent peers, a swarm at a time, so that announces get their turn in between."""
    while True:
        for info_hash in swarms.info_hashes():
            swarms.expire(info_hash, time.time())
            await trio.lowlevel.checkpoint()
        await trio.sleep(_SWEEP_S)


async def _log_tally(tally: Tally, swarms: Swarms) -> None:
    """Log the counters once a minute, if any of them has moved."""
    logged: dict[str, int] = {}
    while True:
        await trio.sleep(_TALLY_S)
        if tally.counts != logged:
            logged = dict(tally.counts)
            structlog.get_logger().info(
                "announces", swarms=len(swarms), peers=swarms.peers, **logged
            )


def _allow_files(wanted: int) -> None:
    """Raise the soft limit of open files as far as it may go: every connection is one."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if hard != resource.RLIM_INFINITY:
        wanted = min(wanted, hard)
    if soft != resource.RLIM_INFINITY and soft < wanted:
        resource.setrlimit(resource.RLIMIT_NOFILE, (wanted, hard))


def _utc_now() -> dt.datetime:
    return dt.datetime.now(dt.UTC)
