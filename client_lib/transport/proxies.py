"""The proxy that the environment names, as other programs on the machine use it."""

import base64
import urllib.parse
from dataclasses import dataclass

from client_lib.errors import UsageError
from client_lib.transport.address import ServiceAddress

_PORTS = {"http": 80, "https": 443}
_NO_PROXY = "HTTPS_PROXY or ALL_PROXY is no HTTP proxy: http://[user:password@]host:port"


@dataclass(frozen=True, slots=True, repr=False)
class Proxy:
    """An HTTP proxy that makes tunnels (CONNECT). With `tls` it is itself spoken to over TLS."""

    host: str
    port: int
    tls: bool
    authorization: str | None

    def __repr__(self) -> str:
        """Never print its password."""
        return f"Proxy({self.host!r}, {self.port})"

    @classmethod
    def from_url(cls, url: str) -> "Proxy":
        """Parse `http[s]://[user:password@]host[:port]`. Raises UsageError without the password."""
        try:
            parts = urllib.parse.urlsplit(url if "://" in url else f"http://{url}")
            port = parts.port or _PORTS[parts.scheme]
        except (KeyError, ValueError):
            raise UsageError(_NO_PROXY) from None
        if not parts.hostname or parts.scheme not in _PORTS:
            raise UsageError(_NO_PROXY)
        return cls(parts.hostname, port, parts.scheme == "https", _basic(parts))


def environment_proxy(address: ServiceAddress) -> Proxy | None:
    """Proxy for `address`: HTTPS_PROXY or ALL_PROXY, unless NO_PROXY; or else the system's.

    Raises UsageError for one that we cannot use.
    """
    # Takes 15 ms to load, and only a store with a public certificate is reached through proxies.
    from urllib.request import getproxies, proxy_bypass

    proxies = getproxies()
    url = proxies.get("https") or proxies.get("all")
    if not url or proxy_bypass(address.authority):
        return None
    return Proxy.from_url(url)


def _basic(parts: urllib.parse.SplitResult) -> str | None:
    """Credentials of the URL for `Proxy-Authorization` (RFC 7617)."""
    if parts.username is None:
        return None
    pair = f"{urllib.parse.unquote(parts.username)}:{urllib.parse.unquote(parts.password or '')}"
    return f"Basic {base64.b64encode(pair.encode()).decode()}"
