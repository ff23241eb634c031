"""Many customers of many swarms, who announce through a proxy's plain socket: no handshakes."""

import base64
import contextlib
from collections.abc import AsyncIterator, Iterator
from dataclasses import dataclass
from pathlib import Path

import trio
from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding

from client_lib.wire import certificates
from client_lib.wire.announce import AnnounceRequest, PeerId
from client_lib.wire.announce_answer import AnnounceResponse
from client_lib.wire.certificates import LicenceIdentity, SeederIdentity
from client_lib.wire.infohash import InfoHash
from client_lib.wire.licence import licence_id_from
from client_lib.wire.release import TorrentName
from tests.pki import SwarmPki, utc_now


@dataclass(frozen=True)
class Member:
    """Somebody who announces: certificate, address, and what is asked."""

    certificate_der: bytes
    member_id: str
    request: AnnounceRequest
    address: str

    def head(self) -> bytes:
        """The request as a proxy passes it on (RFC 9440)."""
        return b"GET /announce/%b?%b HTTP/1.1\r\nHost: t\r\n%b%b\r\n" % (
            self.member_id.encode(),
            self.request.to_query(),
            b"Client-Cert: :%b:\r\n" % base64.b64encode(self.certificate_der),
            b"X-Forwarded-For: %b\r\n" % self.address.encode(),
        )


class Crowd:
    """`swarms` swarms, each with a central seeder and `customers` who download."""

    def __init__(self, pki: SwarmPki, *, swarms: int, customers: int) -> None:
        """Issue all certificates; one key serves them all, as nobody makes a handshake."""
        self._pki = pki
        self._public_key = certificates.new_key().public_key()
        self.info_hashes = [InfoHash.of(b"swarm %d" % number) for number in range(swarms)]
        origin = self._certificate(SeederIdentity("origin"))
        self.seeders = [
            self._member(origin, "origin", info_hash, 0, left_bytes=0)
            for info_hash in self.info_hashes
        ]
        self.customers = [
            self._customer(info_hash, number)
            for info_hash in self.info_hashes
            for number in range(1, customers + 1)
        ]

    def __len__(self) -> int:
        """Count all of them."""
        return len(self.seeders) + len(self.customers)

    def newcomers(self) -> Iterator[Member]:
        """One more customer for each swarm, who wants to know everybody."""
        for info_hash in self.info_hashes:
            yield self._customer(info_hash, 250, numwant=200)

    def addresses(self, info_hash: InfoHash) -> set[str]:
        """Where the members of a swarm are."""
        everybody = (*self.seeders, *self.customers)
        return {m.address for m in everybody if m.request.info_hash == info_hash.truncated}

    def _customer(self, info_hash: InfoHash, number: int, numwant: int | None = None) -> Member:
        swarm = self.info_hashes.index(info_hash)
        licence_id = licence_id_from((1_000 * swarm + number).to_bytes(16, "big"))
        identity = LicenceIdentity(licence_id, TorrentName(f"rel-{swarm:04}.mp3-320"), info_hash)
        return self._member(
            self._certificate(identity), licence_id, info_hash, number, numwant=numwant
        )

    def _member(
        self,
        der: bytes,
        member_id: str,
        info_hash: InfoHash,
        number: int,
        *,
        left_bytes: int = 1,
        numwant: int | None = None,
    ) -> Member:
        swarm = self.info_hashes.index(info_hash)
        request = AnnounceRequest(
            info_hash.truncated,
            PeerId(b"%020d" % number),
            port=6881,
            uploaded_bytes=0,
            downloaded_bytes=0,
            left_bytes=left_bytes,
            numwant=numwant,
        )
        return Member(der, member_id, request, f"10.{swarm // 250}.{swarm % 250}.{number}")

    def _certificate(self, identity: certificates.Identity) -> bytes:
        return certificates.issue(
            identity,
            self._public_key,
            ca=self._pki.ca,
            ca_key=self._pki.ca_key,
            serial=x509.random_serial_number(),
            now=utc_now(),
        ).public_bytes(Encoding.DER)


class Proxy:
    """A kept-alive connection to a tracker's plain socket."""

    def __init__(self, stream: trio.SocketStream) -> None:
        """Take the connection; `connected_proxy` makes it."""
        self._stream = stream
        self._received = b""

    async def announce(self, member: Member) -> AnnounceResponse:
        """Announce for somebody. Raises AnnounceRefused."""
        await self._stream.send_all(member.head())
        while b"\r\n\r\n" not in self._received:
            await self._more()
        head, _, rest = self._received.partition(b"\r\n\r\n")
        assert head.startswith(b"HTTP/1.1 200 "), head
        length = int(head.partition(b"Content-Length: ")[2].partition(b"\r\n")[0])
        while len(rest) < length:
            await self._more()
            rest = self._received.partition(b"\r\n\r\n")[2]
        self._received = rest[length:]
        return AnnounceResponse.decode(rest[:length])

    async def _more(self) -> None:
        data = await self._stream.receive_some()
        assert data, "closed by the tracker"
        self._received += data


@contextlib.asynccontextmanager
async def connected_proxy(socket: Path) -> AsyncIterator[Proxy]:
    """Be a proxy in front of a worker for a while."""
    async with await trio.open_unix_socket(str(socket)) as stream:
        yield Proxy(stream)
