"""A TLS connection to a service, straight or through a proxy's tunnel."""

import ssl

import h11
import trio

from client_lib.errors import UnreachableError
from client_lib.transport.address import ServiceAddress
from client_lib.transport.proxies import Proxy
from client_lib.transport.tls import system_context

CONNECT_WITHIN_S = 10.0
_READ_BYTES = 65_536
MAX_HEAD_BYTES = 65_536

TlsStream = trio.SSLStream[trio.abc.Stream]


async def connect(
    address: ServiceAddress, context: ssl.SSLContext, proxy: Proxy | None
) -> tuple[TlsStream, trio.SocketStream]:
    """Shake hands with the service; the TLS stream, and the TCP stream below it.

    Raises UnreachableError: nobody there, nobody whom we trust, or not within 10 seconds.
    """
    try:
        with trio.fail_after(CONNECT_WITHIN_S):
            where = (address.host, address.port) if proxy is None else (proxy.host, proxy.port)
            tcp = await trio.open_tcp_stream(*where)
            try:
                below: trio.abc.Stream = tcp
                if proxy is not None:
                    below = await _tunnel(tcp, proxy, address)
                return await _shake_hands(below, context, address.host), tcp
            except BaseException:
                await trio.aclose_forcefully(tcp)
                raise
    except trio.TooSlowError as error:
        raise UnreachableError(address.url, "no answer in time") from error
    except (OSError, ValueError, trio.BrokenResourceError) as error:  # ValueError: no host name
        raise UnreachableError(address.url, cause_in_words(error)) from error


async def _shake_hands(below: trio.abc.Stream, context: ssl.SSLContext, host: str) -> TlsStream:
    stream = trio.SSLStream(below, context, server_hostname=host, https_compatible=True)
    await stream.do_handshake()
    return stream


async def _tunnel(tcp: trio.SocketStream, proxy: Proxy, address: ServiceAddress) -> trio.abc.Stream:
    """Ask the proxy for a tunnel (RFC 9110, section 9.3.6)."""
    stream: trio.abc.Stream = tcp
    if proxy.tls:
        stream = await _shake_hands(tcp, system_context(), proxy.host)
    http = h11.Connection(h11.CLIENT, max_incomplete_event_size=MAX_HEAD_BYTES)
    headers = [("Host", address.authority)]
    if proxy.authorization is not None:
        headers.append(("Proxy-Authorization", proxy.authorization))
    asked = h11.Request(method="CONNECT", target=address.authority, headers=headers)
    await stream.send_all((http.send(asked) or b"") + (http.send(h11.EndOfMessage()) or b""))
    through = f"the proxy at {proxy.host}"
    try:
        while (event := http.next_event()) is h11.NEED_DATA:
            http.receive_data(bytes(await stream.receive_some(_READ_BYTES)))
    except h11.RemoteProtocolError as error:
        raise UnreachableError(address.url, f"{through} does not speak HTTP: {error}") from error
    if not isinstance(event, h11.Response) or not 200 <= event.status_code < 300:
        status = getattr(event, "status_code", "nothing")
        raise UnreachableError(address.url, f"{through} makes no tunnel: HTTP {status}")
    return stream


def cause_in_words(error: BaseException) -> str:
    """Innermost message of a connection's error: the outer ones say only that there was one."""
    words = type(error).__name__
    cause: BaseException | None = error
    while cause is not None:
        words = getattr(cause, "strerror", None) or str(cause) or words
        if isinstance(cause, BaseExceptionGroup):
            cause = cause.exceptions[0]
        else:
            cause = cause.__cause__ or cause.__context__
    return words
