"""The fleet: central seeders that poll this tracker. Pure: times are arguments."""

import ipaddress
from collections.abc import Iterable
from dataclasses import dataclass

from client_lib.wire.demand import DemandQuery, FleetMember
from client_lib.wire.infohash import TruncatedInfoHash
from client_lib.wire.placement import STANDBYS, active_count, placed

SILENCE_S = 6.0
"""A seeder without an open poll is out of the fleet after so many seconds."""
MAX_NODES = 1_000
_MAX_POLLS_OF_NODE = 4
_MOST_REMEMBERED = 100_000


@dataclass(slots=True)
class _Node:
    query: DemandQuery
    addresses: tuple[str, ...]
    heard_s: float
    polls: int = 0


class Fleet:
    """Who polls, with what address and capacity, and since when nobody heard of it."""

    def __init__(self) -> None:
        """Start without any."""
        self._nodes: dict[str, _Node] = {}
        self._entries: dict[tuple[TruncatedInfoHash, int], tuple[bytes, bytes]] = {}

    def __len__(self) -> int:
        """Count the seeders."""
        return len(self._nodes)

    def has_room(self, seeder_id: str) -> bool:
        """Whether one more poll of this seeder may be held."""
        node = self._nodes.get(seeder_id)
        if node is None:
            return len(self._nodes) < MAX_NODES
        return node.polls < _MAX_POLLS_OF_NODE

    def begin(self, seeder_id: str, query: DemandQuery, address: str, now_s: float) -> bool:
        """Take the beginning of a poll from `address`; whether the others should hear of it."""
        addresses = query.addresses or (address,)
        node = self._nodes.get(seeder_id)
        if node is None:
            self._nodes[seeder_id] = _Node(query, addresses, now_s, 1)
            self._entries.clear()
            return True
        before = (node.query.port, node.query.capacity, node.query.draining, node.addresses)
        node.query, node.addresses, node.heard_s = query, addresses, now_s
        node.polls += 1
        changed = before != (query.port, query.capacity, query.draining, addresses)
        if changed:
            self._entries.clear()
        return changed

    def end(self, seeder_id: str, now_s: float) -> None:
        """Take the end of a poll, answered or not."""
        node = self._nodes.get(seeder_id)
        if node is not None:
            node.polls -= 1
            node.heard_s = now_s

    def expire(self, now_s: float) -> bool:
        """Forget seeders that went silent; whether there were any."""
        silent = [
            seeder_id
            for seeder_id, node in self._nodes.items()
            if not node.polls and now_s - node.heard_s > SILENCE_S
        ]
        for seeder_id in silent:
            del self._nodes[seeder_id]
            self._entries.clear()
        return bool(silent)

    def entries(self, info_hash: TruncatedInfoHash, leechers: int) -> tuple[bytes, bytes] | None:
        """Compact entries (IPv4, IPv6) of the seeders that a swarm's customers shall know.

        Those that serve it and those that stand by (`client_lib.wire.placement`): none at all while
        all of them drain; None if nobody polls. Remembered until the fleet changes: working it out
        takes 2 µs for every seeder there is.
        """
        if not self._nodes:
            return None
        count = active_count(leechers) + STANDBYS
        key = (info_hash, count)
        entries = self._entries.get(key)
        if entries is None:
            if len(self._entries) >= _MOST_REMEMBERED:
                self._entries.clear()
            entries = self._entries[key] = _compact(placed(info_hash.hex(), self.members(), count))
        return entries

    def members(self) -> tuple[FleetMember, ...]:
        """All of them, by seeder id."""
        return tuple(
            FleetMember(
                seeder_id,
                node.addresses,
                node.query.port,
                node.query.capacity,
                node.query.draining,
                int(node.heard_s),
            )
            for seeder_id, node in sorted(self._nodes.items())
        )


def _compact(members: Iterable[FleetMember]) -> tuple[bytes, bytes]:
    """Addresses and ports as BEP 23 and BEP 7 write them, by address family."""
    entries = {4: b"", 6: b""}
    for member in members:
        for text in member.addresses:
            address = ipaddress.ip_address(text)
            entries[address.version] += address.packed + member.port.to_bytes(2, "big")
    return entries[4], entries[6]
