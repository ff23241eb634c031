"""The seeder as a service: licensing, trackers, origin, node and listener wired together."""

import contextlib
import datetime as dt
import random
import ssl
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path

import structlog
import trio
from cryptography import x509

from client_lib.durable import private_folder, read_text, write_atomically
from client_lib.errors import (
    StorageError,
    UsageError,
)
from client_lib.locking import locked_file
from client_lib.nursery import open_quiet_nursery
from client_lib.service.exposition import serve_metrics
from client_lib.service.metrics import Exposition
from client_lib.transport.credential import Credential, obtain_credential
from client_lib.transport.licensing_client import LicensingClient, open_licensing
from client_lib.transport.listening import open_sockets
from client_lib.transport.revocations import RevocationFeed
from client_lib.transport.tls import client_context, load_credential, mutual_server_context
from client_lib.wire import certificates
from client_lib.wire.certificates import SeederIdentity
from seeder.announcing import Announced, Announcements
from seeder.catalogue import Catalogue
from seeder.config import SeederConfig
from seeder.control import serve_questions
from seeder.draining import forget_order, read_order
from seeder.fleet import Fleet
from seeder.metrics import families
from seeder.node import Node, Policy
from seeder.observer import Observer
from seeder.origins.bucket import BucketOrigin
from seeder.origins.configured import configured_origin
from seeder.peers.gate import Gate
from seeder.peers.listener import Listener
from seeder.peers.pace import Pace
from seeder.status import NodeState, totals_so_far, write_status, write_totals
from seeder.upkeep import follow, renew, report
from seeder.web_seed.hosting import Hosting, host_web_seed

_CRL_POLL_S = 5.0
_CRL_GRACE_S = 12 * 3_600
log = structlog.get_logger()


def api_key(config: SeederConfig) -> str:
    """Read the API key for licensing. Raises UsageError and StorageError."""
    if config.api_key_file is None:
        raise UsageError("--api-key-file is missing (or `api_key_file` in a config file)")
    key = read_text(Path(config.api_key_file)).strip()
    if not key or not key.isascii() or not key.isprintable() or " " in key:
        raise UsageError(f"{config.api_key_file} does not hold an API key")
    return key


