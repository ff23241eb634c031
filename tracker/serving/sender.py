"""Who a request is from: told by the TLS connection, or by a proxy that we trust (RFC 9440)."""

import base64
import binascii
import functools
import ipaddress
import socket
from collections.abc import Sequence

from tracker.serving.head import Fields, HeadRefused, Sender
from tracker.serving.listening import packed_address


def by_connection(fields: Fields) -> None:
    """Over our own TLS the connection tells who it is, and no field may claim it."""
    if fields.client_cert is not None:
        raise HeadRefused(
            400, "Client-Cert is for proxies, which connect elsewhere", "client_cert_claimed"
        )


def by_proxy(fields: Fields) -> Sender:
    """Who a trusted proxy says that the request is from. Raises HeadRefused.

    `Client-Cert` is a byte sequence (RFC 8941, section 3.3.5) of the certificate's DER. The
    address is the last in `X-Forwarded-For`: the one that the proxy itself has seen.
    """
    value = fields.client_cert
    if value is None:
        raise HeadRefused(403, "no client certificate", "client_cert_missing")
    if len(value) < 3 or not value.startswith(b":") or not value.endswith(b":"):
        raise HeadRefused(400, "Client-Cert is not as RFC 9440 says", "client_cert_malformed")
    try:
        certificate_der = base64.b64decode(value[1:-1], validate=True)
    except binascii.Error as error:
        raise HeadRefused(
            400, "Client-Cert is not as RFC 9440 says", "client_cert_malformed"
        ) from error
    if fields.forwarded_for is None:
        raise HeadRefused(400, "no X-Forwarded-For", "forwarded_for_malformed")
    last = fields.forwarded_for.rpartition(b",")[2].strip()
    try:
        address = _packed(last.decode("ascii"))
    except ValueError as error:
        raise HeadRefused(
            400, "X-Forwarded-For does not end with an address", "forwarded_for_malformed"
        ) from error
    return Sender(certificate_der, address)


def _packed(host: str) -> bytes:
    try:
        return socket.inet_pton(socket.AF_INET, host)  # 0.2 µs against `packed_address`' 3
    except OSError:
        return packed_address(host)


class TrustedProxies:
    """The addresses whose `Client-Cert` is believed."""

    def __init__(self, networks: Sequence[str]) -> None:
        """Take networks such as `127.0.0.1/32` and `::1/128`. Raises ValueError for others."""
        self._networks = tuple(ipaddress.ip_network(network) for network in networks)
        # A few proxies open all the connections: looked up 4 µs, remembered 0.1 µs.
        self.trusts = functools.lru_cache(maxsize=1_024)(self._trusts)

    def _trusts(self, host: str) -> bool:
        """Whether an address is one of them, as `accept` tells it."""
        address = ipaddress.ip_address(packed_address(host))
        return any(address in network for network in self._networks)
