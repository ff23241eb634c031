"""The one credential: X.509 certificate profiles under the swarm CA, and CSRs (RFC 5280, 2986).

| role    | SAN                                                          | CN         | life |
|---------|--------------------------------------------------------------|------------|------|
| licence | DNS torrent name; URI urn:albumswarm:licence:…, urn:btmh:…   | licence id | 24 h |
| seeder  | DNS `*`; URI urn:albumswarm:seeder:…                         | seeder id  | 24 h |
| host    | DNS host names; URI urn:albumswarm:host:…                    | host id    | 30 d |
| signer  | URI urn:albumswarm:signer:…; EKU codeSigning only            | store      | 1 y  |

libtorrent admits a peer by the DNS name (or CN), so a signer has no DNS name and every CN is
something that cannot be a torrent name. All keys are P-256: libtorrent takes Ed25519 leaves too,
but `cryptography.x509.verification` does not.
"""

import datetime as dt
import re
from dataclasses import dataclass

from cryptography import x509
from cryptography.exceptions import InvalidSignature, UnsupportedAlgorithm
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

from client_lib.errors import CertificateError, WireError
from client_lib.wire.infohash import InfoHash
from client_lib.wire.licence import LicenceId, parse_licence_id
from client_lib.wire.release import TORRENT_NAME_PATTERN, TorrentName, parse_torrent_name

BACKDATED_BY = dt.timedelta(hours=1)
"""Clocks of customers may be slow by this much before a fresh certificate looks not yet valid."""
CA_LIFETIME = dt.timedelta(days=20 * 365)  # an expired CA kills every swarm under it
MAX_CSR_BYTES = 4_096

_LICENCE_URN = "urn:albumswarm:licence:"
_SEEDER_URN = "urn:albumswarm:seeder:"
_HOST_URN = "urn:albumswarm:host:"
_SIGNER_URN = "urn:albumswarm:signer:"
_BTMH_URN = "urn:btmh:"
# What cryptography raises for hostile DER; the warnings, where warnings are errors.
_BAD_DER = (
    ValueError,
    TypeError,
    UnsupportedAlgorithm,
    Warning,
    x509.DuplicateExtension,
    x509.ExtensionNotFound,
    x509.InvalidVersion,
    x509.UnsupportedGeneralNameType,
)
_NODE_ID = r"[a-z0-9][a-z0-9-]{0,47}"
_HOST_NAME = (
    r"(?=.{1,253}$)[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?(\.[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?)*"
)
_STORE = r"(?=.{1,64}$)[a-z0-9-]+(\.[a-z0-9-]+){2,}"


def _require(pattern: str, text: str, what: str, shape: str) -> None:
    if not re.fullmatch(pattern, text):
        raise CertificateError(f"{text[:80]!r} is not {what}: {shape}")


@dataclass(frozen=True, slots=True)
class LicenceIdentity:
    """A customer's licence for one swarm."""

    licence_id: LicenceId
    name: TorrentName
    info_hash: InfoHash


@dataclass(frozen=True, slots=True)
class SeederIdentity:
    """A central seeder: may join every swarm (DNS `*`)."""

    seeder_id: str

    def __post_init__(self) -> None:
        """Check the id's shape."""
        _require(_NODE_ID, self.seeder_id, "a seeder id", "1-48 characters of a-z, 0-9 and -")


@dataclass(frozen=True, slots=True)
class HostIdentity:
    """A tracker, web seed or licensing host, reached as one of `hosts`. Joins no swarm."""

    host_id: str
    hosts: tuple[str, ...]

    def __post_init__(self) -> None:
        """Check the id's shape and the host names."""
        _require(_NODE_ID, self.host_id, "a host id", "1-48 characters of a-z, 0-9 and -")
        if not 1 <= len(self.hosts) <= 16:
            raise CertificateError(
                f"host {self.host_id}: 1 to 16 host names, not {len(self.hosts)}"
            )
        for host in self.hosts:
            _require(_HOST_NAME, host, "a host name", "lowercase DNS name without port")
            # libtorrent admits a peer by DNS name: a host called like a release would get it, and
            # whoever buys a release called like a host could pose as that host.
            if re.fullmatch(TORRENT_NAME_PATTERN.strip("^$"), host):
                raise CertificateError(
                    f"{host!r} could be a torrent's name (release.format): use a host name"
                    f" of another number of labels, such as tracker.{host}"
                )


