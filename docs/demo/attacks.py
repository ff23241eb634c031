"""Everybody who has not paid: each tries a live seeder and a live customer, and gets nothing."""

import datetime as dt
import secrets
import socket
import ssl
from dataclasses import dataclass
from pathlib import Path

import trio
from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec

from client_lib.durable import read_text
from client_lib.swarm.session import open_session
from client_lib.swarm.settings import SessionSettings
from client_lib.swarm.torrent import AddTorrent
from client_lib.wire import certificates
from client_lib.wire.certificates import LicenceIdentity
from client_lib.wire.infohash import InfoHash
from client_lib.wire.licence import licence_id_from
from client_lib.wire.release import TorrentName
from docs.demo.result import RefusedResult

_TRY_S = 3.0


@dataclass(frozen=True, slots=True)
class Target:
    """A swarm under attack: peers who have the album, and its torrent."""

    torrent: bytes
    info_hash: InfoHash
    peers: tuple[tuple[str, int], ...]


@dataclass(frozen=True, slots=True)
class Impostor:
    """A certificate with its key that should open nothing."""

    certificate_pem: str
    key_pem: str


class Forger:
    """Makes impostors; it holds the swarm CA's key, as only this demo and the store do."""

    def __init__(self, licensing_data: Path) -> None:
        """Read the store's CA."""
        self._ca = certificates.load_certificate(read_text(licensing_data / "swarm-ca.pem"))
        self._ca_key = certificates.load_key(read_text(licensing_data / "swarm-ca.key.pem"))

    def another_release(self, info_hash: InfoHash) -> Impostor:
        """A genuine licence, for something else."""
        return self._issue("another-release.flac", info_hash, self._ca, self._ca_key)

    def another_ca(self, name: TorrentName, info_hash: InfoHash) -> Impostor:
        """The right names under a CA of one's own that has the same name."""
        key = certificates.new_key()
        subject = self._ca.subject.rfc4514_string().removeprefix("CN=")
        now = dt.datetime.now(dt.UTC)
        ca = certificates.new_ca(subject, key, serial=x509.random_serial_number(), now=now)
        return self._issue(name, info_hash, ca, key)

    def expired(self, name: TorrentName, info_hash: InfoHash) -> Impostor:
        """A genuine licence certificate of last week."""
        then = dt.datetime.now(dt.UTC) - dt.timedelta(days=7)
        return self._issue(name, info_hash, self._ca, self._ca_key, now=then)

    def _issue(
        self,
        name: str,
        info_hash: InfoHash,
        ca: x509.Certificate,
        ca_key: ec.EllipticCurvePrivateKey,
        now: dt.datetime | None = None,
    ) -> Impostor:
        key = certificates.new_key()
        licence_id = licence_id_from(secrets.token_bytes(16))
        certificate = certificates.issue(
            LicenceIdentity(licence_id, TorrentName(name), info_hash),
            key.public_key(),
            ca=ca,
            ca_key=ca_key,
            serial=x509.random_serial_number(),
            now=now or dt.datetime.now(dt.UTC),
        )
        return Impostor(certificates.certificate_pem(certificate), certificates.key_pem(key))


async def try_certificate(
    case: str, impostor: Impostor, target: Target, scratch: Path
) -> RefusedResult:
    """Attack with libtorrent for the bytes, and with plain TLS for the words of the refusal."""
    folder = scratch / secrets.token_hex(4)
    folder.mkdir(parents=True)
    downloaded = await leech(impostor, target, folder, trackers=())
    credential = folder / "credential.pem"
    credential.write_text(impostor.key_pem + impostor.certificate_pem)
    reason, leaked = await trio.to_thread.run_sync(_handshake, target, credential)
    return RefusedResult(case, downloaded + leaked, reason)


async def leech(
    impostor: Impostor, target: Target, folder: Path, trackers: tuple[tuple[str, ...], ...]
) -> int:
    """Payload bytes that a libtorrent client with this certificate gets in a few seconds."""
    settings = SessionSettings(listen_port=0, listen_host="127.0.0.1")
    async with open_session(settings) as session:
        torrent = await session.add(
            AddTorrent(
                torrent=target.torrent,
                save_path=folder,
                certificate_pem=impostor.certificate_pem,
                key_pem=impostor.key_pem,
                trackers=trackers,
            )
        )
        if not trackers:
            for address, port in target.peers:
                torrent.connect(address, port)
        with trio.move_on_after(_TRY_S):
            await torrent.wait_complete()
        return torrent.status().downloaded_bytes


async def try_plain(case: str, target: Target) -> RefusedResult:
    """Speak BitTorrent without TLS to every peer."""
    reason, leaked = await trio.to_thread.run_sync(_handshake, target, None)
    return RefusedResult(case, leaked, reason)


def _handshake(target: Target, credential: Path | None) -> tuple[str, int]:
    """Handshake, `interested` and `request` (BEP 3) at every peer: what came back instead."""
    reasons: list[str] = []
    leaked = 0
    for peer in target.peers:
        received = bytearray()
        try:
            with socket.create_connection(peer, timeout=5) as plain:
                stream = plain if credential is None else _tls(plain, target, credential)
                stream.settimeout(5)
                stream.sendall(_opening(target.info_hash))
                while chunk := stream.recv(65536):
                    received += chunk
                reasons.append("connection closed")
        except TimeoutError:
            reasons.append("no answer")
        except OSError as error:
            reasons.append(_in_words(error))
        if received.startswith(b"\x13BitTorrent protocol"):
            leaked += len(received)
            reasons.clear()
    return (reasons[0] if reasons else ""), leaked


def _tls(plain: socket.socket, target: Target, credential: Path) -> ssl.SSLSocket:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE  # an attacker does not care whom it talks to
    context.load_cert_chain(credential)
    # libtorrent finds the torrent by SNI: the info-hash in hexadecimal.
    return context.wrap_socket(plain, server_hostname=target.info_hash.truncated.hex())


def _opening(info_hash: InfoHash) -> bytes:
    handshake = b"\x13BitTorrent protocol" + bytes(8) + info_hash.truncated
    interested = (1).to_bytes(4, "big") + b"\x02"
    request = (13).to_bytes(4, "big") + b"\x06" + bytes(4) + bytes(4) + (16384).to_bytes(4, "big")
    return handshake + secrets.token_bytes(20) + interested + request


def _in_words(error: OSError) -> str:
    if isinstance(error, ssl.SSLError):
        alert = (error.reason or "TLS failed").lower().replace("_", " ")
        return f"TLS alert: {alert.removeprefix('tlsv1 alert ').removeprefix('sslv3 alert ')}"
    return error.strerror or type(error).__name__
