"""Listening sockets: every interface or one name, IPv4 and IPv6 on the same port; accepting."""

import contextlib
import errno
import socket
from collections.abc import Callable, Collection
from typing import Any

import trio

from client_lib.errors import UsageError

_BACKLOG = 4_096
_FREE_PORT_ATTEMPTS = 20
_FIRST_WORDS_S = 1
_ACCEPTS_PER_TURN = 64
_OUT_OF_FILES = {errno.EMFILE, errno.ENFILE, errno.ENOBUFS, errno.ENOMEM}
_BREATH_S = 0.05
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


async def accept_clients(
    listening: socket.socket,
    admit: Callable[[socket.socket, Any], None],
    *,
    on_exhausted: Callable[[str], None],
) -> None:
    """Accept until cancelled, then close the socket.

    `admit` takes each client's socket, non-blocking, and its address as `socket.accept` gives it.
    `on_exhausted` is told why when the system has no room for more: it may close some.
    """
    with contextlib.closing(listening):
        try:
            while True:
                await trio.lowlevel.wait_readable(listening)
                for _ in range(_ACCEPTS_PER_TURN):
                    try:
                        accepted, address = listening.accept()
                    except BlockingIOError:
                        break
                    except OSError as error:
                        if error.errno in _OUT_OF_FILES:
                            on_exhausted(error.strerror or "no room")
                            await trio.sleep(_BREATH_S)
                        break  # otherwise the client has gone already (ECONNABORTED, …)
                    accepted.setblocking(False)
                    admit(accepted, address)
        finally:
            trio.lowlevel.notify_closing(listening)


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
