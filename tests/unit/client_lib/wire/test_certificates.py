"""Certificate profiles: what we issue is read back, and nothing off the profile is."""

import base64
import datetime as dt
from collections.abc import Callable

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID
from hypothesis import given
from hypothesis import strategies as st

from client_lib.errors import CertificateError
from client_lib.wire import certificates
from client_lib.wire.certificates import (
    HostIdentity,
    Identity,
    LicenceIdentity,
    SeederIdentity,
    SignerIdentity,
    identify,
    verify_issued,
)
from client_lib.wire.infohash import InfoHash
from client_lib.wire.licence import licence_id_from
from client_lib.wire.release import TorrentName
from tests.pki import SwarmPki, licence_identity, utc_now

PKI = SwarmPki()
KEY = certificates.new_key()
NOW = dt.datetime(2026, 11, 21, 12, tzinfo=dt.UTC)
ROLES: list[Identity] = [
    licence_identity(),
    SeederIdentity("seeder-1"),
    HostIdentity("tracker-1", ("tracker.shop.example", "localhost")),
    SignerIdentity(7, "com.example.shop"),
]

node_ids = st.from_regex(r"[a-z0-9][a-z0-9-]{0,47}", fullmatch=True)
labels = st.from_regex(r"[a-z0-9]([a-z0-9-]{0,10}[a-z0-9])?", fullmatch=True)
host_names = labels | st.lists(labels, min_size=3, max_size=4).map(".".join)
identities: st.SearchStrategy[Identity] = st.one_of(
    st.builds(
        LicenceIdentity,
        st.binary(min_size=16, max_size=16).map(licence_id_from),
        st.from_regex(r"[a-z0-9][a-z0-9-]{0,47}\.[a-z0-9-]{1,15}", fullmatch=True).map(TorrentName),
        st.binary(min_size=32, max_size=32).map(InfoHash),
    ),
    st.builds(SeederIdentity, node_ids),
    st.builds(
        HostIdentity,
        node_ids,
        st.lists(host_names, min_size=1, max_size=16).map(tuple),
    ),
    st.builds(
        SignerIdentity,
        st.integers(0, 10**9 - 1),
        st.lists(labels, min_size=3, max_size=4).map(".".join),
    ),
)


def issue(identity: Identity, key: ec.EllipticCurvePublicKey) -> x509.Certificate:
    return certificates.issue(
        identity, key, ca=PKI.ca, ca_key=PKI.ca_key, serial=x509.random_serial_number(), now=NOW
    )


@given(identities)
def test_whoever_it_is_issued_to_is_read_back(identity: Identity) -> None:
    certificate = issue(identity, KEY.public_key())
    pem = certificates.certificate_pem(certificate)
    assert identify(certificates.load_certificate(pem)) == identity


@pytest.mark.parametrize(
    ("identity", "days"), [(ROLES[0], 1), (ROLES[1], 1), (ROLES[2], 30), (ROLES[3], 365)]
)
def test_every_role_has_its_lifetime(identity: Identity, days: int) -> None:
    lifetime = dt.timedelta(days=days)
    certificate = issue(identity, KEY.public_key())
    assert certificate.not_valid_after_utc == NOW + lifetime
    assert certificate.not_valid_before_utc == NOW - dt.timedelta(hours=1)


def test_no_leaf_outlives_its_ca() -> None:
    late = PKI.ca.not_valid_after_utc - dt.timedelta(hours=3)
    leaf = PKI.issue(SeederIdentity("s"), now=late)
    assert leaf.certificate.not_valid_after_utc == PKI.ca.not_valid_after_utc


def test_certificate_is_valid_from_an_hour_ago_until_its_end() -> None:
    certificate = issue(licence_identity(), KEY.public_key())
    hour, second = dt.timedelta(hours=1), dt.timedelta(seconds=1)
    verify_issued(certificate, PKI.ca, NOW - hour)
    verify_issued(certificate, PKI.ca, NOW + 24 * hour)
    with pytest.raises(CertificateError, match="valid only from 2026-11-21 11:00"):
        verify_issued(certificate, PKI.ca, NOW - hour - second)
    with pytest.raises(CertificateError, match="expired at 2026-11-22 12:00"):
        verify_issued(certificate, PKI.ca, NOW + 24 * hour + second)


