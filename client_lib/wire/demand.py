"""The demand feed: what a central seeder tells its tracker, and where it is needed.

`GET /v1/demand/<seeder id>?…` as a long poll, JSON. `docs/protocol/demand.md` has examples.
"""

import ipaddress
from dataclasses import dataclass
from typing import Annotated
from urllib.parse import parse_qsl, urlencode

import msgspec

from client_lib.errors import AnnounceError
from client_lib.wire.not_json import NOT_JSON

DEMAND_PREFIX = "/v1/demand/"
DEMAND_REFUSED = "urn:albumswarm:problem:demand-refused"
"""Type of the problem document that a client without a seeder's valid certificate gets."""
HOLD_S = 20.0
"""A poll is answered after so many seconds at the latest, if nothing changes before."""
MAX_ADDRESSES = 4
MAX_CAPACITY = 10**12
MAX_DEMAND_BYTES = 32 << 20
"""A full answer with 100,000 swarms has 15 MB."""
_MAX_QUERY_CHARACTERS = 1_000
_MAX_VERSION = 2**53

InfoHashHex = Annotated[str, msgspec.Meta(pattern=r"^[0-9a-f]{40}(?!\n)$")]
"""Truncated info-hash, as it is announced."""
_Count = Annotated[int, msgspec.Meta(ge=0)]
_Port = Annotated[int, msgspec.Meta(ge=1, le=65_535)]


@dataclass(frozen=True, slots=True)
class DemandQuery:
    """What a seeder says with each poll. Raises AnnounceError.

    `addresses` are those of its peers' port, none for the one that it polls from; `capacity` is
    what it can send, bytes/s; `version` is that of the last answer, 0 for none.
    """

    port: int
    capacity: int
    draining: bool = False
    version: int = 0
    addresses: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        """Refuse what no seeder can mean."""
        if not 1 <= self.port <= 65_535:
            raise AnnounceError("port is from 1 to 65535")
        if not 0 <= self.capacity <= MAX_CAPACITY:
            raise AnnounceError(f"capacity is from 0 to {MAX_CAPACITY} bytes/s")
        if not 0 <= self.version <= _MAX_VERSION:
            raise AnnounceError("version is that of an answer, or 0")
        if len(self.addresses) > MAX_ADDRESSES:
            raise AnnounceError(f"more than {MAX_ADDRESSES} addresses")
        for address in self.addresses:
            if not _is_address(address):
                raise AnnounceError("address is not an IPv4 or IPv6 address")

    @classmethod
    def from_query(cls, raw: bytes) -> "DemandQuery":
        """Parse a query string (without `?`). Parameters that we do not know are ignored."""
        if len(raw) > _MAX_QUERY_CHARACTERS:
            raise AnnounceError(f"query of more than {_MAX_QUERY_CHARACTERS} characters")
        try:
            pairs = parse_qsl(raw.decode("ascii"), keep_blank_values=True, max_num_fields=32)
        except ValueError as error:
            raise AnnounceError("the query is malformed") from error
        values: dict[str, str] = {}
        addresses: list[str] = []
        for name, value in pairs:
            if name == "address":
                addresses.append(value)
            elif name in ("port", "capacity", "draining", "version"):
                if name in values:
                    raise AnnounceError(f"{name} given twice")
                values[name] = value
        draining = values.get("draining", "0")
        if draining not in ("0", "1"):
            raise AnnounceError("draining is 0 or 1")
        return cls(
            port=_number(values, "port"),
            capacity=_number(values, "capacity"),
            draining=draining == "1",
            version=_number(values, "version") if "version" in values else 0,
            addresses=tuple(addresses),
        )

    def to_query(self) -> str:
        """Write the query string."""
        return urlencode(
            [
                *(("address", address) for address in self.addresses),
                ("port", self.port),
                ("capacity", self.capacity),
                ("draining", int(self.draining)),
                ("version", self.version),
            ]
        )


def _is_address(text: str) -> bool:
    try:
        address = ipaddress.ip_address(text)
    except ValueError:
        return False
    # A zone (`fe80::1%eth0`) means something on one machine alone, and is as long as one likes:
    # no seeder could read an answer with it.
    return address.version == 4 or address.scope_id is None


def _number(values: dict[str, str], name: str) -> int:
    digits = values.get(name)
    if digits is None:
        raise AnnounceError(f"{name} is missing")
    if not digits.isascii() or not digits.isdigit() or len(digits) > 19:
        raise AnnounceError(f"{name} is not a decimal number")
    return int(digits)


class FleetMember(msgspec.Struct, frozen=True):
    """One central seeder that polls this tracker. `heard_at`: POSIX seconds."""

    seeder_id: Annotated[str, msgspec.Meta(max_length=64)]
    addresses: tuple[Annotated[str, msgspec.Meta(max_length=45)], ...]
    port: _Port
    capacity: _Count
    draining: bool
    heard_at: _Count


class SwarmDemand(msgspec.Struct, frozen=True):
    """A swarm with leechers, and what they have left as of their last announces, rounded up.

    `left_bytes` is what they lack together, `largest_left_bytes` what the one lacks that lacks
    most.
    """

    info_hash: InfoHashHex
    leechers: _Count
    complete: _Count
    """Customers with the whole album."""
    central: _Count
    left_bytes: _Count
    largest_left_bytes: _Count


class RevokedPeer(msgspec.Struct, frozen=True):
    """Where a peer was whose certificate was revoked: not to be served any more."""

    info_hash: InfoHashHex
    address: Annotated[str, msgspec.Meta(max_length=45)]
    port: _Port
    revoked_at: _Count


class Demand(msgspec.Struct, frozen=True):
    """The answer to a poll.

    With `full` it is all there is, and what the seeder knew before is void. Otherwise `swarms` are
    those that changed since the version of the query, `cold` those that lost their last leecher,
    and `revoked` what is new. `fleet` is always complete.
    """

    version: Annotated[int, msgspec.Meta(ge=0, le=_MAX_VERSION)]
    full: bool
    fleet: tuple[FleetMember, ...]
    swarms: tuple[SwarmDemand, ...]
    cold: tuple[InfoHashHex, ...]
    revoked: tuple[RevokedPeer, ...]

    def encode(self) -> bytes:
        """JSON."""
        return msgspec.json.encode(self)

    @classmethod
    def decode(cls, data: bytes) -> "Demand":
        """Parse an answer. Raises AnnounceError."""
        try:
            return _DECODER.decode(data)
        except NOT_JSON as error:
            raise AnnounceError(f"not an answer of the demand feed: {error}") from error


_DECODER = msgspec.json.Decoder(Demand)
