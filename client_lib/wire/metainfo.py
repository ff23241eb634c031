"""Torrents of this network: v2-only (BEP 52), private (BEP 27), sealed (libtorrent's `ssl-cert`).

Keys are an allow-list. A torrent goes on to libtorrent, which knows more keys than are checked
here: `name.utf-8` would rename the swarm that certificates are matched to, `httpseeds` would add
sources that nobody signed for.
"""

import base64
import binascii
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import cast

from client_lib.errors import BencodeError, IdentifierError, MetainfoError
from client_lib.wire import bencode
from client_lib.wire.announce_tiers import AnnounceTiers, parse_announce_keys
from client_lib.wire.bencode import Decoded
from client_lib.wire.file_tree import TorrentFile, parse_file_tree
from client_lib.wire.infohash import InfoHash
from client_lib.wire.piece_layers import check_piece_length, verify_piece_layers
from client_lib.wire.release import TorrentName, parse_torrent_name
from client_lib.wire.web_seeds import parse_web_seed_keys

__all__ = ["AnnounceTiers", "Metainfo", "TorrentFile", "TorrentSignature"]

MAX_SSL_CERT_BYTES = 8_192
MAX_SIGNATURES = 8

_INFO_KEYS = frozenset(
    {b"file tree", b"meta version", b"name", b"piece length", b"private", b"ssl-cert"}
)
_TORRENT_KEYS = frozenset(
    {b"announce", b"announce-list", b"info", b"piece layers", b"signatures", b"url-list"}
    # written by tools, without meaning here
    | {b"comment", b"created by", b"creation date", b"encoding"}
)
_SIGNATURE_KEYS = frozenset({b"certificate", b"info", b"signature"})
# One block and nothing around it: parsers differ in which of several certificates they take.
_PEM_CERTIFICATE = re.compile(
    r"-----BEGIN CERTIFICATE-----\r?\n"
    r"((?:[A-Za-z0-9+/]{1,76}\r?\n)*[A-Za-z0-9+/]{1,76}={0,2}\r?\n)"
    r"-----END CERTIFICATE-----\r?\n?"
)
_SIGNER_NAME = re.compile(r"[a-z0-9.-]{1,64}")


@dataclass(frozen=True, slots=True)
class TorrentSignature:
    """One entry of `signatures` (BEP 35), parsed but not verified."""

    certificate_der: bytes
    info: bytes
    """The signed extra information, bencoded."""
    signature: bytes


@dataclass(frozen=True, slots=True)
class Metainfo:
    """A torrent. `info` and `piece_layers` are bencoded dictionaries, byte for byte as hashed.

    `signatures` are keyed by the signer's reverse-DNS name and say nothing until
    `client_lib.wire.signature.verify_stamp` has verified one.
    """

    name: TorrentName
    files: tuple[TorrentFile, ...] = field(repr=False)
    piece_length_bytes: int
    ssl_cert: str = field(repr=False)
    info: bytes = field(repr=False)
    piece_layers: bytes = field(repr=False)
    announce_tiers: AnnounceTiers
    signatures: Mapping[str, TorrentSignature] = field(repr=False, hash=False)
    web_seeds: tuple[str, ...] = ()
    """Folders over HTTPS with the release in them (BEP 19)."""

    @property
    def info_hash(self) -> InfoHash:
        """The full v2 info-hash."""
        return InfoHash.of(self.info)

    @property
    def ssl_cert_der(self) -> bytes:
        """The sealing CA's certificate in DER, to compare with the CA that is trusted."""
        return _pem_body(self.ssl_cert)

    @property
    def size_bytes(self) -> int:
        """All files together."""
        return sum(file.length_bytes for file in self.files)

    @property
    def has_checksums(self) -> bool:
        """Whether it says the SHA-256 of every file that is not empty."""
        return all(file.sha256 is not None for file in self.files if file.length_bytes)

    def piece_hashes(self) -> dict[bytes, bytes]:
        """Hashes of a file's pieces in a row, by its `pieces root`; of files longer than one."""
        return cast("dict[bytes, bytes]", bencode.decode(self.piece_layers))  # verified

    @classmethod
    def from_bytes(cls, data: bytes) -> "Metainfo":
        """Parse a `.torrent`, and check that its piece layers hash to its files' roots.

        Raises MetainfoError. Costs up to half a second for the largest torrent that is taken.
        """
        raw: dict[bytes, bytes] = {}
        try:
            torrent = bencode.decode(data, raw=raw)
        except BencodeError as error:
            raise MetainfoError(f"not a torrent: {error}") from error
        if not isinstance(torrent, dict):
            raise MetainfoError("not a torrent: its outermost value is not a dictionary")
        _allow_only(_TORRENT_KEYS, torrent, "torrent")
        info = torrent.get(b"info")
        if not isinstance(info, dict):
            raise MetainfoError("torrent has no info dictionary")
        _allow_only(_INFO_KEYS, info, "info")
        if info.get(b"meta version") != 2:
            raise MetainfoError("info: meta version is not 2 (BitTorrent v2 only)")
        if info.get(b"private") != 1:
            raise MetainfoError("info: private is not 1")
        name = _parse_name(info.get(b"name"))
        piece_length_bytes = check_piece_length(info.get(b"piece length"))
        ssl_cert = _parse_ssl_cert(info.get(b"ssl-cert"))
        files = parse_file_tree(info.get(b"file tree", {}))
        layers = torrent.get(b"piece layers", {})
        verify_piece_layers(layers, files, piece_length_bytes)
        return cls(
            name=name,
            files=files,
            piece_length_bytes=piece_length_bytes,
            ssl_cert=ssl_cert,
            info=raw[b"info"],
            piece_layers=raw.get(b"piece layers", bencode.encode({})),
            announce_tiers=parse_announce_keys(torrent),
            signatures=_parse_signatures(torrent.get(b"signatures", {})),
            web_seeds=parse_web_seed_keys(torrent),
        )


