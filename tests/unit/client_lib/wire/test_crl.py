"""Revocation lists: what is signed is read back, and only if the swarm CA signed it."""

import datetime as dt

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from hypothesis import given
from hypothesis import strategies as st

from client_lib.errors import CertificateError
from client_lib.wire.crl import RevocationList, build_crl
from tests.pki import SwarmPki

PKI = SwarmPki()
NOW = dt.datetime(2026, 11, 21, 12, tzinfo=dt.UTC)
NEXT = NOW + dt.timedelta(hours=1)
serials = st.integers(1, (1 << 159) - 1)


def build(revoked: set[int], *, pki: SwarmPki = PKI, number: int = 3) -> bytes:
    pairs = [(serial, NOW) for serial in revoked]
    return build_crl(pairs, ca=pki.ca, ca_key=pki.ca_key, number=number, now=NOW, next_update=NEXT)


@given(st.sets(serials, max_size=20), st.integers(1, (1 << 63) - 1))
def test_revoked_serials_are_read_back(revoked: set[int], number: int) -> None:
    read = RevocationList.from_der(build(revoked, number=number), ca=PKI.ca)
    assert read == RevocationList(frozenset(revoked), number, NOW, NEXT)


def test_another_ca_of_the_same_name_revokes_nothing() -> None:
    with pytest.raises(CertificateError, match="not signed by this swarm CA"):
        RevocationList.from_der(build({1}, pki=SwarmPki()), ca=PKI.ca)


def test_list_under_another_issuer_name_is_refused() -> None:
    renamed = SwarmPki(common_name="another CA", ca_key=PKI.ca_key)
    with pytest.raises(CertificateError, match="not signed by this swarm CA"):
        RevocationList.from_der(build({1}, pki=renamed), ca=PKI.ca)


def der_value(tag: int, content: bytes) -> bytes:
    length = bytes([len(content)]) if len(content) < 128 else bytes([0x81, len(content)])
    return bytes([tag]) + length + content


def test_list_without_next_update_is_refused() -> None:
    # cryptography's builder insists on nextUpdate: take the field out of the DER and sign again.
    body = x509.load_der_x509_crl(build(set())).tbs_certlist_bytes
    times = [at for at in range(len(body)) if body[at : at + 2] == b"\x17\x0d"]
    shorter = body[: times[1]] + body[times[1] + 15 :]
    shorter = der_value(0x30, shorter[2:])
    signature = PKI.ca_key.sign(shorter, ec.ECDSA(hashes.SHA256()))
    ecdsa_with_sha256 = bytes.fromhex("300a06082a8648ce3d040302")
    signed = der_value(0x30, shorter + ecdsa_with_sha256 + der_value(0x03, b"\x00" + signature))
    with pytest.raises(CertificateError, match="without nextUpdate"):
        RevocationList.from_der(signed, ca=PKI.ca)


def test_ca_that_is_not_ours_by_its_key_is_refused() -> None:
    key = rsa.generate_private_key(65537, 2048)
    name = x509.Name([])
    other = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(1)
        .not_valid_before(NOW)
        .not_valid_after(NEXT)
        .sign(key, hashes.SHA256())
    )
    with pytest.raises(CertificateError, match="EC key"):
        RevocationList.from_der(build(set()), ca=other)


DER = build({1, 1 << 100})


@given(st.data())
def test_damaged_list_is_refused(data: st.DataObject) -> None:
    der = bytearray(DER)
    at = data.draw(st.integers(0, len(der) - 1))
    der[at : at + data.draw(st.integers(0, 8))] = data.draw(st.binary(max_size=8))
    try:
        read = RevocationList.from_der(bytes(der), ca=PKI.ca)
    except CertificateError:
        return
    assert read == RevocationList.from_der(DER, ca=PKI.ca)


@given(st.binary(max_size=200))
def test_garbage_is_no_list(garbage: bytes) -> None:
    with pytest.raises(CertificateError):
        RevocationList.from_der(garbage, ca=PKI.ca)


def test_certificate_is_no_list() -> None:
    der = PKI.ca.public_bytes(serialization.Encoding.DER)
    with pytest.raises(CertificateError):
        RevocationList.from_der(der, ca=PKI.ca)
