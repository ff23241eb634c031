"""One swarm in memory: who is where, for how long. Nothing here knows the policy or the wire."""

import math
import random
import struct
import zlib
from collections.abc import Sequence

from client_lib.wire.announce_answer import ENTRY_BYTES_V4, ENTRY_BYTES_V6
from tracker.swarms.handout import Counts
from tracker.swarms.peers import OWNER_BYTES, STANDINGS, ClientTag, Family, Owner, Standing
from tracker.swarms.plan import Plan
from tracker.swarms.pool import Pool
from tracker.swarms.side import NUMBERS, STANDING_BITS, STANDING_MASK, Side

# A global name is three times as fast as an enum's attribute.
_LEECHER, _COMPLETE, _CENTRAL = Standing
_HEADER = struct.Struct("<4sQd")
_MAGIC = b"ASW1"
_CHECKSUM = struct.Struct("<I")


class Swarm:
    """The live peers of one release.

    A client that announces over IPv4 and IPv6 has an entry in each family and counts once. An
    owner has at most `limit` peers per family: one more takes the place of the one that would
    expire first, which is the ghost of a client that was killed.
    """

    __slots__ = ("completions", "counts", "leeching_since_s", "plans", "sides")

    def __init__(self) -> None:
        """Make an empty swarm."""
        self.sides = (Side(ENTRY_BYTES_V4), Side(ENTRY_BYTES_V6))
        """By `Family`."""
        self.counts = [0, 0, 0]
        """Peers by standing, in the order of `Standing`; a dual-stack client is one. To be read."""
        self.completions = 0
        """Times that a peer here turned complete (BEP 48 calls it `downloaded`)."""
        self.leeching_since_s: float | None = None
        """When the first of the present leechers came, None while there is none."""
        self.plans: dict[int, Plan] = {}
        """What was worked out for the answers to some kind of peer; empty after every change."""

    def count(self, standing: Standing) -> int:
        """Count peers of one standing; a dual-stack client is one."""
        return self.counts[standing]

    def __len__(self) -> int:
        """Count all peers."""
        leechers, complete, central = self.counts
        return leechers + complete + central

    def put(
        self,
        owner: Owner,
        client: ClientTag,
        entry: bytes,
        standing: Standing,
        *,
        limit: int,
        deadline_s: int,
        now_s: float,
    ) -> bool:
        """Add a client or bring it up to date: address, port, standing, deadline.

        Returns whether the swarm's counts have changed.
        """
        four, six = self.sides
        side, other = (four, six) if len(entry) == ENTRY_BYTES_V4 else (six, four)
        slot = side.find(owner, client)
        twin = other.find(owner, client) if other.positions else None
        if slot is not None:
            position = side.positions[slot]
            before: Standing | None = STANDINGS[position & STANDING_MASK]
            if before is not standing:
                side.move(slot, standing)
                position = side.positions[slot]
            side.pools[standing].refresh(position >> STANDING_BITS, entry, deadline_s)
        else:
            self.plans.clear()
            before = other.where(twin)[2] if twin is not None else None
            side.add(self._free_slot(side, owner, limit), client, entry, standing, deadline_s)
        if before is standing:
            return False
        if twin is not None:
            other.move(twin, standing)
        self._changed(before, standing, now_s)
        if before is _LEECHER:
            self.completions += 1
        return True

    def where(self, owner: Owner, client: ClientTag, family: Family) -> tuple[Pool, int, bytes]:
        """Pool, index in it, and slot (the pool's own object) of a client.

        Raises KeyError if it is not here.
        """
        side = self.sides[family]
        found = side.find(owner, client)
        if found is None:
            raise KeyError(client)
        pool, index, _ = side.where(found)
        return pool, index, pool.slots[index]

    def remove(self, owner: Owner, client: ClientTag, family: Family) -> bool:
        """Remove a client's entry of one family; returns whether it was there."""
        side = self.sides[family]
        slot = side.find(owner, client)
        if slot is not None:
            self._drop(side, slot)
        return slot is not None

    def remove_owner(self, owner: Owner) -> list[bytes]:
        """Remove all peers of an owner; returns their compact entries."""
        entries = []
        for side in self.sides:
            for slot in reversed(side.slots(owner)):
                pool, index, _ = side.where(slot)
                entries.append(pool.entry(index))
                self._drop(side, slot)
        return entries

    def expire(self, now_s: float) -> bool:
        """Remove the peers whose deadline has passed; returns whether there were any."""
        expired = False
        for side in self.sides:
            for pool in side.pools:
                for index in pool.expired(now_s):
                    # Looked up only now: the drop before may have given the owner's last number.
                    self._drop(side, pool.slots[index])
                    expired = True
        return expired

    def others(self, owner: Owner, family: Family) -> "Others":
        """Everybody of one family but `owner`, ready to be counted and sampled."""
        side = self.sides[family]
        positions = side.positions
        if not positions:
            return _NO_OTHERS
        position = positions.get(owner)
        if position is None:
            return Others(side.pools, _NONE)
        if not side.further:  # nearly always
            return Others(side.pools, _at(position & STANDING_MASK, position >> STANDING_BITS))
        own: list[Sequence[int]] = [(), (), ()]
        for slot in side.slots(owner):
            position = positions[slot]
            own[position & STANDING_MASK] = (
                *own[position & STANDING_MASK],
                position >> STANDING_BITS,
            )
        return Others(side.pools, own)

    def dump(self) -> bytes:
        """Write the swarm for a snapshot: the columns of its pools as they are.

        Little-endian. Header: `ASW1`, completions (8 bytes), when the first of the present leechers
        came (POSIX seconds as a double, NaN for none). For each family and standing, in the order
        of their enumerations: a count (4), entries (6 or 18 each), client tags (8), deadlines (4),
        slots (15 bytes of owner, 1 of number). At the end the CRC-32 of all that (4).
        """
        since_s = math.nan if self.leeching_since_s is None else self.leeching_since_s
        body = b"".join(
            (_HEADER.pack(_MAGIC, self.completions, since_s), *(side.dump() for side in self.sides))
        )
        return body + _CHECKSUM.pack(zlib.crc32(body))

    @classmethod
    def load(cls, data: bytes, now_s: float) -> "Swarm":
        """Read what `dump` wrote, without the peers whose time has passed. Raises ValueError."""
        body, checksum = data[: -_CHECKSUM.size], data[-_CHECKSUM.size :]
        if not body.startswith(_MAGIC) or _CHECKSUM.pack(zlib.crc32(body)) != checksum:
            raise ValueError("not the dump of a swarm")
        if len(body) < _HEADER.size:
            raise ValueError("cut off")
        swarm = cls()
        _, swarm.completions, since_s = _HEADER.unpack_from(body)
        end = _HEADER.size
        for side in swarm.sides:
            end = side.load(body, end, now_s)
        if end != len(body):
            raise ValueError("more than a swarm")
        swarm._count_anew(now_s if math.isnan(since_s) else since_s)
        return swarm

    def _count_anew(self, since_s: float) -> None:
        standings: dict[tuple[bytes, bytes], Standing] = {}
        for side in self.sides:
            for slot in side.positions:
                pool, index, standing = side.where(slot)
                client = (slot[:OWNER_BYTES], pool.client(index))
                if standings.setdefault(client, standing) != standing:
                    raise ValueError("a client of two standings")
        for standing in standings.values():
            self.counts[standing] += 1
        self.leeching_since_s = since_s if self.counts[_LEECHER] else None

    def _free_slot(self, side: Side, owner: Owner, limit: int) -> bytes:
        slots = side.slots(owner)
        if len(slots) >= limit:

            def deadline_s(slot: bytes) -> int:
                pool, index, _ = side.where(slot)
                return pool.deadline_s(index)

            self._drop(side, min(slots, key=deadline_s))
            return owner + NUMBERS[len(slots) - 1]
        # Not `owner + b""`: the very object that the owner's member record holds, too.
        return owner + NUMBERS[len(slots)] if slots else owner

    def _drop(self, side: Side, slot: bytes) -> None:
        self.plans.clear()
        pool, index, standing = side.where(slot)
        client = ClientTag(pool.client(index))
        side.remove(slot)
        other = self.sides[0] if side is self.sides[1] else self.sides[1]
        if not other.positions or other.find(Owner(slot[:OWNER_BYTES]), client) is None:
            self._changed(standing, None, 0.0)

    def _changed(self, before: Standing | None, after: Standing | None, now_s: float) -> None:
        self.plans.clear()
        if before is not None:
            self.counts[before] -= 1
        if after is not None:
            self.counts[after] += 1
        if self.counts[_LEECHER] == 0:
            self.leeching_since_s = None
        elif self.leeching_since_s is None:
            self.leeching_since_s = now_s


