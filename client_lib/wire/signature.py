"""Per-customer torrents: the store's BEP 35 signature over the torrent and where it announces.

Outside `info`, a customer's torrent has announce URLs that carry the licence id, web seeds, and
under `signatures` an entry keyed by the store's reverse-DNS name:

    certificate  the signer's certificate, DER
    info         announce, announce-list (more than one URL), issued at, licence, release,
                 url-list (where there are web seeds)
    signature    ECDSA with SHA-256 over bencode(torrent's info) ‖ bencode(entry's info), DER

BEP 35 speaks of RSA; here the certificate's own algorithm is used. Bencoding is prefix-free, so
the two signed parts cannot be cut differently.
"""

import datetime as dt
from dataclasses import dataclass

from cryptography import x509
from cryptography.exceptions import InvalidSignature, UnsupportedAlgorithm
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.utils import CryptographyDeprecationWarning

from client_lib.errors import (
    BencodeError,
    CertificateError,
    IdentifierError,
    MetainfoError,
    SignatureError,
)
from client_lib.wire import bencode, certificates
from client_lib.wire.announce_tiers import AnnounceTiers, announce_keys, parse_announce_keys
from client_lib.wire.bencode import Bencodable
from client_lib.wire.certificates import SignerIdentity
from client_lib.wire.licence import LicenceId, parse_licence_id
from client_lib.wire.metainfo import Metainfo, TorrentSignature
from client_lib.wire.release import TorrentName, parse_torrent_name
from client_lib.wire.web_seeds import parse_web_seed_keys, web_seed_keys

_LAST_SECOND = int(dt.datetime.max.replace(tzinfo=dt.UTC).timestamp())
# What cryptography raises for hostile DER; the warning, where warnings are errors.
_BAD_DER = (
    ValueError,
    TypeError,
    UnsupportedAlgorithm,
    x509.InvalidVersion,
    CryptographyDeprecationWarning,
)


@dataclass(frozen=True, slots=True)
class Stamp:
    """What a store says about one customer's torrent. Raises SignatureError when inconsistent.

    `issued_at` is aware and in whole seconds, as it is signed. Every announce URL is
    `https://<tracker>/announce/<licence_id>`, every web seed `https://<host>/…/`.
    """

    licence_id: LicenceId
    name: TorrentName
    announce_tiers: AnnounceTiers
    issued_at: dt.datetime
    web_seeds: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        """Check the ids, the URLs and the time."""
        try:
            parse_licence_id(self.licence_id)
            parse_torrent_name(self.name)
            readable = parse_announce_keys(announce_keys(self.announce_tiers))
            parse_web_seed_keys(web_seed_keys(self.web_seeds))
        except (IdentifierError, MetainfoError) as error:
            raise SignatureError(f"stamp: {error}") from error
        if not self.announce_tiers or readable != self.announce_tiers:
            raise SignatureError("stamp: announce tiers are empty, or one of them is")
        for url in (url for tier in self.announce_tiers for url in tier):
            if url.split("/", 3)[3] != f"announce/{self.licence_id}":
                raise SignatureError(f"stamp: {url} does not end in /announce/{self.licence_id}")
        if self.issued_at.tzinfo is None or self.issued_at.microsecond:
            raise SignatureError("stamp: issued at is not an aware time in whole seconds")

    def encode(self) -> bytes:
        """Bencode the `info` of a signature entry."""
        entries: dict[bytes, Bencodable] = {
            **announce_keys(self.announce_tiers),
            b"issued at": int(self.issued_at.timestamp()),
            b"licence": self.licence_id.encode(),
            b"release": self.name.encode(),
            **web_seed_keys(self.web_seeds),
        }
        return bencode.encode(entries)

    @classmethod
    def decode(cls, data: bytes) -> "Stamp":
        """Undo `encode`; every other spelling is refused. Raises SignatureError."""
        try:
            entries = bencode.decode(data)
        except BencodeError as error:
            raise SignatureError(f"signed information: {error}") from error
        if not isinstance(entries, dict):
            raise SignatureError("signed information is not a dictionary")
        seconds = entries.get(b"issued at")
        licence_id, name = entries.get(b"licence"), entries.get(b"release")
        if (
            not isinstance(seconds, int)
            or not 0 <= seconds <= _LAST_SECOND
            or not (isinstance(licence_id, bytes) and licence_id.isascii())
            or not (isinstance(name, bytes) and name.isascii())
        ):
            raise SignatureError("signed information lacks issued at, licence or release")
        try:
            stamp = cls(
                LicenceId(licence_id.decode()),
                TorrentName(name.decode()),
                parse_announce_keys(entries),
                dt.datetime.fromtimestamp(seconds, dt.UTC),
                parse_web_seed_keys(entries),
            )
        except MetainfoError as error:
            raise SignatureError(f"signed information: {error}") from error
        if stamp.encode() != data:
            raise SignatureError("signed information has keys that are not understood")
        return stamp