async def serve(
    config: SeederConfig,
    stop: trio.Event,
    *,
    clock: Callable[[], dt.datetime],
    rng: random.Random,
    task_status: trio.TaskStatus[int] = trio.TASK_STATUS_IGNORED,
) -> None:
    """Serve the origin's releases until `stop` is set. Started with the port for peers.

    Works from what is on disk while licensing is away. Raises UsageError, StorageError, and
    UnreachableError or LicensingRefused if there is no certificate on disk to begin with.
    """
    upload_limit_bytes_s = config.upload_limit_bytes_s
    trackers, metrics_address = config.tracker_urls, config.metrics_address
    data = private_folder(config.data_folder)
    origin = await trio.to_thread.run_sync(configured_origin, config)
    async with contextlib.AsyncExitStack() as stack:
        stack.enter_context(_alone_in(data))
        licensing = await stack.enter_async_context(
            open_licensing(config.licensing, ca_pem=config.licensing_ca_pem, bearer=api_key(config))
        )
        ca = await _swarm_ca(data, licensing)
        credential = await obtain_credential(
            data / "seeder.pem", licensing.host_certificate, ca=ca, now=clock(), rng=rng
        )
        catalogue = stack.enter_context(contextlib.closing(Catalogue(data / "catalogue.sqlite3")))
        revocations = RevocationFeed(data / "crl.der", ca=ca, grace_s=_CRL_GRACE_S)
        revocations.load()
        sockets = await open_sockets(config.listen_host or "", config.port)
        port: int = sockets[0].getsockname()[1]
        ca_pem = certificates.certificate_pem(ca)
        fleet = Fleet(
            _seeder_id(credential), port, upload_limit_bytes_s, trackers, config.addresses
        )
        node = Node(
            origin,
            catalogue,
            fleet,
            credential,
            policy=Policy(config.policy, config.min_rate_bytes_s),
            pace=Pace(upload_limit_bytes_s),
            cache_bytes=config.cache_memory_bytes,
            clock=clock,
            rng=rng,
        )
        node.shelf.uploaded_bytes.update(totals_so_far(data))
        inward = mutual_server_context(credential.path, ca_pem)
        outward = client_context(ca_pem, credential.path)
        gate = Gate(revocations.is_revoked, node.takes, clock)
        listener = Listener(
            inward,
            find_swarm=node.shelf.find,
            gate=gate,
            pace=node.pace,
            max_connections=config.max_connections,
        )
        hosting: Hosting | None = None
        if config.web_seed_port is not None:
            hosting = await host_web_seed(
                data,
                (config.listen_host or "", config.web_seed_port),
                licensing.web_seed_certificate,
                ca=ca,
                find_swarm=node.shelf.find,
                gate=gate,
                pace=node.pace,  # one line for peers and web seed
                max_connections=config.max_connections,
                rng=rng,
            )

        def cut_revoked(_: object) -> None:
            listener.cut_revoked()
            if hosting is not None:
                hosting.web_seed.cut_revoked()

        def present(credential: Credential) -> None:
            node.credential = credential
            _load((inward, outward), credential)

        observer = Observer(
            node,
            listener,
            revocations,
            clock,
            upload_limit_bytes_s,
            origin.cache if isinstance(origin, BucketOrigin) else None,
            config.price_per_gb,
            config.currency,
            hosting,
        )
        if (order := read_order(data)) is not None:
            node.go_on_draining(order)
        async with open_quiet_nursery() as goodbyes:
            announcements = Announcements(
                goodbyes, outward, Announced(fleet.seeder_id, port, trackers), rng=rng
            )
            async with open_quiet_nursery() as nursery:
                await nursery.start(
                    lambda task_status: revocations.keep_current(
                        licensing,
                        every_s=_CRL_POLL_S,
                        clock=clock,
                        on_change=cut_revoked,
                        task_status=task_status,
                    )
                )
                nursery.start_soon(node.run, announcements)
                nursery.start_soon(listener.serve, sockets)
                nursery.start_soon(lambda: fleet.follow(outward, rng=rng))
                nursery.start_soon(follow, catalogue, licensing, config.poll_s)
                nursery.start_soon(report, observer, data)
                nursery.start_soon(_stop_when_drained, node, stop)
                keep_fresh = partial(renew, ca=ca, clock=clock, rng=rng)
                nursery.start_soon(keep_fresh, credential, licensing.host_certificate, present)
                shown = await _show(data, metrics_address, nursery, node, listener, observer)
                if hosting is not None:
                    nursery.start_soon(hosting.web_seed.serve, hosting.sockets)
                    nursery.start_soon(
                        keep_fresh,
                        hosting.credential,
                        licensing.web_seed_certificate,
                        partial(_load, (hosting.context,)),
                    )
                    shown["web_seed_port"] = str(hosting.port)
                log.info("serving", port=port, seeder_id=fleet.seeder_id, **shown)
                task_status.started(port)
                await stop.wait()
                nursery.cancel_scope.cancel()
            await announcements.close()
            goodbyes.cancel_scope.cancel()
        last = observer.status(NodeState.STOPPED)
        write_status(data, last)
        write_totals(data, node.shelf.uploaded())
        forget_order(data)
        log.info("stopped", uploaded_bytes=last.uploaded_total_bytes)


def _load(contexts: tuple[ssl.SSLContext, ...], credential: Credential) -> None:
    """Show a certificate from the next connection on."""
    for context in contexts:
        load_credential(context, credential.path)


async def _stop_when_drained(node: Node, stop: trio.Event) -> None:
    await node.drained.wait()
    stop.set()


async def _show(
    data: Path,
    metrics_address: tuple[str, int] | None,
    nursery: trio.Nursery,
    node: Node,
    listener: Listener,
    observer: Observer,
) -> dict[str, str]:
    """Listen to the operator: the control socket, and metrics if they are wanted."""
    clock = observer.clock
    await nursery.start(
        lambda task_status: serve_questions(
            data, node, listener, clock=clock, task_status=task_status
        )
    )
    if metrics_address is None:
        return {}
    written = Exposition(families)

    async def exposition() -> bytes:
        await trio.lowlevel.checkpoint()
        return written(observer.status())

    sockets = await open_sockets(*metrics_address)
    nursery.start_soon(serve_metrics, sockets, exposition)
    return {"metrics": f"localhost:{sockets[0].getsockname()[1]}"}


async def _swarm_ca(data: Path, licensing: LicensingClient) -> x509.Certificate:
    """The CA of every swarm, asked for once: a data folder belongs to one CA for good."""
    path = data / "swarm-ca.pem"
    if path.exists():
        await trio.lowlevel.checkpoint()
        return certificates.load_certificate(read_text(path))
    ca = certificates.load_certificate(await licensing.swarm_ca())
    write_atomically(path, certificates.certificate_pem(ca).encode())
    return ca


def _seeder_id(credential: Credential) -> str:
    identity = credential.identity
    if not isinstance(identity, SeederIdentity):
        raise UsageError("--api-key-file: the key is not one of role seeder")
    return identity.seeder_id


@contextlib.contextmanager
def _alone_in(data: Path) -> Iterator[None]:
    """Refuse to share a data folder with another node."""
    with contextlib.ExitStack() as stack:
        try:
            stack.enter_context(locked_file(data / "lock"))
        except BlockingIOError as error:
            raise StorageError(f"{data}: another seeder is serving from this folder") from error
        yield