@dataclass(frozen=True, slots=True)
class SignerIdentity:
    """The key of `store` (reverse-DNS name, at least three labels) that signs torrents."""

    number: int
    store: str

    def __post_init__(self) -> None:
        """Check the name. Three labels, because two could be a torrent name."""
        _require(_STORE, self.store, "a store name", "reverse DNS such as com.example.shop")
        if not 0 <= self.number < 10**9:
            raise CertificateError(f"signer number {self.number} is out of range")


Identity = LicenceIdentity | SeederIdentity | HostIdentity | SignerIdentity

_LIFETIMES: dict[type[Identity], dt.timedelta] = {
    LicenceIdentity: dt.timedelta(hours=24),
    SeederIdentity: dt.timedelta(hours=24),
    HostIdentity: dt.timedelta(days=30),
    SignerIdentity: dt.timedelta(days=365),
}
_PEER_USAGES = [ExtendedKeyUsageOID.SERVER_AUTH, ExtendedKeyUsageOID.CLIENT_AUTH]


def _profile(identity: Identity) -> tuple[str, list[str], list[str]]:
    """Common name, DNS names and URIs of a role."""
    match identity:
        case LicenceIdentity(licence_id, name, info_hash):
            return licence_id, [name], [_LICENCE_URN + licence_id, _BTMH_URN + info_hash.btmh]
        case SeederIdentity(seeder_id):
            return seeder_id, ["*"], [_SEEDER_URN + seeder_id]
        case HostIdentity(host_id, hosts):
            return host_id, list(hosts), [_HOST_URN + host_id]
        case SignerIdentity(number, store):
            return store, [], [f"{_SIGNER_URN}{number}"]


def _usages(identity_type: type[Identity]) -> list[x509.ObjectIdentifier]:
    return [ExtendedKeyUsageOID.CODE_SIGNING] if identity_type is SignerIdentity else _PEER_USAGES


def _key_usage(*, ca: bool) -> x509.KeyUsage:
    return x509.KeyUsage(
        digital_signature=not ca,
        key_cert_sign=ca,
        crl_sign=ca,
        content_commitment=False,
        key_encipherment=False,
        data_encipherment=False,
        key_agreement=False,
        encipher_only=False,
        decipher_only=False,
    )


def _common_name(text: str) -> x509.Name:
    return x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, text)])


def new_key() -> ec.EllipticCurvePrivateKey:
    """Make a fresh P-256 key."""
    return ec.generate_private_key(ec.SECP256R1())


def new_ca(
    common_name: str, key: ec.EllipticCurvePrivateKey, *, serial: int, now: dt.datetime
) -> x509.Certificate:
    """Self-sign a swarm CA. It signs every leaf itself: libtorrent ignores chains."""
    name = _common_name(common_name)
    identifier = x509.SubjectKeyIdentifier.from_public_key(key.public_key())
    return (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(serial)
        .not_valid_before(now - BACKDATED_BY)
        .not_valid_after(now + CA_LIFETIME)
        .add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
        .add_extension(_key_usage(ca=True), critical=True)
        .add_extension(identifier, critical=False)
        .sign(key, hashes.SHA256())
    )


