"""Who the tracker is to its clients: the swarm CA, and a host certificate under it."""

import datetime as dt
import random
import ssl
from collections.abc import Callable
from pathlib import Path
from typing import Protocol

import structlog
import trio
from cryptography import x509

from client_lib.durable import read_text, write_atomically
from client_lib.errors import (
    CertificateError,
    ConfigError,
    LicensingRefused,
    StorageError,
)
from client_lib.transport.credential import (
    Credential,
    keep_renewed,
    obtain_credential,
)
from client_lib.transport.tls import load_credential
from client_lib.wire import certificates
from client_lib.wire.certificates import HostIdentity
from client_lib.wire.licensing_api import CertificateAnswer

_REFUSED_RETRY_S = 300.0


class IdentitySource(Protocol):
    """Where our identity comes from: `LicensingClient`."""

    url: str

    async def swarm_ca(self) -> str:
        """Get the swarm CA, PEM."""

    async def host_certificate(self, csr: str) -> CertificateAnswer:
        """Get a certificate for the key of `csr`, for what our API key stands for."""


async def swarm_ca(
    configured: Path | None, kept: Path, licensing: IdentitySource
) -> x509.Certificate:
    """The swarm CA: from the configured file, else as kept, else from licensing, and then kept.

    It never changes under a tracker: another CA would be another network.
    """
    await trio.lowlevel.checkpoint()
    ca = _stored_ca(configured or kept, required=configured is not None)
    if ca is None:
        pem = await licensing.swarm_ca()
        ca = certificates.load_certificate(pem)
        await trio.to_thread.run_sync(write_atomically, kept, pem.encode())
    return ca


def _stored_ca(path: Path, *, required: bool) -> x509.Certificate | None:
    if not required and not path.exists():
        return None
    try:
        return certificates.load_certificate(read_text(path))
    except CertificateError as error:
        raise ConfigError(f"{path}: {error}") from error


async def host_credential(
    path: Path,
    licensing: IdentitySource,
    *,
    ca: x509.Certificate,
    now: dt.datetime,
    rng: random.Random,
) -> Credential:
    """Host credential: from disk if it is fresh, or if licensing is away; else from licensing.

    Raises ConfigError when the API key stands for something else than a tracker.
    """
    credential = await obtain_credential(path, licensing.host_certificate, ca=ca, now=now, rng=rng)
    if not isinstance(credential.identity, HostIdentity):
        await trio.Path(path).unlink(missing_ok=True)
        raise ConfigError("the API key is not a tracker's: make one with `api-key tracker`")
    return credential


async def keep_host_credential(
    credential: Credential,
    licensing: IdentitySource,
    *,
    ca: x509.Certificate,
    context: ssl.SSLContext,
    clock: Callable[[], dt.datetime],
    rng: random.Random,
) -> None:
    """Renew at half-life while serving, for ever: new connections get the new certificate.

    A refusal is logged and tried again: what we have is good until it expires.
    """
    log = structlog.get_logger()

    async def renewed(new: Credential) -> None:
        nonlocal credential
        credential = new
        load_credential(context, new.path)
        log.info("host-certificate-renewed", until=new.certificate.not_valid_after_utc.isoformat())
        await trio.lowlevel.checkpoint()

    def delayed(error: Exception) -> None:
        log.warning("host-certificate-renewal-delayed", reason=str(error))

    while True:
        try:
            await keep_renewed(
                credential,
                licensing.host_certificate,
                ca=ca,
                clock=clock,
                rng=rng,
                on_renewed=renewed,
                on_delayed=delayed,
            )
        except (LicensingRefused, CertificateError, StorageError) as error:
            log.error("host-certificate-renewal-refused", reason=str(error))
        await trio.sleep(_REFUSED_RETRY_S)