def stamp(
    torrent: Metainfo,
    stamp: Stamp,
    *,
    store: str,
    certificate: x509.Certificate,
    key: ec.EllipticCurvePrivateKey,
) -> bytes:
    """Make a customer's whole `.torrent`, signed by `store`. Same input, same bytes.

    Announce URLs, web seeds and signatures that `torrent` has already are left out. Raises
    SignatureError if the result would not verify: for another release, by another's certificate
    or key, at a time when the certificate is not valid, or under another CA than the torrent's.
    """
    where = f"torrent {torrent.name}"
    if stamp.name != torrent.name:
        raise SignatureError(f"{where}: cannot carry a stamp for {stamp.name}")
    if certificate.public_key() != key.public_key():
        raise SignatureError(f"{where}: the signer's certificate is not for the signing key")
    try:
        ca = x509.load_der_x509_certificate(torrent.ssl_cert_der)
        _require_signer(certificate, store, ca=ca, now=stamp.issued_at)
    except CertificateError as error:
        raise SignatureError(f"{where}: signer {store}: {error}") from error
    except _BAD_DER as error:
        raise SignatureError(f"{where}: its ssl-cert does not parse") from error
    information = stamp.encode()
    # Deterministic (RFC 6979): a torrent that is fetched again is the same file.
    algorithm = ec.ECDSA(hashes.SHA256(), deterministic_signing=True)
    entry = {
        b"certificate": bencode.encode(certificate.public_bytes(serialization.Encoding.DER)),
        b"info": information,
        b"signature": bencode.encode(key.sign(torrent.info + information, algorithm)),
    }
    where_from = {**announce_keys(stamp.announce_tiers), **web_seed_keys(stamp.web_seeds)}
    entries = {key: bencode.encode(value) for key, value in where_from.items()}
    entries[b"info"] = torrent.info
    entries[b"piece layers"] = torrent.piece_layers
    entries[b"signatures"] = bencode.join_dictionary(
        {store.encode(): bencode.join_dictionary(entry)}
    )
    return bencode.join_dictionary(entries)


def verify_stamp(
    torrent: Metainfo, *, ca: x509.Certificate, now: dt.datetime, store: str | None = None
) -> Stamp:
    """Verify a customer's torrent before a byte is fetched; return what the store signed.

    Checked: the torrent's `ssl-cert` is `ca`; the signer's certificate is by `ca`, valid at
    `now`, and the named store's; the signature; the signed release, licence, announce URLs and
    web seeds are the torrent's. `store` None takes the only signature there is. Raises
    SignatureError.
    """
    try:
        return _verify(torrent, ca, now, store)
    except (CertificateError, SignatureError) as error:
        raise SignatureError(f"torrent {torrent.name}: {error}") from error


def _verify(torrent: Metainfo, ca: x509.Certificate, now: dt.datetime, store: str | None) -> Stamp:
    store, entry = _select(torrent, store)
    if torrent.ssl_cert_der != ca.public_bytes(serialization.Encoding.DER):
        raise SignatureError("its ssl-cert is not the CA of this store")
    try:
        certificate = x509.load_der_x509_certificate(entry.certificate_der)
        key = _require_signer(certificate, store, ca=ca, now=now)
    except _BAD_DER as error:
        raise SignatureError(f"the certificate of {store} does not parse") from error
    try:
        key.verify(entry.signature, torrent.info + entry.info, ec.ECDSA(hashes.SHA256()))
    except InvalidSignature as error:
        raise SignatureError(f"the signature of {store} is wrong: fetch it again") from error
    stamp = Stamp.decode(entry.info)
    if stamp.name != torrent.name:
        raise SignatureError(f"signed for another release, {stamp.name}")
    if stamp.announce_tiers != torrent.announce_tiers:
        raise SignatureError("announce URLs are not the signed ones")
    if stamp.web_seeds != torrent.web_seeds:
        raise SignatureError("web seeds are not the signed ones")
    if not certificate.not_valid_before_utc <= stamp.issued_at <= certificate.not_valid_after_utc:
        raise SignatureError(f"issued at {stamp.issued_at}, when its signer was not valid")
    return stamp


def _select(torrent: Metainfo, store: str | None) -> tuple[str, TorrentSignature]:
    if store is None:
        if len(torrent.signatures) != 1:
            raise SignatureError(f"{len(torrent.signatures)} signatures where one is expected")
        return next(iter(torrent.signatures.items()))
    if store not in torrent.signatures:
        raise SignatureError(f"not signed by {store}")
    return store, torrent.signatures[store]


def _require_signer(
    certificate: x509.Certificate, store: str, *, ca: x509.Certificate, now: dt.datetime
) -> ec.EllipticCurvePublicKey:
    """Check a signer's certificate; return its key. Raises CertificateError."""
    certificates.verify_issued(certificate, ca, now)
    identity = certificates.identify(certificate)
    if not isinstance(identity, SignerIdentity):
        raise CertificateError("certificate may not sign torrents")
    if identity.store != store:
        raise CertificateError(f"certificate is for {identity.store}, not for {store}")
    key = certificate.public_key()
    if not isinstance(key, ec.EllipticCurvePublicKey):
        raise CertificateError("certificate has no EC key")
    return key
