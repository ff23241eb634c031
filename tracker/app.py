"""The whole tracker, running: what `albumswarm-tracker serve` runs."""

import contextlib
import datetime as dt
import random
import resource
import socket
import time
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import Protocol

import structlog
import trio

from client_lib.durable import private_folder, read_text
from client_lib.errors import AlbumswarmError, ConfigError
from client_lib.service.exposition import serve_metrics
from client_lib.service.metrics import Exposition
from client_lib.transport.licensing_client import open_licensing
from client_lib.transport.listening import open_sockets
from client_lib.transport.revocations import RevocationFeed, RevocationSource
from client_lib.transport.tls import mutual_server_context
from client_lib.wire.certificates import certificate_pem
from tracker.accounting.ledger import Ledger, open_accounting
from tracker.config import TrackerConfig, parse_address
from tracker.operating.control import serve_status
from tracker.operating.metrics import families
from tracker.operating.observer import Observer
from tracker.parts import Parts, session_s, wire
from tracker.serving.doors import MutualTlsDoor, PlainDoor
from tracker.serving.listening import open_plain_sockets
from tracker.serving.sender import TrustedProxies
from tracker.snapshot import Snapshot
from tracker.snapshot_store import open_snapshot_store
from tracker.trust.host_credential import (
    IdentitySource,
    host_credential,
    keep_host_credential,
    swarm_ca,
)
from tracker.upkeep import log_tally, sweep

_SPARE_FILES = 64

Clock = Callable[[], float]
"""POSIX time."""


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
    clock: Clock = time.time,
    task_status: trio.TaskStatus[int] = trio.TASK_STATUS_IGNORED,
) -> None:
    """`serve`, with a connection to licensing that is there already, and a clock."""

    def utc_now() -> dt.datetime:
        return dt.datetime.fromtimestamp(clock(), dt.UTC)

    private_folder(config.data)
    rng = random.SystemRandom()
    ca = await swarm_ca(config.swarm_ca, config.data / "swarm-ca.pem", licensing)
    credential = await host_credential(
        config.data / "host.pem", licensing, ca=ca, now=utc_now(), rng=rng
    )
    context = mutual_server_context(credential.path, certificate_pem(ca))
    revocations = RevocationFeed(config.data / "crl.der", ca=ca, grace_s=config.crl_grace_s)
    revocations.load()
    _allow_files(config.max_connections + _SPARE_FILES)
    async with contextlib.AsyncExitStack() as stack, trio.open_nursery() as nursery:
        ledger = await stack.enter_async_context(
            open_accounting(
                config.data / "accounting.sqlite3",
                session_s=session_s(config),
                line_rate=config.line_rate,
                clock=clock,
            )
        )
        parts = wire(config, ca=ca, ledger=ledger, revocations=revocations, clock=clock, rng=rng)
        if revocations.list is not None:
            parts.expulsion.revoked(revocations.list.serials)
        # First the list, then the clients: they would be refused for want of it.
        await nursery.start(
            lambda task_status: revocations.keep_current(
                licensing,
                every_s=config.crl_poll_s,
                clock=utc_now,
                on_change=parts.expulsion.revoked,
                task_status=task_status,
            )
        )
        sockets = _closing(
            stack, await open_sockets(config.host, config.port, clients_speak_first=True)
        )
        port: int = sockets[0].getsockname()[1]
        plain_sockets = _closing(stack, await open_plain_sockets(config.plain_listen))
        doors = (
            MutualTlsDoor(context, sockets),
            PlainDoor(TrustedProxies(config.trusted_proxies), plain_sockets),
        )
        # Not before the port is ours: a second tracker must not touch the first one's snapshot.
        snapshot = await stack.enter_async_context(_restored(config, parts, clock))
        nursery.start_soon(parts.expulsion.follow, snapshot)
        nursery.start_soon(snapshot.save_regularly, config.snapshot_s)
        nursery.start_soon(
            lambda: keep_host_credential(
                credential, licensing, ca=ca, context=context, clock=utc_now, rng=rng
            )
        )
        nursery.start_soon(sweep, parts.swarms, clock)
        nursery.start_soon(log_tally, ledger, parts.swarms)
        nursery.start_soon(ledger.flush_regularly, config.accounting_flush_s, clock)
        nursery.start_soon(parts.feed.run)
        told = {"address": f"{config.host or 'localhost'}:{port}"}
        told |= await _shown(nursery, config, parts, ledger, revocations, clock, told["address"])
        structlog.get_logger().info("serving", **told)
        task_status.started(port)
        await parts.front_end.serve(doors, stop)
        nursery.cancel_scope.cancel()
    structlog.get_logger().info("stopped", **ledger.counts)


@contextlib.asynccontextmanager
async def _restored(config: TrackerConfig, parts: Parts, clock: Clock) -> AsyncIterator[Snapshot]:
    """The swarms as the last snapshot has them; the last one is written after the block."""
    store = await trio.to_thread.run_sync(open_snapshot_store, config.data / "swarms.sqlite3")
    with contextlib.closing(store):
        snapshot = Snapshot(store, parts.swarms, clock)
        parts.admission.on_recognised = snapshot.note_member
        await snapshot.restore()
        yield snapshot
        await snapshot.save()


async def _shown(
    nursery: trio.Nursery,
    config: TrackerConfig,
    parts: Parts,
    ledger: Ledger,
    revocations: RevocationFeed,
    clock: Clock,
    address: str,
) -> dict[str, str]:
    """Show the operator how it is doing: the control socket, and metrics if they are wanted."""
    observer = Observer(
        address=address,
        swarms=parts.swarms,
        ledger=ledger,
        feed=parts.feed,
        fleet=parts.fleet,
        revocations=revocations,
        price_per_gb=config.price_per_gb,
        currency=config.currency,
        clock=clock,
    )
    await nursery.start(serve_status, config.data, observer.status)
    if not config.metrics_listen:
        return {}
    sockets = await open_sockets(*parse_address("metrics_listen", config.metrics_listen))
    written = Exposition(families)

    async def exposition() -> bytes | None:
        try:
            return written(await observer.status())
        except AlbumswarmError as error:
            structlog.get_logger().error("metrics-failed", reason=str(error))
            return None

    nursery.start_soon(serve_metrics, sockets, exposition)
    return {"metrics": f"localhost:{sockets[0].getsockname()[1]}"}


def _closing(stack: contextlib.AsyncExitStack, sockets: list[socket.socket]) -> list[socket.socket]:
    """Close them in the end, even if nobody comes to serve them."""
    for each in sockets:
        stack.callback(each.close)
    return sockets


def _api_key(path: Path) -> str:
    key = read_text(path).strip()
    if not key:
        raise ConfigError(f"{path}: no API key in it")
    if path.stat().st_mode & 0o077:
        structlog.get_logger().warning("api-key-readable-by-others", path=str(path))
    return key


def _allow_files(wanted: int) -> None:
    """Raise the soft limit of open files as far as it may go: every connection is one."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if hard != resource.RLIM_INFINITY:
        wanted = min(wanted, hard)
    if soft != resource.RLIM_INFINITY and soft < wanted:
        resource.setrlimit(resource.RLIMIT_NOFILE, (wanted, hard))