def _allow_only(allowed: frozenset[bytes], entries: Mapping[bytes, Decoded], where: str) -> None:
    if unknown := entries.keys() - allowed:
        raise MetainfoError(f"{where}: {min(unknown)[:40]!r} is no key of this network's torrents")


def _parse_name(name: Decoded | None) -> TorrentName:
    try:
        return parse_torrent_name(_ascii(name) or "")
    except IdentifierError as error:
        raise MetainfoError(f"info: {error}") from error


def _parse_ssl_cert(ssl_cert: Decoded | None) -> str:
    text = _ascii(ssl_cert) or ""
    if len(text) > MAX_SSL_CERT_BYTES:
        raise MetainfoError(f"info: ssl-cert is longer than {MAX_SSL_CERT_BYTES} bytes")
    if not _pem_body(text):
        raise MetainfoError("info: ssl-cert is not exactly one PEM certificate")
    return text


def _pem_body(pem: str) -> bytes:
    """Bytes of a PEM certificate; none if it is not exactly one."""
    match = _PEM_CERTIFICATE.fullmatch(pem)
    try:
        return base64.b64decode("".join(match[1].split()), validate=True) if match else b""
    except binascii.Error:
        return b""


def _parse_signatures(signatures: Decoded) -> Mapping[str, TorrentSignature]:
    if not isinstance(signatures, dict) or len(signatures) > MAX_SIGNATURES:
        raise MetainfoError(f"signatures is not a dictionary of at most {MAX_SIGNATURES} entries")
    parsed: dict[str, TorrentSignature] = {}
    for raw_name, entry in signatures.items():
        name = _ascii(raw_name) or ""
        if not _SIGNER_NAME.fullmatch(name):
            raise MetainfoError(f"signatures: {raw_name[:80]!r} is not a reverse-DNS name")
        if not isinstance(entry, dict) or entry.keys() != _SIGNATURE_KEYS:
            raise MetainfoError(f"signatures: {name} needs certificate, info and signature alone")
        certificate, info, signature = (entry[key] for key in sorted(_SIGNATURE_KEYS))
        if not (
            isinstance(certificate, bytes)
            and isinstance(info, dict)
            and isinstance(signature, bytes)
        ):
            raise MetainfoError(f"signatures: {name} has values of the wrong type")
        parsed[name] = TorrentSignature(certificate, bencode.encode(info), signature)
    return MappingProxyType(parsed)


def _ascii(value: Decoded | None) -> str | None:
    if isinstance(value, bytes) and value.isascii():
        return value.decode()
    return None