class Others:
    """One family of a swarm without the asker's own peers. Good until the swarm changes."""

    __slots__ = ("_own", "_pools", "counts")

    def __init__(self, pools: tuple[Pool, ...], own: Sequence[Sequence[int]]) -> None:
        """Take the pools and the asker's own indices in them, by standing."""
        self._pools = pools
        self._own = own
        leechers, complete, central = pools
        self.counts = (
            len(leechers.slots) - len(own[0]),
            len(complete.slots) - len(own[1]),
            len(central.slots) - len(own[2]),
        )
        """Entries of each standing, in the order of `Standing`."""

    def sample(self, mix: Counts, rng: random.Random) -> bytes:
        """Up to so many compact entries of each standing, from random places onwards."""
        pools, own = self._pools, self._own
        leechers, complete, central = mix
        # Seeders first: libtorrent tries peers in about the order in which it got them.
        peers = pools[0].window(leechers, own[0], rng)
        if complete:
            peers = pools[1].window(complete, own[1], rng) + peers
        if central:
            peers = pools[2].window(central, own[2], rng) + peers
        return bytes(peers)


def sample_beside(
    pools: tuple[Pool, ...], mix: Counts, standing: Standing | None, index: int, rng: random.Random
) -> bytes:
    """`Others.sample` for who has one entry in these pools, or (None) none."""
    leechers, complete, central = mix
    peers = pools[0].window_beside(leechers, index if standing is _LEECHER else None, rng)
    if complete:
        own = index if standing is _COMPLETE else None
        peers = pools[1].window_beside(complete, own, rng) + peers
    if central:
        own = index if standing is _CENTRAL else None
        peers = pools[2].window_beside(central, own, rng) + peers
    return bytes(peers)


def _at(standing: int, index: int) -> tuple[Sequence[int], ...]:
    """The indices of one peer, by standing."""
    if standing == 0:
        return ((index,), (), ())
    return ((), (index,), ()) if standing == 1 else ((), (), (index,))


_NONE: Sequence[Sequence[int]] = ((), (), ())
_NO_OTHERS = Others(tuple(Pool(ENTRY_BYTES_V4) for _ in Standing), _NONE)
