"""The swarms in memory: who is where, for how long. Nothing here knows the policy or the wire."""

import enum
import random
from collections.abc import Collection, Iterable
from typing import NewType

from client_lib.wire.announce import ENTRY_BYTES_V4, ENTRY_BYTES_V6, PeerId
from client_lib.wire.infohash import TruncatedInfoHash
from tracker.swarms.pool import CLIENT_BYTES, Pool

Owner = NewType("Owner", bytes)
"""16 bytes that stand for one licence or one seeder: see `admission.Member`."""
ClientTag = NewType("ClientTag", bytes)
"""8 bytes that tell the clients of one owner apart."""

MAX_PEERS_OF_OWNER = 16
"""No owner's limit may be higher: finding an owner's peers takes as many look-ups."""
_NUMBERS = tuple(bytes([n]) for n in range(MAX_PEERS_OF_OWNER))
_STANDING_BITS = 2


class Family(enum.IntEnum):
    """Address family of an entry."""

    V4 = 0
    V6 = 1

    @classmethod
    def of(cls, address: bytes) -> "Family":
        """Family of a packed address of 4 or 16 bytes."""
        return cls.V4 if len(address) == 4 else cls.V6


class Standing(enum.IntEnum):
    """What a peer has to give."""

    LEECHER = 0
    COMPLETE = 1
    """A customer with the whole album."""
    CENTRAL = 2
    """A central seeder with the whole album."""


_STANDINGS = tuple(Standing)  # by number, seven times as fast as Standing(number)


def client_tag(peer_id: PeerId, key: bytes | None) -> ClientTag:
    """Tell one owner's clients apart: by `key` (BEP 7), otherwise by peer id.

    A key survives a change of address. Only the owner's own clients are told apart by it, so a
    clash, or a lie, costs nobody else anything.
    """
    return ClientTag((key or peer_id)[-CLIENT_BYTES:].rjust(CLIENT_BYTES, b"\0"))


class _Side:
    """One address family of a swarm.

    A peer's slot is its owner and a number below the owner's limit, so an owner's peers are found
    by a few look-ups, without a list per owner; `positions` maps it to index and standing.
    """

    __slots__ = ("pools", "positions")

    def __init__(self, entry_bytes: int) -> None:
        self.pools = tuple(Pool(entry_bytes) for _ in Standing)
        self.positions: dict[bytes, int] = {}

    def where(self, slot: bytes) -> tuple[Pool, int, Standing]:
        position = self.positions[slot]
        standing = _STANDINGS[position & 3]
        return self.pools[standing], position >> _STANDING_BITS, standing

    def slots(self, owner: Owner, limit: int) -> list[bytes]:
        """Slots of an owner's peers."""
        positions = self.positions
        return [slot for number in _NUMBERS[:limit] if (slot := owner + number) in positions]

    def find(self, owner: Owner, client: ClientTag, limit: int) -> bytes | None:
        for slot in self.slots(owner, limit):
            pool, index, _ = self.where(slot)
            if pool.client(index) == client:
                return slot
        return None

    def add(
        self, slot: bytes, client: bytes, entry: bytes, standing: Standing, deadline_s: int
    ) -> None:
        index = self.pools[standing].append(entry, slot, client, deadline_s)
        self.positions[slot] = index << _STANDING_BITS | standing

    def remove(self, slot: bytes) -> None:
        pool, index, standing = self.where(slot)
        del self.positions[slot]
        moved = pool.remove(index)
        if moved is not None:
            self.positions[moved] = index << _STANDING_BITS | standing

    def move(self, slot: bytes, standing: Standing) -> None:
        pool, index, _ = self.where(slot)
        client, entry, deadline_s = pool.client(index), pool.entry(index), pool.deadline_s(index)
        self.remove(slot)
        self.add(slot, client, entry, standing, deadline_s)


