"""Contiguous pools of compact peer entries: small in memory, sampled by one slice."""

import random
from array import array
from collections.abc import Sequence

SLOT_BYTES = 17
"""Whose entry it is: 16 bytes of owner and a running number (see `swarm.py`)."""
CLIENT_BYTES = 8
"""Which client of that owner: see `swarm.client_tag`."""


class Pool:
    """Peers of one standing and one address family in one swarm.

    Parallel columns, so that `entries` is what BEP 23 wants on the wire: 50 peers for an answer
    are one slice of it (0.3 µs, against 8-40 µs for `random.sample`). Entries move: an index is
    good until the next removal.
    """

    __slots__ = ("_clients", "_deadlines", "_entries", "_entry_bytes", "_slots")

    def __init__(self, entry_bytes: int) -> None:
        """Make an empty pool of entries of 6 (IPv4) or 18 bytes (IPv6)."""
        self._entry_bytes = entry_bytes
        self._entries = bytearray()
        self._slots = bytearray()
        self._clients = bytearray()
        self._deadlines = array("I")  # POSIX seconds: 4 bytes each, good until 2106

    def __len__(self) -> int:
        """Count the peers."""
        return len(self._deadlines)

    def append(self, entry: bytes, slot: bytes, client: bytes, deadline_s: int) -> int:
        """Add a peer; returns its index."""
        self._entries += entry
        self._slots += slot
        self._clients += client
        self._deadlines.append(deadline_s)
        return len(self._deadlines) - 1

    def refresh(self, index: int, entry: bytes, deadline_s: int) -> None:
        """Replace a peer's address and port, and give it more time."""
        size = self._entry_bytes
        self._entries[index * size : (index + 1) * size] = entry
        self._deadlines[index] = deadline_s

    def remove(self, index: int) -> bytes | None:
        """Remove a peer by moving the last one to its place: O(1).

        Returns the slot of the peer that now has this index, None if none does.
        """
        last = len(self._deadlines) - 1
        for column, size in (
            (self._entries, self._entry_bytes),
            (self._slots, SLOT_BYTES),
            (self._clients, CLIENT_BYTES),
        ):
            if index != last:
                column[index * size : (index + 1) * size] = column[last * size :]
            del column[last * size :]
        deadline_s = self._deadlines.pop()
        if index == last:
            return None
        self._deadlines[index] = deadline_s
        return self.slot(index)

    def entry(self, index: int) -> bytes:
        """Compact address and port."""
        size = self._entry_bytes
        return bytes(self._entries[index * size : (index + 1) * size])

    def slot(self, index: int) -> bytes:
        """Whose entry it is."""
        return bytes(self._slots[index * SLOT_BYTES : (index + 1) * SLOT_BYTES])

    def client(self, index: int) -> bytes:
        """Which client of its owner."""
        return bytes(self._clients[index * CLIENT_BYTES : (index + 1) * CLIENT_BYTES])

    def deadline_s(self, index: int) -> int:
        """When the peer counts as gone, POSIX seconds."""
        return self._deadlines[index]

    def expired(self, now_s: float) -> list[bytes]:
        """Slots of the peers whose time has passed."""
        return [self.slot(i) for i, deadline in enumerate(self._deadlines) if deadline <= now_s]

    def window(self, count: int, skip: Sequence[int], rng: random.Random) -> bytes:
        """Up to `count` entries from a random place onwards, without those at indices `skip`."""
        length, size = len(self._deadlines), self._entry_bytes
        width = min(length, count + len(skip))
        if count <= 0 or width == 0:
            return b""
        start = int(rng.random() * length)
        end = start + width
        chosen = self._entries[start * size : end * size]
        if end > length:
            chosen += self._entries[: (end - length) * size]
        for offset in sorted(((index - start) % length for index in skip), reverse=True):
            if offset < width:
                del chosen[offset * size : (offset + 1) * size]
        return bytes(chosen[: count * size])
