"""The announces of the benchmark: a swarm CA, a certificate for each peer, HTTP heads."""

import base64
import datetime as dt
import random
import struct
import time
from dataclasses import dataclass
from pathlib import Path

from cryptography.hazmat.primitives import serialization

from client_lib.wire import certificates
from client_lib.wire.announce import AnnounceRequest, PeerId
from client_lib.wire.certificates import HostIdentity, LicenceIdentity
from client_lib.wire.infohash import InfoHash
from client_lib.wire.licence import licence_id_from
from client_lib.wire.release import TorrentName
from tests.pki import SwarmPki

_KEPT_S = 7 * 86_400
_LIFETIME = dt.timedelta(days=30)
_NAME = TorrentName("rel-0001.flac-16-44")
_LENGTHS = struct.Struct("<II")


@dataclass(frozen=True, slots=True)
class Peer:
    """One licence's client: certificate, address, and the request that libtorrent would send."""

    info_hash: InfoHash
    licence_id: str
    certificate_der: bytes
    query: bytes
    address: str

    def head(self, *, keep_alive: bool, proxied: bool) -> bytes:
        """HTTP head, with the fields of RFC 9440 where a proxy would have set them."""
        fields = [
            f"GET /announce/{self.licence_id}?{self.query.decode()} HTTP/1.1",
            "Host: localhost",
            "User-Agent: libtorrent/2.1.1.0",
            "Accept-Encoding: gzip",
            f"Connection: {'keep-alive' if keep_alive else 'close'}",
        ]
        if proxied:
            der = base64.b64encode(self.certificate_der).decode()
            fields += [f"Client-Cert: :{der}:", f"X-Forwarded-For: {self.address}"]
        return "\r\n".join([*fields, "", ""]).encode()


@dataclass(frozen=True, slots=True)
class Crowd:
    """All peers, and the files that the servers and the load generator read."""

    pki: SwarmPki
    peers: list[Peer]
    folder: Path

    @property
    def ca(self) -> Path:
        """PEM file of the swarm CA."""
        return self.folder / "ca.pem"

    @property
    def client_key(self) -> Path:
        """PEM file of the key of all the peers' certificates."""
        return self.folder / "client-key.pem"

    @property
    def host(self) -> Path:
        """PEM file of key and certificate for a server named localhost."""
        return self.folder / "host.pem"

    def records(self, name: str, *, keep_alive: bool, proxied: bool, tls: bool) -> Path:
        """Write the file that `load.c` reads; certificates are in it for TLS only."""
        path = self.folder / f"{name}.records"
        with path.open("wb") as file:
            for peer in self.peers:
                head = peer.head(keep_alive=keep_alive, proxied=proxied)
                der = peer.certificate_der if tls else b""
                file.write(_LENGTHS.pack(len(der), len(head)) + der + head)
        return path


def crowd(folder: Path, *, swarms: int, peers_per_swarm: int) -> Crowd:
    """Peers of so many swarms. A tenth of them is complete.

    Certificates take 0.2 ms each: they stay in `folder` for a week.
    """
    folder.mkdir(parents=True, exist_ok=True)
    ca_key_file, client_key_file = folder / "ca-key.pem", folder / "client-key.pem"
    kept = folder / f"certificates-{swarms}-{peers_per_swarm}"
    if not kept.exists() or time.time() - kept.stat().st_mtime > _KEPT_S:
        ca_key_file.write_text(certificates.key_pem(certificates.new_key()))
        client_key_file.write_text(certificates.key_pem(certificates.new_key()))
        for stale in folder.glob("certificates-*"):
            stale.unlink()
    pki = SwarmPki("benchmark CA", certificates.load_key(ca_key_file.read_text()))
    (folder / "ca.pem").write_text(pki.ca_pem)
    leaf = pki.issue(HostIdentity("bench", ("localhost",)))
    (folder / "host.pem").write_text(leaf.key_pem + leaf.certificate_pem)
    rng = random.Random(4)
    identities = [
        (
            LicenceIdentity(
                licence_id_from(number.to_bytes(16, "big")),
                _NAME,
                InfoHash.of(b"d1:n%d:%de" % (len(str(swarm)), swarm)),
            ),
            number,
        )
        for number in range(swarms * peers_per_swarm)
        for swarm in [number // peers_per_swarm]
    ]
    ders = _certificates(kept, pki, client_key_file, [identity for identity, _ in identities])
    peers = [
        Peer(
            identity.info_hash,
            str(identity.licence_id),
            der,
            _query(identity, number, rng),
            f"10.{number >> 16 & 255}.{number >> 8 & 255}.{number & 255}",
        )
        for (identity, number), der in zip(identities, ders, strict=True)
    ]
    return Crowd(pki, peers, folder)


def _query(identity: LicenceIdentity, number: int, rng: random.Random) -> bytes:
    request = AnnounceRequest(
        identity.info_hash.truncated,
        PeerId(b"-LT2110-" + rng.randbytes(12)),
        1_025 + number % 64_000,
        rng.randrange(10**9),
        rng.randrange(10**9),
        rng.randrange(1, 10**9) if number % 10 else 0,
        numwant=50,
        key=b"%08X" % rng.getrandbits(32),
    ).to_query()
    return (
        request.replace(b"&key=", b"&corrupt=0&key=") + b"&no_peer_id=1&supportcrypto=1&redundant=0"
    )


def _certificates(
    kept: Path, pki: SwarmPki, client_key_file: Path, identities: list[LicenceIdentity]
) -> list[bytes]:
    """DER of a certificate for each identity, all of them for the one key."""
    if not kept.exists():
        public_key = certificates.load_key(client_key_file.read_text()).public_key()
        now = dt.datetime.now(dt.UTC).replace(microsecond=0)
        parts = []
        for number, identity in enumerate(identities):
            der = certificates.issue(
                identity,
                public_key,
                ca=pki.ca,
                ca_key=pki.ca_key,
                serial=(number + 1) << 100 | 1,
                now=now,
                lifetime=_LIFETIME,
            ).public_bytes(serialization.Encoding.DER)
            parts.append(len(der).to_bytes(4, "little") + der)
        partial = kept.with_suffix(".partial")
        partial.write_bytes(b"".join(parts))
        partial.rename(kept)
    data, ders, start = kept.read_bytes(), [], 0
    while start < len(data):
        end = start + 4 + int.from_bytes(data[start : start + 4], "little")
        ders.append(data[start + 4 : end])
        start = end
    return ders