def issue(
    identity: Identity,
    public_key: ec.EllipticCurvePublicKey,
    *,
    ca: x509.Certificate,
    ca_key: ec.EllipticCurvePrivateKey,
    serial: int,
    now: dt.datetime,
    lifetime: dt.timedelta | None = None,
) -> x509.Certificate:
    """Sign a leaf of the identity's profile, valid from an hour before `now`.

    It never outlives the CA. `lifetime` counts from `now`; None takes the role's own.
    """
    common_name, dns_names, uris = _profile(identity)
    alternatives: list[x509.GeneralName] = [x509.DNSName(name) for name in dns_names]
    alternatives += [x509.UniformResourceIdentifier(uri) for uri in uris]
    end = now + (_LIFETIMES[type(identity)] if lifetime is None else lifetime)
    authority = x509.AuthorityKeyIdentifier.from_issuer_subject_key_identifier(
        ca.extensions.get_extension_for_class(x509.SubjectKeyIdentifier).value
    )
    return (
        x509.CertificateBuilder()
        .subject_name(_common_name(common_name))
        .issuer_name(ca.subject)
        .public_key(public_key)
        .serial_number(serial)
        .not_valid_before(min(now, end) - BACKDATED_BY)
        .not_valid_after(min(end, ca.not_valid_after_utc))
        .add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
        .add_extension(_key_usage(ca=False), critical=True)
        .add_extension(x509.ExtendedKeyUsage(_usages(type(identity))), critical=False)
        .add_extension(x509.SubjectAlternativeName(alternatives), critical=False)
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(public_key), critical=False)
        .add_extension(authority, critical=False)
        .sign(ca_key, hashes.SHA256())
    )


def identify(certificate: x509.Certificate) -> Identity:
    """Read who a certificate is for. Raises CertificateError for anything off the profile.

    Says nothing about who signed it or when it is valid: `verify_issued` does.
    """
    try:
        identity = _identity_from_names(certificate)
        found = certificate.extensions
        usages = found.get_extension_for_class(x509.ExtendedKeyUsage).value
        constraints = found.get_extension_for_class(x509.BasicConstraints).value
        key_usage = found.get_extension_for_class(x509.KeyUsage).value
    except (*_BAD_DER, WireError) as error:
        raise CertificateError(f"certificate off its profile: {error}") from error
    if constraints.ca or key_usage != _key_usage(ca=False):
        raise CertificateError("certificate off its profile: it may sign more than its own name")
    if set(usages) != set(_usages(type(identity))):
        raise CertificateError("certificate off its profile: extended key usage")
    try:
        _require_p256(certificate.public_key())
    except _BAD_DER as error:
        raise CertificateError("certificate off its profile: unreadable key") from error
    return identity


def _identity_from_names(certificate: x509.Certificate) -> Identity:
    names = certificate.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    dns_names = names.get_values_for_type(x509.DNSName)
    uris = names.get_values_for_type(x509.UniformResourceIdentifier)
    subject = [attribute.value for attribute in certificate.subject]
    common_name = subject[0] if len(subject) == 1 else None
    if not isinstance(common_name, str) or len(names) != len(dns_names) + len(uris) or not uris:
        raise CertificateError("unexpected subject or alternative names")
    identity = _identity_from_uri(uris, dns_names, common_name)
    # Compare with what we would issue: one definition, and nothing extra can hide.
    if _profile(identity) != (common_name, dns_names, uris):
        raise CertificateError("names do not agree with each other")
    return identity


def _identity_from_uri(uris: list[str], dns_names: list[str], common_name: str) -> Identity:
    first = uris[0]
    if first.startswith(_LICENCE_URN) and len(uris) == 2 and len(dns_names) == 1:
        return LicenceIdentity(
            parse_licence_id(first.removeprefix(_LICENCE_URN)),
            parse_torrent_name(dns_names[0]),
            InfoHash.from_btmh(uris[1].removeprefix(_BTMH_URN)),
        )
    if first.startswith(_SEEDER_URN):
        return SeederIdentity(first.removeprefix(_SEEDER_URN))
    if first.startswith(_HOST_URN):
        return HostIdentity(first.removeprefix(_HOST_URN), tuple(dns_names))
    if first.startswith(_SIGNER_URN) and re.fullmatch(r"[0-9]{1,9}", first.rpartition(":")[2]):
        return SignerIdentity(int(first.rpartition(":")[2]), common_name)
    raise CertificateError("no role of this network")


