"""All swarms of a tracker process, and who wants to know when they change."""

from collections.abc import Callable, Collection, Iterable

from client_lib.wire.infohash import TruncatedInfoHash
from tracker.swarms.peers import ClientTag, Family, Owner, Standing
from tracker.swarms.swarm import Swarm


class Swarms:
    """The swarms by truncated info-hash. Empty ones are forgotten.

    Change them through these methods only: they keep account of what the snapshot and the demand
    feed have to catch up with.
    """

    def __init__(self) -> None:
        """Start without any swarm."""
        self._swarms: dict[TruncatedInfoHash, Swarm] = {}
        self._names: dict[TruncatedInfoHash, TruncatedInfoHash] = {}
        self._dirty: set[TruncatedInfoHash] = set()
        self.on_change: Callable[[TruncatedInfoHash], None] | None = None
        """Told of a swarm whose counts have changed, or that appeared or vanished.

        Must be quick: it is on the hot path, after the change.
        """

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

    def put(
        self,
        info_hash: TruncatedInfoHash,
        owner: Owner,
        client: ClientTag,
        entry: bytes,
        standing: Standing,
        *,
        limit: int,
        deadline_s: int,
        now_s: float,
    ) -> Swarm:
        """Add a client to a swarm, which is made if need be, or bring it up to date."""
        swarm = self._swarms.get(info_hash)
        if swarm is None:
            swarm = self._swarms[info_hash] = Swarm()
            self._names[info_hash] = info_hash
        changed = swarm.put(
            owner, client, entry, standing, limit=limit, deadline_s=deadline_s, now_s=now_s
        )
        self._dirty.add(info_hash)
        if changed and self.on_change is not None:
            self.on_change(info_hash)
        return swarm

    def name(self, info_hash: TruncatedInfoHash) -> TruncatedInfoHash:
        """The same info-hash, as the one object that stands for it here: in few lines of memory."""
        return self._names.get(info_hash, info_hash)

    def refreshed(self, info_hash: TruncatedInfoHash) -> None:
        """Have a swarm in the next snapshot: one of its peers got more time, and nothing else."""
        self._dirty.add(info_hash)

    def expire(self, info_hash: TruncatedInfoHash, now_s: float) -> None:
        """Remove the peers of one swarm that went silent, and the swarm if nobody is left."""
        swarm = self._swarms.get(info_hash)
        if swarm is not None and swarm.expire(now_s):
            self._left(info_hash, swarm)

    def remove(
        self, info_hash: TruncatedInfoHash, owner: Owner, client: ClientTag, family: Family
    ) -> None:
        """Remove one client's entry of one family."""
        swarm = self._swarms.get(info_hash)
        if swarm is not None and swarm.remove(owner, client, family):
            self._left(info_hash, swarm)

    def remove_owner(
        self, owner: Owner, info_hashes: Iterable[TruncatedInfoHash]
    ) -> dict[TruncatedInfoHash, list[bytes]]:
        """Remove all peers of an owner from some swarms; returns their compact entries."""
        removed = {}
        for info_hash in info_hashes:
            swarm = self._swarms.get(info_hash)
            if swarm is not None and (entries := swarm.remove_owner(owner)):
                removed[info_hash] = entries
                self._left(info_hash, swarm)
        return removed

    def restore(self, info_hash: TruncatedInfoHash, swarm: Swarm) -> None:
        """Take a swarm from a snapshot. One that is here already stays.

        If nobody is left in it, it is reported by `take_dirty` as one that has vanished.
        """
        if info_hash in self._swarms:
            return
        if not len(swarm):
            self._dirty.add(info_hash)
            return
        self._swarms[info_hash] = swarm
        self._names[info_hash] = info_hash
        if self.on_change is not None:
            self.on_change(info_hash)

    def take_dirty(self) -> set[TruncatedInfoHash]:
        """Which swarms have changed since the last call, refreshed deadlines included.

        Those that `get` finds no more have vanished.
        """
        dirty, self._dirty = self._dirty, set()
        return dirty

    def _left(self, info_hash: TruncatedInfoHash, swarm: Swarm) -> None:
        if not len(swarm):
            del self._swarms[info_hash], self._names[info_hash]
        self._dirty.add(info_hash)
        if self.on_change is not None:
            self.on_change(info_hash)
