"""Listening sockets: every interface or one name, IPv4 and IPv6 on the same port."""

import errno
import socket
from collections.abc import Collection

import trio

from client_lib.errors import UsageError

_BACKLOG = 4_096
_FREE_PORT_ATTEMPTS = 20
_FIRST_WORDS_S = 1
_NOT_THERE = (errno.EADDRNOTAVAIL, errno.EAFNOSUPPORT)


async def open_sockets(
    host: str, port: int, *, clients_speak_first: bool = False
) -> list[socket.socket]:
    """Listen on all addresses of `host` ("" for every interface), all on one port.

    Port 0 takes any free one. With `clients_speak_first` the kernel keeps connections until there
    is something to read, a second or so at most. Raises UsageError naming what cannot be listened
    on.
    """
    name = f"{host or '*'}:{port}"
    try:
        found = await trio.socket.getaddrinfo(
            host or None, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE
        )
    except OSError as error:
        raise UsageError(f"cannot listen on {name}: {error.strerror}") from error
    addresses = dict.fromkeys((family, str(address[0])) for family, *_, address in found)
    attempts_left = _FREE_PORT_ATTEMPTS if port == 0 else 1
    while True:
        try:
            return _all_listening(addresses, port, clients_speak_first)
        except OSError as error:
            attempts_left -= 1
            # A port that was free for IPv4 may be taken for IPv6: then try another.
            if not attempts_left or error.errno != errno.EADDRINUSE:
                raise UsageError(f"cannot listen on {name}: {error.strerror}") from error


def _all_listening(
    addresses: Collection[tuple[socket.AddressFamily, str]], port: int, clients_speak_first: bool
) -> list[socket.socket]:
    """Listen on all of them, on the port that the first one gets. Raises OSError."""
    sockets: list[socket.socket] = []
    absent: OSError | None = None
    for family, address in addresses:
        try:
            sockets.append(_listening(family, address, port, clients_speak_first))
        except OSError as error:
            if error.errno not in _NOT_THERE:
                for opened in sockets:
                    opened.close()
                raise
            absent = error  # a machine without IPv6 may still resolve names to it
        else:
            port = sockets[0].getsockname()[1]
    if absent is not None and not sockets:
        raise absent
    return sockets


def _listening(
    family: socket.AddressFamily, address: str, port: int, clients_speak_first: bool
) -> socket.socket:
    opened = socket.socket(family, socket.SOCK_STREAM)
    try:
        opened.setblocking(False)
        opened.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        # Accepted sockets inherit it: answers go out without waiting for delayed ACKs.
        opened.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        if clients_speak_first:
            opened.setsockopt(socket.IPPROTO_TCP, socket.TCP_DEFER_ACCEPT, _FIRST_WORDS_S)
        if family == socket.AF_INET6:
            opened.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
        opened.bind((address, port))
        opened.listen(_BACKLOG)
    except OSError:
        opened.close()
        raise
    return opened