def verify_issued(certificate: x509.Certificate, ca: x509.Certificate, now: dt.datetime) -> None:
    """Check that `ca` itself signed the certificate and that it is valid at `now` (aware UTC)."""
    try:
        certificate.verify_directly_issued_by(ca)
    except (InvalidSignature, *_BAD_DER) as error:
        raise CertificateError("certificate not signed by this swarm CA") from error
    if now < certificate.not_valid_before_utc:
        raise CertificateError(f"certificate valid only from {certificate.not_valid_before_utc}")
    if now > certificate.not_valid_after_utc:
        raise CertificateError(f"certificate expired at {certificate.not_valid_after_utc}")


def make_csr(key: ec.EllipticCurvePrivateKey) -> str:
    """PKCS#10 request in PEM. Its subject is empty: licensing copies only the key."""
    request = x509.CertificateSigningRequestBuilder().subject_name(x509.Name([]))
    signed = request.sign(key, hashes.SHA256())
    return signed.public_bytes(serialization.Encoding.PEM).decode()


def public_key_from_csr(pem: str) -> ec.EllipticCurvePublicKey:
    """Check a CSR's size, self-signature and key, and take the key. Raises CertificateError."""
    if len(pem) > MAX_CSR_BYTES:
        raise CertificateError(f"CSR of {len(pem)} characters: at most {MAX_CSR_BYTES}")
    try:
        request = x509.load_pem_x509_csr(pem.encode())
        valid = request.is_signature_valid
        key = request.public_key()
    except Exception as error:  # cryptography raises many kinds for hostile DER
        raise CertificateError("CSR is not a PEM PKCS#10 request") from error
    if not valid:
        raise CertificateError("CSR signature is wrong: it must be signed with its own key")
    return _require_p256(key)


def _require_p256(key: object) -> ec.EllipticCurvePublicKey:
    if not isinstance(key, ec.EllipticCurvePublicKey) or not isinstance(key.curve, ec.SECP256R1):
        raise CertificateError("the key is not an EC key on P-256 (secp256r1)")
    return key


def load_certificate(pem: str) -> x509.Certificate:
    """Parse exactly one PEM certificate. Raises CertificateError."""
    try:
        (certificate,) = x509.load_pem_x509_certificates(pem.encode())
    except _BAD_DER as error:
        raise CertificateError("not one PEM certificate") from error
    return certificate


def load_der_certificate(der: bytes) -> x509.Certificate:
    """A certificate in DER, from anybody. Raises CertificateError."""
    try:
        return x509.load_der_x509_certificate(der)
    except _BAD_DER as error:
        raise CertificateError("not a DER certificate") from error


def load_key(pem: str, passphrase: bytes | None = None) -> ec.EllipticCurvePrivateKey:
    """Parse a PEM P-256 private key. Raises CertificateError, never showing the key."""
    try:
        key = serialization.load_pem_private_key(pem.encode(), passphrase)
    except _BAD_DER as error:
        raise CertificateError("not a PEM private key, or the wrong passphrase") from error
    if not isinstance(key, ec.EllipticCurvePrivateKey):
        raise CertificateError("the private key is not an EC key")
    _require_p256(key.public_key())
    return key


def certificate_pem(certificate: x509.Certificate) -> str:
    """PEM text of a certificate."""
    return certificate.public_bytes(serialization.Encoding.PEM).decode()


def key_pem(key: ec.EllipticCurvePrivateKey, passphrase: bytes | None = None) -> str:
    """PKCS#8 PEM text of a private key; without a passphrase only for files with mode 0600."""
    encryption: serialization.KeySerializationEncryption = serialization.NoEncryption()
    if passphrase is not None:
        encryption = serialization.BestAvailableEncryption(passphrase)
    return key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, encryption
    ).decode()