def test_another_ca_of_the_same_name_is_not_ours() -> None:
    other = SwarmPki()
    assert other.ca.subject == PKI.ca.subject
    leaf = other.issue(licence_identity())
    with pytest.raises(CertificateError, match="not signed by this swarm CA"):
        verify_issued(leaf.certificate, PKI.ca, utc_now())


def test_intermediate_under_our_ca_admits_nobody() -> None:
    seeder = PKI.issue(SeederIdentity("s"))
    forged = certificates.issue(
        licence_identity(),
        KEY.public_key(),
        ca=seeder.certificate,
        ca_key=seeder.key,
        serial=1,
        now=utc_now(),
    )
    with pytest.raises(CertificateError, match="not signed by this swarm CA"):
        verify_issued(forged, PKI.ca, utc_now())


type_of_key = ec.EllipticCurvePrivateKey | rsa.RSAPrivateKey


class Profile:
    """A licence certificate taken apart, to be bent before it is signed by the real CA."""

    def __init__(self) -> None:
        identity = licence_identity()
        self.subject = [x509.NameAttribute(NameOID.COMMON_NAME, identity.licence_id)]
        self.names: list[x509.GeneralName] = [
            x509.DNSName(identity.name),
            x509.UniformResourceIdentifier(f"urn:albumswarm:licence:{identity.licence_id}"),
            x509.UniformResourceIdentifier(f"urn:btmh:{identity.info_hash.btmh}"),
        ]
        self.usages = [ExtendedKeyUsageOID.SERVER_AUTH, ExtendedKeyUsageOID.CLIENT_AUTH]
        self.ca = False
        self.signs_certificates = False
        self.key: type_of_key = KEY
        self.without: type[x509.ExtensionType] | None = None

    def sign(self) -> x509.Certificate:
        extensions: list[x509.ExtensionType] = [
            x509.BasicConstraints(ca=self.ca, path_length=None),
            x509.KeyUsage(
                True, False, False, False, False, self.signs_certificates, False, False, False
            ),
            x509.ExtendedKeyUsage(self.usages),
            x509.SubjectAlternativeName(self.names),
        ]
        builder = (
            x509.CertificateBuilder()
            .subject_name(x509.Name(self.subject))
            .issuer_name(PKI.ca.subject)
            .public_key(self.key.public_key())
            .serial_number(x509.random_serial_number())
            .not_valid_before(NOW)
            .not_valid_after(NOW + dt.timedelta(days=1))
        )
        for extension in extensions:
            if type(extension) is not self.without:
                builder = builder.add_extension(extension, critical=False)
        return builder.sign(PKI.ca_key, hashes.SHA256())


def test_profile_as_it_should_be_is_taken() -> None:
    assert identify(Profile().sign()) == licence_identity()


def _common_name(value: str) -> list[x509.NameAttribute[str]]:
    return [x509.NameAttribute(NameOID.COMMON_NAME, value)]


OFF_PROFILE: dict[str, Callable[[Profile], object]] = {
    "it is a CA": lambda p: setattr(p, "ca", True),
    "it signs certificates": lambda p: setattr(p, "signs_certificates", True),
    "another torrent's name beside ours": lambda p: p.names.append(x509.DNSName("other.flac")),
    "star name": lambda p: p.names.__setitem__(0, x509.DNSName("*")),
    "extra e-mail": lambda p: p.names.append(x509.RFC822Name("me@example.org")),
    "extra address": lambda p: p.names.append(
        x509.UniformResourceIdentifier("urn:albumswarm:seeder:s")
    ),
    "seeder role first": lambda p: p.names.insert(
        1, x509.UniformResourceIdentifier("urn:albumswarm:seeder:s")
    ),
    "no info-hash": lambda p: p.names.pop(),
    "info-hash of another hash function": lambda p: p.names.__setitem__(
        2, x509.UniformResourceIdentifier("urn:btmh:1114" + "0" * 64)
    ),
    "uppercase licence id": lambda p: p.names.__setitem__(
        1, x509.UniformResourceIdentifier("urn:albumswarm:licence:" + "A" * 26)
    ),
    "no names": lambda p: setattr(p, "without", x509.SubjectAlternativeName),
    "no key usage": lambda p: setattr(p, "without", x509.KeyUsage),
    "no extended key usage": lambda p: setattr(p, "without", x509.ExtendedKeyUsage),
    "no basic constraints": lambda p: setattr(p, "without", x509.BasicConstraints),
    "server only": lambda p: p.usages.pop(),
    "code signing too": lambda p: p.usages.append(ExtendedKeyUsageOID.CODE_SIGNING),
    "any usage": lambda p: setattr(p, "usages", [ExtendedKeyUsageOID.ANY_EXTENDED_KEY_USAGE]),
    "common name is another torrent's": lambda p: setattr(
        p, "subject", _common_name("rel-0002.flac")
    ),
    "common name is the star": lambda p: setattr(p, "subject", _common_name("*")),
    "two common names": lambda p: p.subject.append(_common_name("rel-0002.flac")[0]),
    "no subject": lambda p: p.subject.clear(),
    "RSA key": lambda p: setattr(p, "key", rsa.generate_private_key(65537, 2048)),
    "P-384 key": lambda p: setattr(p, "key", ec.generate_private_key(ec.SECP384R1())),
}


