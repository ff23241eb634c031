"""A real tracker on loopback over real TLS, an in-memory licensing, and clients by hand."""

import contextlib
import datetime as dt
import ssl
import time
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass, field
from pathlib import Path

import trio
from cryptography import x509

from client_lib.errors import AnnounceRefused, UnreachableError
from client_lib.transport.licensing_client import ConditionalAnswer
from client_lib.transport.tls import client_context
from client_lib.wire import certificates
from client_lib.wire.announce import AnnounceRequest, Event, PeerId
from client_lib.wire.announce_answer import AnnounceResponse
from client_lib.wire.certificates import HostIdentity, Identity, LicenceIdentity, SeederIdentity
from client_lib.wire.crl import build_crl
from client_lib.wire.infohash import TruncatedInfoHash
from client_lib.wire.licensing_api import CertificateAnswer
from tests.patience import PATIENCE_S
from tests.pki import Leaf, SwarmPki, licence_identity, utc_now
from tracker.app import serve_with
from tracker.config import TrackerConfig


@dataclass
class FakeLicensing:
    """Licensing as the tracker sees it, without HTTP: CA, host certificates, CRL."""

    pki: SwarmPki
    url: str = "https://licensing.example"
    away: bool = False
    host_lifetime: dt.timedelta | None = None
    identity: Identity = field(default_factory=lambda: HostIdentity("tracker-1", ("localhost",)))
    revoked: set[int] = field(default_factory=set)
    certificates_issued: int = 0
    tracker_clock: Callable[[], float] = time.time
    """POSIX time as trackers of this network see it."""

    async def _answer(self) -> None:
        await trio.lowlevel.checkpoint()
        if self.away:
            raise UnreachableError(self.url, "connection refused")

    async def swarm_ca(self) -> str:
        await self._answer()
        return self.pki.ca_pem

    async def host_certificate(self, csr: str) -> CertificateAnswer:
        await self._answer()
        self.certificates_issued += 1
        certificate = certificates.issue(
            self.identity,
            certificates.public_key_from_csr(csr),
            ca=self.pki.ca,
            ca_key=self.pki.ca_key,
            serial=x509.random_serial_number(),
            now=utc_now(),
            lifetime=self.host_lifetime,
        )
        return CertificateAnswer(
            certificates.certificate_pem(certificate),
            self.pki.ca_pem,
            certificate.not_valid_before_utc,
            certificate.not_valid_after_utc,
        )

    async def revocation_list(self, etag: str | None = None) -> ConditionalAnswer | None:
        await self._answer()
        now_etag = f'"{sorted(self.revoked)}"'
        if etag == now_etag:
            return None
        now = utc_now()
        body = build_crl(
            [(serial, now) for serial in sorted(self.revoked)],
            ca=self.pki.ca,
            ca_key=self.pki.ca_key,
            number=1,
            now=now,
            next_update=now + dt.timedelta(hours=1),
        )
        return ConditionalAnswer(body, now_etag)


@dataclass
class Reachable:
    """A tracker on this port of localhost, under the swarm CA `ca_pem`."""

    folder: Path
    ca_pem: str
    port: int

    def context(self, leaf: Leaf | None) -> ssl.SSLContext:
        """A client's TLS: trusts the swarm CA, presents `leaf`."""
        if leaf is None:
            return client_context(self.ca_pem)
        file = self.folder / f"{leaf.certificate.serial_number}.pem"
        file.write_text(leaf.key_pem + leaf.certificate_pem)
        return client_context(self.ca_pem, file)

    @contextlib.asynccontextmanager
    async def connected(self, leaf: Leaf | None) -> "AsyncIterator[Client]":
        tcp = await trio.open_tcp_stream("localhost", self.port)
        stream = trio.SSLStream(
            tcp, self.context(leaf), server_hostname="localhost", https_compatible=True
        )
        try:
            await stream.do_handshake()
            yield Client(stream)
        finally:
            await trio.aclose_forcefully(stream)

    async def announce(self, leaf: Leaf, **details: object) -> AnnounceResponse:
        """One announce over a connection of its own. Raises AnnounceRefused."""
        async with self.connected(leaf) as client:
            return await client.announce(leaf, **details)  # type: ignore[arg-type]