class Swarm:
    """The live peers of one release.

    A client that announces over IPv4 and IPv6 has an entry in each family and counts once. An
    owner has at most `limit` peers per family: one more takes the place of the one that would
    expire first, which is the ghost of a client that was killed.
    """

    __slots__ = ("_counts", "_sides", "completions", "leeching_since_s")

    def __init__(self) -> None:
        """Make an empty swarm."""
        self._sides = (_Side(ENTRY_BYTES_V4), _Side(ENTRY_BYTES_V6))
        self._counts = [0, 0, 0]
        self.completions = 0
        """Times that a peer here turned complete (BEP 48 calls it `downloaded`)."""
        self.leeching_since_s: float | None = None
        """When the first of the present leechers came, None while there is none."""

    def count(self, standing: Standing) -> int:
        """Count peers of one standing; a dual-stack client is one."""
        return self._counts[standing]

    def __len__(self) -> int:
        """Count all peers."""
        return sum(self._counts)

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
    ) -> None:
        """Add a client or bring it up to date: address, port, standing, deadline."""
        side, other = self._sides_of(entry)
        twin = other.find(owner, client, limit) if other.positions else None
        slot = side.find(owner, client, limit)
        before = other.where(twin)[2] if twin is not None else None
        if slot is None:
            slot = self._free_slot(side, owner, limit)
            side.add(slot, client, entry, standing, deadline_s)
        else:
            before = side.where(slot)[2]
            if before != standing:
                side.move(slot, standing)
            pool, index, _ = side.where(slot)
            pool.refresh(index, entry, deadline_s)
        if twin is not None and other.where(twin)[2] != standing:
            other.move(twin, standing)
        if before != standing:
            self._changed(before, standing, now_s)
            if before is Standing.LEECHER:
                self.completions += 1

    def remove(self, owner: Owner, client: ClientTag, family: Family, *, limit: int) -> None:
        """Remove a client's entry of one family, if it is there."""
        slot = self._sides[family].find(owner, client, limit)
        if slot is not None:
            self._drop(self._sides[family], slot)

    def remove_owner(self, owner: Owner, *, limit: int) -> None:
        """Remove all peers of an owner."""
        for side in self._sides:
            for slot in side.slots(owner, limit):
                self._drop(side, slot)

    def expire(self, now_s: float) -> None:
        """Remove the peers whose deadline has passed."""
        for side in self._sides:
            for pool in side.pools:
                for slot in pool.expired(now_s):
                    self._drop(side, slot)

    def others(self, owner: Owner, family: Family, *, limit: int) -> "Others":
        """Everybody of one family but `owner`, ready to be counted and sampled."""
        side = self._sides[family]
        if not side.positions:
            return _NO_OTHERS
        own: tuple[list[int], ...] = ([], [], [])
        for slot in side.slots(owner, limit):
            _, index, standing = side.where(slot)
            own[standing].append(index)
        return Others(side.pools, own)

    def _sides_of(self, entry: bytes) -> tuple[_Side, _Side]:
        four, six = self._sides
        return (four, six) if len(entry) == ENTRY_BYTES_V4 else (six, four)

    def _free_slot(self, side: _Side, owner: Owner, limit: int) -> bytes:
        for number in _NUMBERS[:limit]:
            if owner + number not in side.positions:
                return owner + number

        def deadline_s(slot: bytes) -> int:
            pool, index, _ = side.where(slot)
            return pool.deadline_s(index)

        slot = min(side.slots(owner, limit), key=deadline_s)
        self._drop(side, slot)
        return slot

    def _drop(self, side: _Side, slot: bytes) -> None:
        pool, index, standing = side.where(slot)
        client = ClientTag(pool.client(index))
        side.remove(slot)
        other = self._sides[0] if side is self._sides[1] else self._sides[1]
        if not other.positions or other.find(Owner(slot[:-1]), client, MAX_PEERS_OF_OWNER) is None:
            self._changed(standing, None, 0.0)

    def _changed(self, before: Standing | None, after: Standing | None, now_s: float) -> None:
        if before is not None:
            self._counts[before] -= 1
        if after is not None:
            self._counts[after] += 1
        if self._counts[Standing.LEECHER] == 0:
            self.leeching_since_s = None
        elif self.leeching_since_s is None:
            self.leeching_since_s = now_s


class Others:
    """One family of a swarm without the asker's own peers. Good until the swarm changes."""

    __slots__ = ("_own", "_pools")

    def __init__(self, pools: tuple[Pool, ...], own: tuple[list[int], ...]) -> None:
        """Take the pools and the asker's own indices in them, by standing."""
        self._pools = pools
        self._own = own

    def counts(self) -> tuple[int, ...]:
        """Count the entries of each standing, in the order of `Standing`."""
        return tuple(len(pool) - len(own) for pool, own in zip(self._pools, self._own, strict=True))

    def sample(self, standing: Standing, count: int, rng: random.Random) -> bytes:
        """Up to `count` compact entries of one standing, from a random place onwards."""
        if not count:
            return b""
        return self._pools[standing].window(count, self._own[standing], rng)


_NO_OTHERS = Others(tuple(Pool(ENTRY_BYTES_V4) for _ in Standing), ([], [], []))


class Swarms:
    """All swarms of this tracker process, by truncated info-hash. Empty ones are forgotten."""

    def __init__(self) -> None:
        """Start without any swarm."""
        self._swarms: dict[TruncatedInfoHash, Swarm] = {}

    def __len__(self) -> int:
        """Count the swarms."""
        return len(self._swarms)

    @property
    def peers(self) -> int:
        """Count the peers of all swarms."""
        return sum(len(swarm) for swarm in self._swarms.values())

    def info_hashes(self) -> Collection[TruncatedInfoHash]:
        """Snapshot of which swarms there are."""
        return list(self._swarms)

    def get(self, info_hash: TruncatedInfoHash) -> Swarm | None:
        """Get a swarm, if anybody is in it."""
        return self._swarms.get(info_hash)

    def open(self, info_hash: TruncatedInfoHash) -> Swarm:
        """Get a swarm, making it if need be."""
        swarm = self._swarms.get(info_hash)
        if swarm is None:
            swarm = self._swarms[info_hash] = Swarm()
        return swarm

    def expire(self, info_hash: TruncatedInfoHash, now_s: float) -> None:
        """Remove the peers of one swarm that went silent, and the swarm if nobody is left."""
        swarm = self._swarms.get(info_hash)
        if swarm is not None:
            swarm.expire(now_s)
            self._forget_if_empty(info_hash, swarm)

    def remove(
        self,
        info_hash: TruncatedInfoHash,
        owner: Owner,
        client: ClientTag,
        family: Family,
        *,
        limit: int,
    ) -> None:
        """Remove one client's entry of one family."""
        swarm = self._swarms.get(info_hash)
        if swarm is not None:
            swarm.remove(owner, client, family, limit=limit)
            self._forget_if_empty(info_hash, swarm)

    def remove_owner(
        self, owner: Owner, info_hashes: Iterable[TruncatedInfoHash], *, limit: int
    ) -> None:
        """Remove all peers of an owner from some swarms."""
        for info_hash in info_hashes:
            swarm = self._swarms.get(info_hash)
            if swarm is not None:
                swarm.remove_owner(owner, limit=limit)
                self._forget_if_empty(info_hash, swarm)

    def _forget_if_empty(self, info_hash: TruncatedInfoHash, swarm: Swarm) -> None:
        if not len(swarm):
            del self._swarms[info_hash]