@pytest.mark.parametrize("bend", OFF_PROFILE.values(), ids=OFF_PROFILE)
def test_certificate_off_its_profile_is_nobody(bend: Callable[[Profile], object]) -> None:
    profile = Profile()
    bend(profile)
    with pytest.raises(CertificateError):
        identify(profile.sign())


def test_the_ca_itself_is_nobody() -> None:
    with pytest.raises(CertificateError):
        identify(PKI.ca)


@pytest.mark.parametrize(
    "make",
    [
        lambda: SeederIdentity("Seeder"),
        lambda: SeederIdentity(""),
        lambda: HostIdentity("h", ()),
        lambda: HostIdentity("h", ("*",)),
        lambda: HostIdentity("h", ("*.shop.example",)),
        lambda: HostIdentity("h", ("localhost:8443",)),
        lambda: HostIdentity("h", ("a",) * 17),
        lambda: HostIdentity("h", ("x" * 64,)),
        lambda: HostIdentity("h", ("rel-0001.flac",)),  # is a torrent's name
        lambda: SignerIdentity(1, "example.shop"),  # could be a torrent's name
        lambda: SignerIdentity(-1, "com.example.shop"),
        lambda: SignerIdentity(10**9, "com.example.shop"),
    ],
)
def test_identity_of_the_wrong_shape_is_refused(make: Callable[[], object]) -> None:
    with pytest.raises(CertificateError):
        make()


DERS = [issue(role, KEY.public_key()).public_bytes(serialization.Encoding.DER) for role in ROLES]
TBS = {x509.load_der_x509_certificate(der).tbs_certificate_bytes for der in DERS}


def as_pem(der: bytes, label: str = "CERTIFICATE") -> str:
    body = base64.encodebytes(der).decode()
    return f"-----BEGIN {label}-----\n{body}-----END {label}-----\n"


@given(st.data())
def test_damaged_certificate_is_a_certificate_error_and_never_ours(data: st.DataObject) -> None:
    der = bytearray(data.draw(st.sampled_from(DERS)))
    for _ in range(data.draw(st.integers(1, 3))):
        at = data.draw(st.integers(0, len(der) - 1))
        if data.draw(st.booleans()):
            der[at] = data.draw(st.integers(0, 255))
        else:
            der[at : at + data.draw(st.integers(0, 8))] = data.draw(st.binary(max_size=8))
    try:
        certificate = certificates.load_certificate(as_pem(bytes(der)))
    except CertificateError:
        return
    for check in (identify, lambda leaf: verify_issued(leaf, PKI.ca, NOW)):
        try:
            check(certificate)
        except CertificateError:
            continue
        if check is not identify:
            assert certificate.tbs_certificate_bytes in TBS


def test_unsupported_names_are_a_certificate_error() -> None:
    """A general name of type x400Address: cryptography has an exception of its own for it."""
    der = DERS[1].replace(b"\x82\x01*", b"\xa3\x01*")
    assert der != DERS[1]
    with pytest.raises(CertificateError):
        identify(certificates.load_certificate(as_pem(der)))