@dataclass
class Rig(Reachable):
    """A tracker that runs in the test, and the licensing behind it."""

    licensing: FakeLicensing

    @property
    def pki(self) -> SwarmPki:
        return self.licensing.pki


async def until_closed(stream: trio.abc.ReceiveStream) -> bytes:
    """All that the tracker still sends, until it closes the connection, however it does."""
    received = bytearray()
    with contextlib.suppress(trio.BrokenResourceError):
        while data := await stream.receive_some():
            received += data
    return bytes(received)


@dataclass
class Client:
    """One TLS connection to the tracker."""

    stream: trio.SSLStream[trio.SocketStream]
    received: bytearray = field(default_factory=bytearray)

    async def request(self, raw: bytes) -> tuple[int, bytes]:
        """Send raw bytes, read one response: status and body."""
        await self.stream.send_all(raw)
        return await self.response()

    async def response(self) -> tuple[int, bytes]:
        while b"\r\n\r\n" not in self.received:
            await self._more()
        head, _, _ = bytes(self.received).partition(b"\r\n\r\n")
        length = int(head.lower().partition(b"content-length: ")[2].partition(b"\r\n")[0])
        total = len(head) + 4 + length
        while len(self.received) < total:
            await self._more()
        body = bytes(self.received[len(head) + 4 : total])
        del self.received[:total]
        return int(head.split(b" ")[1]), body

    async def _more(self) -> None:
        data = await self.stream.receive_some()
        if not data:
            raise EOFError("closed by the tracker")
        self.received += data

    async def announce_until_refused(self, leaf: Leaf) -> None:
        """Announce again and again: the refusal raises (to be alone is none)."""
        while True:
            try:
                await self.announce(leaf)
            except AnnounceRefused as refused:
                if not refused.reason.startswith("no-source: "):
                    raise

    async def announce(
        self,
        leaf: Leaf,
        *,
        member_id: str | None = None,
        info_hash: TruncatedInfoHash | None = None,
        port: int = 6881,
        left_bytes: int = 1,
        event: Event = Event.REGULAR,
    ) -> AnnounceResponse:
        """Announce as `leaf` is entitled to, or otherwise as told. Raises AnnounceRefused."""
        status, body = await self.request(
            announce_head(
                leaf,
                member_id=member_id,
                info_hash=info_hash,
                port=port,
                left_bytes=left_bytes,
                event=event,
            )
        )
        assert status == 200
        return AnnounceResponse.decode(body)


def announce_head(
    leaf: Leaf,
    *,
    member_id: str | None = None,
    info_hash: TruncatedInfoHash | None = None,
    port: int = 6881,
    left_bytes: int = 1,
    event: Event = Event.REGULAR,
) -> bytes:
    """The request that a client with this certificate sends."""
    match certificates.identify(leaf.certificate):
        case LicenceIdentity(licence_id, _, full):
            own_id, own_hash = str(licence_id), full.truncated
        case SeederIdentity(seeder_id):
            own_id, own_hash = seeder_id, licence_identity().info_hash.truncated
        case _:
            own_id, own_hash = "nobody", licence_identity().info_hash.truncated
    query = AnnounceRequest(
        info_hash or own_hash, PeerId(b"p" * 20), port, 0, 0, left_bytes, event
    ).to_query()
    path = b"/announce/" + (member_id or own_id).encode()
    return b"GET " + path + b"?" + query + b" HTTP/1.1\r\nHost: localhost\r\n\r\n"


@contextlib.asynccontextmanager
async def running_tracker(
    folder: Path, licensing: FakeLicensing, **settings: object
) -> AsyncIterator[Rig]:
    """A tracker of the whole application on a free port of loopback."""
    config = TrackerConfig(
        data=folder / "tracker",
        host="localhost",
        port=0,
        **{"crl_poll_s": 0.05, **settings},  # type: ignore[arg-type]
    )
    stop = trio.Event()
    with trio.fail_after(PATIENCE_S):
        async with trio.open_nursery() as nursery:

            async def run(task_status: trio.TaskStatus[int]) -> None:
                await serve_with(
                    licensing, config, stop, clock=licensing.tracker_clock, task_status=task_status
                )

            port = await nursery.start(run)
            yield Rig(folder, licensing.pki.ca_pem, port, licensing)
            stop.set()
