"""Where a service is: an `https` URL taken apart."""

import urllib.parse
from dataclasses import dataclass

from client_lib.errors import UsageError

HTTPS_PORT = 443


@dataclass(frozen=True, slots=True)
class ServiceAddress:
    """Host, TCP port and the path that every request's path follows (mostly none)."""

    url: str
    host: str
    port: int
    base_path: str = ""

    @classmethod
    def from_url(cls, url: str) -> "ServiceAddress":
        """Parse `https://host[:port][/path]`. Raises UsageError."""
        base_path = ""
        try:
            parts = urllib.parse.urlsplit(url)
            host, port, base_path = parts.hostname, parts.port, parts.path.rstrip("/")
            fine = parts.scheme == "https" and host and port != 0 and not parts.query
        except ValueError:  # a port out of range, an unclosed [
            host, port, fine = None, None, False
        if "@" in url:  # said without the URL: it may hold a password
            raise UsageError("a service's address names no user: https://host or https://host:port")
        if not fine or not host or not url.isascii() or not url.isprintable() or " " in url:
            raise UsageError(
                f"{url!r} is not a service's address: https://host or https://host:port"
            )
        return cls(url, host, port or HTTPS_PORT, base_path)

    @property
    def authority(self) -> str:
        """`host:port` for a CONNECT request (RFC 9112, section 3.2.3)."""
        return f"{self._host}:{self.port}"

    @property
    def host_header(self) -> str:
        """Value of `Host`: without the port that `https` means (RFC 9110, section 7.2)."""
        return self._host if self.port == HTTPS_PORT else self.authority

    @property
    def _host(self) -> str:
        return f"[{self.host}]" if ":" in self.host else self.host
