"""Leaving the fleet without breaking a download: who still needs a node that drains.

The order to drain is on disk before it is acknowledged: a node that is killed in the middle of it
goes on draining when it is started again. An orderly end takes it away.
"""

import datetime as dt
from pathlib import Path

import msgspec

from client_lib.durable import read_file_if_present, write_secret
from client_lib.errors import StorageError
from client_lib.wire.licence import LicenceIdField
from seeder.spread import Customer

_FILE = "draining.json"
SETTLED_S = 10.0
"""Before that nobody knows whether the others have taken over: two windows in which gains are
measured, and the time in which the fleet hears of it."""

RETURN_S = 75.0
"""How long a node that was killed while it drained waits for those who were there: libtorrent comes
back within a minute."""


class DrainOrder(msgspec.Struct, frozen=True):
    """What the operator wants: gone by `until`, with or without customers.

    `present` were there when it was given. They may come back; nobody else is taken.
    """

    until: dt.datetime
    present: frozenset[LicenceIdField]


class DrainState(msgspec.Struct, frozen=True):
    """How a drain goes. `alone`: no other node of the fleet takes over."""

    since: dt.datetime
    until: dt.datetime
    alone: bool
    waiting_for: int
    """Customers who still need this node."""


def needs_node(customer: Customer, floor_bytes_s: float, *, alone: bool) -> bool:
    """Whether a customer would miss us: it lacks pieces, and nobody else brings them.

    It does not as soon as it gains `floor_bytes_s` from others and has all that it was told of.
    """
    if customer.complete:
        return False
    return alone or bool(customer.given) or customer.elsewhere_bytes_s < max(1.0, floor_bytes_s)


def write_order(data: Path, order: DrainOrder) -> None:
    """Keep an order in the node's folder. Blocking. Raises StorageError."""
    write_secret(data / _FILE, msgspec.json.encode(order))


def read_order(data: Path) -> DrainOrder | None:
    """The order that a killed node had, None if there is none. Raises StorageError."""
    path = data / _FILE
    body = read_file_if_present(path)
    if body is None:
        return None
    try:
        return msgspec.json.decode(body, type=DrainOrder)
    except msgspec.DecodeError as error:
        raise StorageError(f"{path} is not an order to drain; delete it: {error}") from error


def forget_order(data: Path) -> None:
    """Take the order away. Blocking. Raises StorageError."""
    path = data / _FILE
    try:
        path.unlink(missing_ok=True)
    except OSError as error:
        raise StorageError(f"cannot delete {path}: {error.strerror}") from error
