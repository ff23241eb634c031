"""What OpenSSL makes of our certificates, CSRs and CRLs: another implementation of RFC 5280."""

import datetime as dt
import shutil
import subprocess
from pathlib import Path

import pytest
from cryptography.hazmat.primitives import serialization

from client_lib.errors import CertificateError
from client_lib.wire import certificates
from client_lib.wire.certificates import HostIdentity, Identity, SeederIdentity, SignerIdentity
from client_lib.wire.crl import build_crl
from tests.pki import SwarmPki, licence_identity, utc_now

pytestmark = pytest.mark.skipif(not shutil.which("openssl"), reason="needs the openssl command")

PKI = SwarmPki()
ROLES: list[Identity] = [
    licence_identity(),
    SeederIdentity("seeder-1"),
    HostIdentity("tracker-1", ("localhost",)),
]


def openssl(*arguments: str | Path, stdin: bytes = b"") -> subprocess.CompletedProcess[bytes]:
    return subprocess.run(["openssl", *arguments], input=stdin, capture_output=True, check=False)


@pytest.fixture
def ca_file(tmp_path: Path) -> Path:
    path = tmp_path / "ca.pem"
    path.write_text(PKI.ca_pem)
    return path


def verify(ca_file: Path, pem: str, *options: str) -> subprocess.CompletedProcess[bytes]:
    return openssl("verify", "-x509_strict", "-CAfile", ca_file, *options, stdin=pem.encode())


@pytest.mark.parametrize("identity", ROLES, ids=lambda identity: type(identity).__name__)
@pytest.mark.parametrize("purpose", ["sslclient", "sslserver"])
def test_openssl_accepts_our_leaf_in_both_roles(
    ca_file: Path, identity: Identity, purpose: str
) -> None:
    leaf = PKI.issue(identity)
    answer = verify(ca_file, leaf.certificate_pem, "-purpose", purpose)
    assert answer.returncode == 0, answer.stderr


def test_openssl_refuses_the_signer_as_a_peer(ca_file: Path) -> None:
    signer = PKI.issue(SignerIdentity(1, "com.example.shop"))
    assert verify(ca_file, signer.certificate_pem).returncode == 0
    for purpose in ("sslclient", "sslserver"):
        answer = verify(ca_file, signer.certificate_pem, "-purpose", purpose)
        assert answer.returncode != 0
        assert b"unsuitable certificate purpose" in answer.stderr


def test_openssl_refuses_what_we_refuse(tmp_path: Path, ca_file: Path) -> None:
    now = utc_now()
    expired, stranger = PKI.expired(licence_identity()), SwarmPki().issue(licence_identity())
    seeder = PKI.issue(SeederIdentity("s"))
    below = certificates.issue(
        licence_identity(),
        certificates.new_key().public_key(),
        ca=seeder.certificate,
        ca_key=seeder.key,
        serial=1,
        now=now,
    )
    chain = tmp_path / "chain.pem"
    chain.write_text(seeder.certificate_pem)
    for leaf in (expired.certificate, stranger.certificate, below):
        pem = certificates.certificate_pem(leaf)
        assert verify(ca_file, pem, "-untrusted", str(chain)).returncode != 0
        with pytest.raises(CertificateError):
            certificates.verify_issued(leaf, PKI.ca, now)


def test_openssl_reads_the_names_of_a_licence() -> None:
    identity = licence_identity()
    leaf = PKI.issue(identity)
    text = openssl(
        "x509", "-noout", "-subject", "-ext", "subjectAltName,extendedKeyUsage,basicConstraints",
        stdin=leaf.certificate_pem.encode(),
    ).stdout.decode()  # fmt: skip
    assert f"subject=CN = {identity.licence_id}" in text
    assert (
        f"DNS:{identity.name}, URI:urn:albumswarm:licence:{identity.licence_id}, "
        f"URI:urn:btmh:{identity.info_hash.btmh}"
    ) in text
    assert "TLS Web Server Authentication, TLS Web Client Authentication" in text
    assert "CA:FALSE" in text


def test_openssl_verifies_our_csr_and_we_take_one_of_its() -> None:
    key = certificates.new_key()
    answer = openssl("req", "-verify", "-noout", stdin=certificates.make_csr(key).encode())
    assert answer.returncode == 0, answer.stderr
    theirs = openssl(
        "req", "-new", "-key", "/dev/stdin", "-subj", "/CN=me",
        stdin=certificates.key_pem(key).encode(),
    )  # fmt: skip
    assert certificates.public_key_from_csr(theirs.stdout.decode()) == key.public_key()


def test_openssl_verifies_our_crl_and_honours_it(tmp_path: Path, ca_file: Path) -> None:
    now = utc_now()
    good, revoked = PKI.issue(licence_identity()), PKI.issue(licence_identity(number=2))
    der = build_crl(
        [(revoked.certificate.serial_number, now)],
        ca=PKI.ca,
        ca_key=PKI.ca_key,
        number=1,
        now=now,
        next_update=now + dt.timedelta(hours=1),
    )
    answer = openssl("crl", "-inform", "DER", "-CAfile", ca_file, "-verify", "-noout", stdin=der)
    assert answer.returncode == 0
    assert b"verify OK" in answer.stderr
    stranger = tmp_path / "other.pem"
    stranger.write_text(SwarmPki().ca_pem)
    answer = openssl("crl", "-inform", "DER", "-CAfile", stranger, "-verify", "-noout", stdin=der)
    assert b"verify OK" not in answer.stderr

    crl_file = tmp_path / "crl.pem"
    crl_file.write_bytes(openssl("crl", "-inform", "DER", stdin=der).stdout)
    check = ("-crl_check", "-CRLfile", str(crl_file))
    assert verify(ca_file, good.certificate_pem, *check).returncode == 0
    answer = verify(ca_file, revoked.certificate_pem, *check)
    assert b"certificate revoked" in answer.stderr


def test_openssl_reads_our_private_key() -> None:
    key = certificates.new_key()
    answer = openssl("pkey", "-check", "-noout", stdin=certificates.key_pem(key).encode())
    assert b"Key is valid" in answer.stdout + answer.stderr
    public = openssl("pkey", "-pubout", "-outform", "DER", stdin=certificates.key_pem(key).encode())
    assert public.stdout == key.public_key().public_bytes(
        serialization.Encoding.DER, serialization.PublicFormat.SubjectPublicKeyInfo
    )