@given(st.text(max_size=200) | st.binary(max_size=300).map(as_pem))
def test_garbage_is_no_certificate_no_key_and_no_csr(text: str) -> None:
    for parse in (
        certificates.load_certificate,
        certificates.load_key,
        certificates.public_key_from_csr,
    ):
        with pytest.raises(CertificateError):
            parse(text)


def test_two_certificates_are_not_one() -> None:
    with pytest.raises(CertificateError, match="not one PEM certificate"):
        certificates.load_certificate(PKI.ca_pem * 2)


def test_key_survives_its_pem_and_errors_never_show_it() -> None:
    pem = certificates.key_pem(KEY)
    assert certificates.load_key(pem).private_numbers() == KEY.private_numbers()
    lines = pem.splitlines()
    with pytest.raises(CertificateError) as damaged:
        certificates.load_key(pem.replace("M", "N", 1))
    assert lines[1][:20] not in str(damaged.value)
    for other in (ec.generate_private_key(ec.SECP384R1()), rsa.generate_private_key(65537, 2048)):
        wrong = other.private_bytes(
            serialization.Encoding.PEM,
            serialization.PrivateFormat.PKCS8,
            serialization.NoEncryption(),
        ).decode()
        with pytest.raises(CertificateError, match="EC key"):
            certificates.load_key(wrong)


def csr(key: type_of_key, subject: str = "root") -> x509.CertificateSigningRequest:
    builder = x509.CertificateSigningRequestBuilder().subject_name(x509.Name(_common_name(subject)))
    builder = builder.add_extension(x509.BasicConstraints(True, None), critical=True)
    builder = builder.add_extension(
        x509.SubjectAlternativeName([x509.DNSName("*")]), critical=False
    )
    return builder.sign(key, hashes.SHA256())


def csr_pem(request: x509.CertificateSigningRequest) -> str:
    return request.public_bytes(serialization.Encoding.PEM).decode()


def test_only_the_key_of_a_csr_is_taken() -> None:
    key = certificates.public_key_from_csr(csr_pem(csr(KEY, subject="rel-0002.flac")))
    assert key == KEY.public_key()
    leaf = issue(licence_identity(), key)
    assert identify(leaf) == licence_identity()
    assert leaf.subject.rfc4514_string() == f"CN={licence_identity().licence_id}"
    request = x509.load_pem_x509_csr(certificates.make_csr(KEY).encode())
    assert request.subject == x509.Name([])
    assert certificates.public_key_from_csr(csr_pem(request)) == KEY.public_key()


def test_csr_that_its_key_did_not_sign_is_refused() -> None:
    der = bytearray(csr(KEY, subject="abc").public_bytes(serialization.Encoding.DER))
    at = der.index(b"abc")
    der[at : at + 3] = b"abd"
    with pytest.raises(CertificateError, match="signature is wrong"):
        certificates.public_key_from_csr(as_pem(bytes(der), "CERTIFICATE REQUEST"))


@pytest.mark.parametrize(
    "key",
    [ec.generate_private_key(ec.SECP384R1()), rsa.generate_private_key(65537, 2048)],
    ids=["P-384", "RSA"],
)
def test_csr_with_a_key_of_another_kind_is_refused(key: type_of_key) -> None:
    with pytest.raises(CertificateError, match="P-256"):
        certificates.public_key_from_csr(csr_pem(csr(key)))


def test_huge_csr_is_refused_before_it_is_parsed() -> None:
    huge = csr_pem(csr(KEY)) + "\n" * certificates.MAX_CSR_BYTES
    with pytest.raises(CertificateError, match="at most 4096"):
        certificates.public_key_from_csr(huge)


CSR_DER = csr(KEY).public_bytes(serialization.Encoding.DER)


@given(st.data())
def test_damaged_csr_gives_a_certificate_error_or_the_key(data: st.DataObject) -> None:
    der = bytearray(CSR_DER)
    at = data.draw(st.integers(0, len(der) - 1))
    der[at : at + data.draw(st.integers(0, 4))] = data.draw(st.binary(max_size=4))
    try:
        key = certificates.public_key_from_csr(as_pem(bytes(der), "CERTIFICATE REQUEST"))
    except CertificateError:
        return
    assert key == KEY.public_key()
