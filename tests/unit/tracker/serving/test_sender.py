import base64
import ipaddress

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tracker.serving.head import Fields, HeadRefused, Sender
from tracker.serving.sender import TrustedProxies, by_connection, by_proxy


def fields(client_cert: bytes | None, forwarded_for: bytes | None = b"192.0.2.1") -> Fields:
    return Fields(True, client_cert, forwarded_for)


@given(st.binary(min_size=1, max_size=2_000), st.ip_addresses())
def test_a_proxy_tells_certificate_and_address(
    der: bytes, address: ipaddress.IPv4Address | ipaddress.IPv6Address
) -> None:
    sent = fields(b":" + base64.b64encode(der) + b":", f"10.0.0.1, {address}".encode())
    sender = by_proxy(sent)
    mapped = address.ipv4_mapped if address.version == 6 else None
    assert sender == Sender(der, (mapped or address).packed)


@pytest.mark.parametrize(
    ("client_cert", "forwarded_for", "status", "counted"),
    [
        (None, b"192.0.2.1", 403, "client_cert_missing"),
        (b"", b"192.0.2.1", 400, "client_cert_malformed"),
        (b":", b"192.0.2.1", 400, "client_cert_malformed"),
        (b"::", b"192.0.2.1", 400, "client_cert_malformed"),
        (b"AA==", b"192.0.2.1", 400, "client_cert_malformed"),
        (b":AA==", b"192.0.2.1", 400, "client_cert_malformed"),
        (b":AA==:;a=1", b"192.0.2.1", 400, "client_cert_malformed"),
        (b":AA:", b"192.0.2.1", 400, "client_cert_malformed"),
        (b":A A==:", b"192.0.2.1", 400, "client_cert_malformed"),
        (b":AA==AA==:", b"192.0.2.1", 400, "client_cert_malformed"),
        (b"-----BEGIN%20CERTIFICATE-----%0A", b"192.0.2.1", 400, "client_cert_malformed"),
        (b":AA==:", None, 400, "forwarded_for_malformed"),
        (b":AA==:", b"", 400, "forwarded_for_malformed"),
        (b":AA==:", b"192.0.2.1, unknown", 400, "forwarded_for_malformed"),
        (b":AA==:", b"192.0.2.1:1234", 400, "forwarded_for_malformed"),
        (b":AA==:", b"192.0.2.1\xff", 400, "forwarded_for_malformed"),
    ],
)
def test_what_a_proxy_must_not_say(
    client_cert: bytes | None, forwarded_for: bytes | None, status: int, counted: str
) -> None:
    with pytest.raises(HeadRefused) as refused:
        by_proxy(fields(client_cert, forwarded_for))
    assert (refused.value.status, refused.value.count_as) == (status, counted)


@given(st.binary(max_size=60), st.binary(max_size=40))
def test_hostile_fields_are_refused_or_tell_an_address(cert: bytes, forwarded: bytes) -> None:
    try:
        sender = by_proxy(fields(cert, forwarded))
    except HeadRefused:
        return
    assert len(sender.address) in (4, 16)


def test_over_our_own_tls_nobody_claims_a_certificate() -> None:
    by_connection(fields(None))
    with pytest.raises(HeadRefused) as refused:
        by_connection(fields(b":AA==:"))
    assert (refused.value.status, refused.value.count_as) == (400, "client_cert_claimed")


@pytest.mark.parametrize(
    ("address", "trusted"),
    [("127.0.0.1", True), ("10.1.2.3", True), ("10.2.0.1", False), ("::1", True), ("::2", False)],
)
def test_only_the_configured_networks_are_trusted(address: str, trusted: bool) -> None:
    proxies = TrustedProxies(["127.0.0.1/32", "10.1.0.0/16", "::1/128"])
    for _ in range(2):
        assert proxies.trusts(address) is trusted


def test_a_network_that_is_none_is_an_error() -> None:
    with pytest.raises(ValueError, match=r"10\.1\.2\.3/16"):
        TrustedProxies(["10.1.2.3/16"])
