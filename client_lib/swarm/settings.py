"""What a customer may choose about the session that takes part in swarms."""

import ipaddress
from dataclasses import dataclass

from client_lib.errors import UsageError


@dataclass(frozen=True, slots=True)
class SessionSettings:
    """What a customer may choose. Rates are in bytes per second, 0 = no limit.

    `listen_host` is an IP address, None for all IPv4 and IPv6 addresses; port 0 takes any free
    one. `limit_local_peers` applies the limits on loopback and private networks too, which
    libtorrent exempts otherwise. `port_mapping` asks the router for a port by UPnP and NAT-PMP.
    Without `upload` no payload leaves: for metered lines. Raises UsageError for what libtorrent
    would ignore.
    """

    listen_port: int = 6881
    listen_host: str | None = None
    upload_limit_bytes_s: int = 0
    download_limit_bytes_s: int = 0
    limit_local_peers: bool = False
    port_mapping: bool = False
    upload: bool = True

    def __post_init__(self) -> None:
        """Check the address and the ranges: libtorrent waits for ever for a host by name."""
        if self.listen_host is not None:
            try:
                ipaddress.ip_address(self.listen_host)
            except ValueError as error:
                raise UsageError(
                    f"cannot listen on {self.listen_host!r}: give an IP address such as 127.0.0.1"
                ) from error
        if not 0 <= self.listen_port <= 65535:
            raise UsageError(f"cannot listen on port {self.listen_port}: 0 to 65535")
        for limit in (self.upload_limit_bytes_s, self.download_limit_bytes_s):
            if not 0 <= limit < 1 << 31:
                raise UsageError(f"a rate limit of {limit} bytes/s: 0 (none) to {(1 << 31) - 1}")
