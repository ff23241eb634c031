"""The seeder as a service: licensing, origin, session and node wired together."""

import contextlib
import datetime as dt
import fcntl
import os
import random
from collections.abc import Callable, Iterator
from pathlib import Path

import structlog
import trio
from cryptography import x509

from client_lib.durable import private_folder, read_text, write_atomically
from client_lib.errors import (
    CertificateError,
    LicensingRefused,
    StorageError,
    UnreachableError,
    UsageError,
)
from client_lib.nursery import open_quiet_nursery
from client_lib.swarm.session import open_session
from client_lib.swarm.settings import SessionSettings
from client_lib.transport.credential import Credential, keep_renewed, obtain_credential
from client_lib.transport.licensing_client import LicensingClient, open_licensing
from client_lib.wire import certificates
from client_lib.wire.certificates import SeederIdentity
from seeder.catalogue import Catalogue
from seeder.config import SeederConfig
from seeder.node import Node, NodeSettings
from seeder.origin import FolderOrigin
from seeder.status import NodeState, totals_so_far, write_status

_CONTROL_INTERVAL_S = 1.0
_RETRY_REFUSED_S = 60.0
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
    settings = SessionSettings(
        listen_port=config.port,
        listen_host=config.listen_host,
        upload_limit_bytes_s=config.upload_limit_bytes_s,
        limit_local_peers=config.limit_local_peers,
        central_seeder=True,
    )
    trackers = config.tracker_urls
    origin = FolderOrigin(config.origin_folder)
    data = private_folder(config.data_folder)
    async with contextlib.AsyncExitStack() as stack:
        stack.enter_context(_alone_in(data))
        licensing = await stack.enter_async_context(
            open_licensing(config.licensing, ca_pem=config.licensing_ca_pem, bearer=api_key(config))
        )
        ca = await _swarm_ca(data, licensing)
        credential = await obtain_credential(
            data / "seeder.pem", licensing.host_certificate, ca=ca, now=clock(), rng=rng
        )
        catalogue = Catalogue(data / "catalogue.jsonl")
        async with open_session(settings) as session:
            node = Node(
                session,
                origin,
                catalogue,
                credential,
                NodeSettings(_seeder_id(credential), trackers, config.upload_limit_bytes_s),
                clock=clock,
                uploaded_before=totals_so_far(data),
            )
            await node.reconcile()
            async with open_quiet_nursery() as nursery:
                nursery.start_soon(_follow, node, catalogue, licensing, config.poll_s)
                nursery.start_soon(_control, node, data)
                nursery.start_soon(_renew, node, credential, licensing, ca, clock, rng)
                log.info("serving", port=session.listen_port, seeder_id=_seeder_id(credential))
                task_status.started(session.listen_port)
                await stop.wait()
                nursery.cancel_scope.cancel()
            await node.control(trio.current_time())
            last = node.snapshot(NodeState.STOPPED)
        write_status(data, last)
        log.info("stopped", uploaded_bytes=last.uploaded_bytes)


async def _follow(
    node: Node, catalogue: Catalogue, licensing: LicensingClient, poll_s: float
) -> None:
    """Pick up what is published, and what appears in the origin, for as long as we serve."""
    trouble: str | None = None
    while True:
        try:
            new = await catalogue.refresh(licensing)
            if new or trouble:
                log.info("catalogue read", new=new, position=catalogue.position)
            trouble = None
        except (UnreachableError, LicensingRefused, StorageError) as error:
            if str(error) != trouble:
                log.warning("catalogue not read", error=str(error))
            trouble = str(error)
        await node.reconcile()
        await trio.sleep(poll_s)


async def _control(node: Node, data: Path) -> None:
    trouble: str | None = None
    while True:
        await node.control(trio.current_time())
        try:
            status = node.snapshot(NodeState.SERVING)
            await trio.to_thread.run_sync(write_status, data, status)
            trouble = None
        except StorageError as error:  # a full disk: customers must not notice
            if str(error) != trouble:
                log.warning("status not written", error=str(error))
            trouble = str(error)
        await trio.sleep(_CONTROL_INTERVAL_S)


async def _renew(
    node: Node,
    credential: Credential,
    licensing: LicensingClient,
    ca: x509.Certificate,
    clock: Callable[[], dt.datetime],
    rng: random.Random,
) -> None:
    """Keep the certificate fresh. A refusal is reported and tried again: the operator may mend it,
    and until the certificate expires customers are served."""
    newest = credential

    async def renewed(credential: Credential) -> None:
        nonlocal newest
        newest = credential
        await node.renew(credential)

    def delayed(error: Exception) -> None:
        log.warning("certificate renewal delayed", error=str(error))

    while True:
        try:
            await keep_renewed(
                newest,
                licensing.host_certificate,
                ca=ca,
                clock=clock,
                rng=rng,
                on_renewed=renewed,
                on_delayed=delayed,
            )
        except (LicensingRefused, CertificateError) as error:
            expires_at = newest.certificate.not_valid_after_utc
            log.error("certificate renewal refused", error=str(error), expires_at=expires_at)
        await trio.sleep(_RETRY_REFUSED_S)


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
    path = data / "lock"
    try:
        descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    except OSError as error:
        raise StorageError(f"cannot write {path}: {error.strerror}") from error
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        yield
    except BlockingIOError as error:
        raise StorageError(f"{data}: another seeder is serving from this folder") from error
    finally:
        os.close(descriptor)
