"""What was taken and given, by licence and in all: the ledger of a good peer. Pure."""

from typing import Annotated

import msgspec

from client_lib.wire.licence import LicenceId

_Count = Annotated[int, msgspec.Meta(ge=0)]


class AlbumTraffic(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Payload bytes of one licence over all runs, by source; and for how long it was given."""

    name: str = ""
    from_seeders_bytes: _Count = 0
    from_web_seeds_bytes: _Count = 0
    from_customers_bytes: _Count = 0
    given_bytes: _Count = 0
    given_s: Annotated[float, msgspec.Meta(ge=0)] = 0.0

    @property
    def taken_bytes(self) -> int:
        """From all sources."""
        return self.from_seeders_bytes + self.from_web_seeds_bytes + self.from_customers_bytes

    def plus(self, other: "AlbumTraffic") -> "AlbumTraffic":
        """Add counts; the name stays."""
        return AlbumTraffic(
            self.name,
            self.from_seeders_bytes + other.from_seeders_bytes,
            self.from_web_seeds_bytes + other.from_web_seeds_bytes,
            self.from_customers_bytes + other.from_customers_bytes,
            self.given_bytes + other.given_bytes,
            self.given_s + other.given_s,
        )


class StoredTraffic(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """The ledger as a file. Of two files the one with the higher revision is newer."""

    revision: _Count = 0
    albums: dict[LicenceId, AlbumTraffic] = {}


class TrafficStats(msgspec.Struct, frozen=True):
    """All that a device took and gave; `albums` by licence."""

    total: AlbumTraffic
    albums: dict[LicenceId, AlbumTraffic]

    @classmethod
    def of(cls, stored: StoredTraffic) -> "TrafficStats":
        """Add up a ledger."""
        total = AlbumTraffic("total")
        for album in stored.albums.values():
            total = total.plus(album)
        return cls(total, stored.albums)

    @property
    def ratio(self) -> float | None:
        """Given per byte taken, None while nothing was taken."""
        taken = self.total.taken_bytes
        return self.total.given_bytes / taken if taken else None
