"""The peers of a swarm in one address family, found by owner."""

import struct
from collections.abc import Sequence
from operator import itemgetter

from tracker.swarms.peers import (
    CLIENT_BYTES,
    MAX_PEERS_OF_OWNER,
    OWNER_BYTES,
    STANDINGS,
    ClientTag,
    Owner,
    Standing,
)
from tracker.swarms.pool import DEADLINE_BYTES, Pool

STANDING_BITS = 2
STANDING_MASK = 3
NUMBERS = (b"", *(bytes([number]) for number in range(1, MAX_PEERS_OF_OWNER)))
_SLOT = struct.Struct(f"<{OWNER_BYTES}sB")
_COUNT = struct.Struct("<I")


class Side:
    """One address family of a swarm.

    A peer's slot is its owner and a number: the owner alone for its first peer, then one byte
    more. An owner's numbers are without gaps, so its peers are found by one look-up more than
    there are, without a list per owner. `positions` maps a slot to index and standing.
    """

    __slots__ = ("further", "pools", "positions")

    def __init__(self, entry_bytes: int) -> None:
        """Make an empty side of entries of 6 or 18 bytes."""
        self.pools = tuple(Pool(entry_bytes) for _ in Standing)
        self.positions: dict[bytes, int] = {}
        self.further = 0
        """Peers that are not their owner's first. While there is none, nobody needs to look."""

    def where(self, slot: bytes) -> tuple[Pool, int, Standing]:
        """Pool, index in it, and standing of a peer."""
        position = self.positions[slot]
        standing = STANDINGS[position & STANDING_MASK]
        return self.pools[standing], position >> STANDING_BITS, standing

    def slots(self, owner: Owner) -> Sequence[bytes]:
        """Slots of an owner's peers, in the order of their numbers."""
        positions = self.positions
        if owner not in positions:
            return ()
        if owner + NUMBERS[1] not in positions:
            return (owner,)
        slots: list[bytes] = []
        for number in NUMBERS:
            if (slot := owner + number) not in positions:
                break
            slots.append(slot)
        return slots

    def find(self, owner: Owner, client: ClientTag) -> bytes | None:
        """Slot of one of an owner's clients."""
        position = self.positions.get(owner)
        if position is None:
            return None
        if self.pools[position & STANDING_MASK].is_client(position >> STANDING_BITS, client):
            return owner  # nearly always
        for slot in self.slots(owner):
            position = self.positions[slot]
            if self.pools[position & STANDING_MASK].is_client(position >> STANDING_BITS, client):
                return slot
        return None

    def add(
        self, slot: bytes, client: bytes, entry: bytes, standing: Standing, deadline_s: int
    ) -> None:
        """Add a peer at a slot that is free."""
        index = self.pools[standing].append(entry, slot, client, deadline_s)
        self.positions[slot] = index << STANDING_BITS | standing
        self.further += len(slot) > OWNER_BYTES

    def remove(self, slot: bytes) -> None:
        """Remove a peer; the owner's last one gets its number."""
        self._take_out(slot)
        owner = Owner(slot[:OWNER_BYTES])
        number = 1 if slot == owner else slot[OWNER_BYTES] + 1
        last = None
        while number < MAX_PEERS_OF_OWNER and (later := owner + NUMBERS[number]) in self.positions:
            last, number = later, number + 1
        if last is not None:
            pool, index, standing = self.where(last)
            del self.positions[last]
            self.further -= len(slot) == OWNER_BYTES
            pool.slots[index] = slot
            self.positions[slot] = index << STANDING_BITS | standing

    def move(self, slot: bytes, standing: Standing) -> None:
        """Give a peer another standing."""
        pool, index, _ = self.where(slot)
        client, entry, deadline_s = pool.client(index), pool.entry(index), pool.deadline_s(index)
        self._take_out(slot)
        self.add(slot, client, entry, standing, deadline_s)

    def _take_out(self, slot: bytes) -> None:
        pool, index, standing = self.where(slot)
        del self.positions[slot]
        self.further -= len(slot) > OWNER_BYTES
        moved = pool.remove(index)
        if moved is not None:
            self.positions[moved] = index << STANDING_BITS | standing

    def dump(self) -> bytes:
        """Write all peers: see `Swarm.dump`."""
        parts = []
        for pool in self.pools:
            slots = [
                _SLOT.pack(slot, slot[-1] if len(slot) > OWNER_BYTES else 0) for slot in pool.slots
            ]
            parts += [_COUNT.pack(len(pool)), *pool.columns(), *slots]
        return b"".join(parts)

    def load(self, data: bytes, start: int, now_s: float) -> int:
        """Read into an empty side what `dump` wrote, without the peers whose time has passed.

        Returns where it ends. Raises ValueError.
        """
        found: list[tuple[int, bytes, bytes, bytes, Standing, int]] = []
        known: set[tuple[bytes, int]] = set()
        for standing in STANDINGS:
            size = self.pools[standing].entry_bytes
            count = int.from_bytes(data[start : start + _COUNT.size], "little")
            entries = start + _COUNT.size
            clients = entries + count * size
            deadlines = clients + count * CLIENT_BYTES
            slots = deadlines + count * DEADLINE_BYTES
            start = slots + count * _SLOT.size
            if start > len(data):
                raise ValueError("cut off")
            for index in range(count):
                owner, number = _SLOT.unpack_from(data, slots + index * _SLOT.size)
                if number >= MAX_PEERS_OF_OWNER or (owner, number) in known:
                    raise ValueError("a slot that cannot be")
                known.add((owner, number))
                at = clients + index * CLIENT_BYTES
                client = data[at : at + CLIENT_BYTES]
                at = entries + index * size
                entry = data[at : at + size]
                at = deadlines + index * DEADLINE_BYTES
                deadline_s = int.from_bytes(data[at : at + DEADLINE_BYTES], "little")
                if deadline_s > now_s:
                    found.append((number, owner, client, entry, standing, deadline_s))
        # By number, and numbered anew: those who are gone would leave gaps.
        for _, owner, client, entry, standing, deadline_s in sorted(found, key=itemgetter(0)):
            if self.find(Owner(owner), ClientTag(client)) is not None:
                raise ValueError("a client twice")
            slot = owner + NUMBERS[len(self.slots(Owner(owner)))]
            self.add(slot, client, entry, standing, deadline_s)
        return start
