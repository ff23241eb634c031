"""The HTTPS port: sockets, and a TLS context whose certificate is renewed while it serves."""

import random
import socket
import ssl
from pathlib import Path
from typing import Protocol

import structlog
import trio

from client_lib.errors import StorageError, UsageError
from client_lib.transport.tls import load_credential
from client_lib.wire.certificates import HostIdentity
from licensing.authority import Authority
from licensing.config import Clock, parse_address
from licensing.signer import own_credential

LICENSING_HOST_ID = "licensing"
_CHECKED_EVERY_S = 60.0
_BACKLOG = 1024


class Certificates(Protocol):
    """Where the port's certificate comes from."""

    async def refresh(self, context: ssl.SSLContext) -> bool:
        """Load key and certificate if the context has not got the newest; whether it did.

        Connections that stand keep theirs: only new handshakes see it.
        """
        ...


class FileCertificates:
    """Files that somebody else renews, such as an ACME client."""

    def __init__(self, certificate: Path, key: Path) -> None:
        """Take the paths of the chain and of the key, PEM."""
        self._certificate = certificate
        self._key = key
        self._loaded: tuple[int, int] | None = None

    async def refresh(self, context: ssl.SSLContext) -> bool:
        """See `Certificates.refresh`. Raises StorageError."""
        await trio.lowlevel.checkpoint()
        try:
            found = (self._certificate.stat().st_mtime_ns, self._key.stat().st_mtime_ns)
            if found == self._loaded:
                return False
            # On a context apart first: a chain whose key is not there yet would take the key
            # out of the live one.
            new_server_context().load_cert_chain(self._certificate, self._key)
            context.load_cert_chain(self._certificate, self._key)
        except (OSError, ssl.SSLError) as error:
            raise StorageError(
                f"cannot use tls_certificate {self._certificate} with tls_key {self._key}: "
                f"{error.strerror or 'not a PEM chain and its key'}"
            ) from error
        self._loaded = found
        return True


class OwnCertificates:
    """A host certificate from the swarm CA, issued at start and renewed at half-life."""

    def __init__(
        self, path: Path, host: str, authority: Authority, *, clock: Clock, rng: random.Random
    ) -> None:
        """Keep key and certificate for `host` in file `path`."""
        self._path = path
        self._identity = HostIdentity(LICENSING_HOST_ID, (host,))
        self._authority = authority
        self._clock = clock
        self._rng = rng
        self._loaded: int | None = None

    async def refresh(self, context: ssl.SSLContext) -> bool:
        """See `Certificates.refresh`. Raises StorageError."""
        credential = await own_credential(
            self._path, self._identity, self._authority, clock=self._clock, rng=self._rng
        )
        serial = credential.certificate.serial_number
        if serial == self._loaded:
            return False
        load_credential(context, self._path)
        self._loaded = serial
        return True


def new_server_context() -> ssl.SSLContext:
    """TLS without client certificates: devices show a secret, nodes an API key."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    context.options |= ssl.OP_NO_COMPRESSION
    context.set_alpn_protocols(["http/1.1"])  # all that `serving` speaks
    return context


async def keep_certificate_fresh(certificates: Certificates, context: ssl.SSLContext) -> None:
    """Look every minute, for ever. A failure is logged; the old certificate goes on serving."""
    while True:
        await trio.sleep(_CHECKED_EVERY_S)
        try:
            if await certificates.refresh(context):
                structlog.get_logger().info("https certificate renewed")
        except StorageError as error:
            structlog.get_logger().error("https certificate not renewed", error=str(error))


async def bind_sockets(listen: tuple[str, ...]) -> list[socket.socket]:
    """Bind every address, not yet listening. Port 0 is any free port, the same for all.

    Raises UsageError naming the address, for one that is in use, say.
    """
    bound: list[socket.socket] = []
    try:
        for text in listen:
            bound += await _bind_address(text, bound)
    except BaseException:
        for sock in bound:
            sock.close()
        raise
    return bound


async def _bind_address(text: str, bound: list[socket.socket]) -> list[socket.socket]:
    host, port = parse_address(text)
    if port == 0 and bound:
        port = bound[0].getsockname()[1]
    new: list[socket.socket] = []
    try:
        found = await trio.socket.getaddrinfo(
            host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE
        )
        for family, _, _, _, address in found:
            sock = socket.socket(family, socket.SOCK_STREAM)
            new.append(sock)
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            if family == socket.AF_INET6:
                sock.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
            same_port = new[0].getsockname()[1] if port == 0 and len(new) > 1 else port
            sock.bind((address[0], same_port, *address[2:]))
            sock.setblocking(False)
    except OSError as error:
        for sock in new:
            sock.close()
        raise UsageError(f"cannot listen on {text}: {error.strerror or error}") from error
    return new


def listen_now(sockets: list[socket.socket]) -> None:
    """Start listening: two services that bound one address learn of each other here."""
    try:
        for sock in sockets:
            sock.listen(_BACKLOG)
    except OSError as error:
        raise UsageError(f"cannot listen: {error.strerror or error}") from error
