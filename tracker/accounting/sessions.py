"""Sessions: from counters that clients report again and again to bytes that are new.

A client counts from its start and reports the totals at every announce. What counts is how far
they moved since the last announce of the same session: an owner, a client of it, a swarm.

- A session that was not known begins with what it reports: another tracker may have counted that.
- `started` begins a session anew, as does a counter that falls: the client was restarted.
- A counter just below 2^32 that falls to just above 0 wrapped around (32-bit clients).
- A fall within seconds is neither: a dual-stack client's two announces overtook each other.
- A session that is silent for longer than `session_s` begins anew, too: it may have been with
  another tracker. When in doubt nothing is counted, so that nothing is counted twice.
- An owner has so many sessions; for one more, the one that was silent longest is forgotten.
"""

import struct
from collections.abc import Iterable
from typing import NamedTuple

from client_lib.wire.announce import AnnounceRequest, Event
from client_lib.wire.infohash import TruncatedInfoHash
from tracker.swarms.peers import Owner

RECORD_FORMAT = 1
"""Version of the records below: kept ones of another version are worthless."""
# An enumeration's member by its global name: 0.01 µs; as the attribute of its class: 0.13.
_REGULAR, _STARTED, _STOPPED, _COMPLETED = Event
_RECORD = struct.Struct("<10sQQIIB")
_STATE = struct.Struct("<QQIIB")
_RECORD_BYTES = _RECORD.size
_TAG_BYTES = 10
_LEFT_UNIT_BITS = 14  # 16 KiB: 4 bytes then reach to 64 TiB
_LEFT_UNIT_BYTES = 1 << _LEFT_UNIT_BITS
_MOST_UNITS = 2**32 - 1
_BUCKETS = 1 << 14
_OWNER_TAG_BYTES = 5
"""Of a tag: what all sessions of an owner have in common, and of seeders those of a swarm."""
MOST_OF_OWNER = 16
"""Sessions of an owner. A licence has three live peers; a client that says another key each time
would make its bucket, and every look into it, longer and longer for half an hour."""
_OVERTAKING_S = 15
_HEARD_STEP_S = 60  # idle sessions need not be written more often
_WRAP = 2**32
_WRAP_MARGIN = 2**29


class Progress(NamedTuple):
    """What an announce added to its session. `elapsed_s` since the session's last announce.

    `first`: the session was not known before, so nothing can have been added.
    """

    uploaded_bytes: int
    downloaded_bytes: int
    completed: bool
    elapsed_s: int
    first: bool


class Session(NamedTuple):
    """Where a session is kept: number of its bucket, and its tag there."""

    bucket: int
    tag: bytes

    @classmethod
    def of(
        cls, owner: Owner, info_hash: TruncatedInfoHash, client: bytes, *, roaming: bool
    ) -> "Session":
        """Owner and info-hash are hashes, so any bytes of them will do.

        A licence has one swarm: 54 bits of its owner. A seeder has thousands (`roaming`), which
        must not share a bucket: 46 bits of the info-hash and 24 of its owner. `client` is the
        announce's key, or else its peer id: it tells an owner's clients apart.
        """
        if len(client) < 5:
            client = client.rjust(5, b"\0")
        if roaming:
            bucket = info_hash[0] << 6 | info_hash[1] >> 2
            return cls(bucket, info_hash[2:6] + owner[:3] + client[-3:])
        return cls(owner[0] << 6 | owner[1] >> 2, owner[2:7] + client[-5:])


class Sessions:
    """All sessions of the last `session_s` seconds, 50 bytes each.

    A dictionary of objects would take 250. Instead: buckets by 14 bits of a hash that owner or
    info-hash are already, each a run of fixed records that `bytearray.find` searches (0.2 µs with
    a million sessions). A bucket is also what is written to disk.
    """

    def __init__(self, *, session_s: int) -> None:
        """Start without sessions; one that is silent for `session_s` begins anew."""
        self._session_s = session_s
        self._buckets: list[bytearray | None] = [None] * _BUCKETS
        self._dirty: set[int] = set()

    def __len__(self) -> int:
        """Count the sessions."""
        return sum(len(records) for records in self._buckets if records) // _RECORD_BYTES

    def advance(
        self, owner: Owner, request: AnnounceRequest, now_s: float, *, roaming: bool
    ) -> Progress | None:
        """Take an announce of `owner`; None if it adds nothing. `roaming`: it has many swarms."""
        client = request.key or request.peer_id
        return self.report(
            Session.of(owner, request.info_hash, client, roaming=roaming),
            request.event,
            request.uploaded_bytes,
            request.downloaded_bytes,
            request.left_bytes,
            now_s,
        )

    def report(
        self,
        session: tuple[int, bytes],
        event: Event,
        uploaded: int,
        downloaded: int,
        left_bytes: int,
        now_s: float,
    ) -> Progress | None:
        """`advance`, for a session whose place is known already. Counters in bytes."""
        bucket, tag = session
        records = self._buckets[bucket]
        at = -1 if records is None else records.find(tag)
        while at > 0 and at % _RECORD_BYTES:
            at = _next(records, tag, at)
        left = (left_bytes + _LEFT_UNIT_BYTES - 1) >> _LEFT_UNIT_BITS
        if left > _MOST_UNITS:
            left = _MOST_UNITS
        if records is None or at < 0:
            return self._begin(session, event, (uploaded, downloaded, left), int(now_s))
        old_up, old_down, old_left, heard_s, done = _STATE.unpack_from(records, at + _TAG_BYTES)
        elapsed_s = int(now_s) - heard_s
        if (
            uploaded == old_up
            and downloaded == old_down
            and left == old_left
            and event is _REGULAR
            and elapsed_s < _HEARD_STEP_S
        ):
            return None  # nothing new: the most frequent announce by far
        up = down = 0
        if event is _STARTED:
            done = False
        elif elapsed_s <= self._session_s:
            up, down = uploaded - old_up, downloaded - old_down
            if up < 0 or down < 0:
                if elapsed_s < _OVERTAKING_S:
                    uploaded, downloaded = max(uploaded, old_up), max(downloaded, old_down)
                    up, down = uploaded - old_up, downloaded - old_down
                else:
                    up, down = _after_fall((old_up, old_down), (uploaded, downloaded))
        completed = event is _COMPLETED and not done
        self._dirty.add(bucket)
        if event is _STOPPED:
            _remove(records, at)
        else:
            state = (uploaded, downloaded, left, int(now_s), done or completed)
            _STATE.pack_into(records, at + _TAG_BYTES, *state)
        if up or down or completed:
            return Progress(up, down, completed, max(elapsed_s, 0), False)
        return None

    def left_bytes(
        self, owner: Owner, info_hash: TruncatedInfoHash, client: bytes, *, roaming: bool
    ) -> int | None:
        """What a client said to have left, rounded up to 16 KiB; None for one that is not known."""
        bucket, tag = Session.of(owner, info_hash, client, roaming=roaming)
        records = self._buckets[bucket]
        at = -1 if records is None else records.find(tag)
        while at > 0 and at % _RECORD_BYTES:
            at = _next(records, tag, at)
        if records is None or at < 0:
            return None
        units: int = _STATE.unpack_from(records, at + _TAG_BYTES)[2]
        return units << _LEFT_UNIT_BITS

    def buckets(self) -> list[int]:
        """Snapshot of which buckets there are, for `prune`."""
        return [number for number, records in enumerate(self._buckets) if records]

    def prune(self, bucket: int, now_s: float) -> None:
        """Forget the sessions of one bucket that were silent for too long."""
        records = self._buckets[bucket] or bytearray()
        oldest = now_s - self._session_s
        for at in range(len(records) - _RECORD_BYTES, -1, -_RECORD_BYTES):
            if _STATE.unpack_from(records, at + _TAG_BYTES)[3] < oldest:
                _remove(records, at)
                self._dirty.add(bucket)

    def take_dirty(self) -> list[tuple[int, bytes]]:
        """Buckets that changed since the last call, with their records; empty ones are gone."""
        taken = [(bucket, bytes(self._buckets[bucket] or b"")) for bucket in self._dirty]
        for bucket, records in taken:
            if not records:
                self._buckets[bucket] = None
        self._dirty = set()
        return taken

    def mark_dirty(self, buckets: Iterable[int]) -> None:
        """Have buckets written again: they could not be."""
        self._dirty.update(buckets)

    def restore(self, bucket: int, records: bytes) -> None:
        """Take a bucket from disk. Raises ValueError if it is none."""
        if not 0 <= bucket < _BUCKETS or len(records) % _RECORD_BYTES:
            raise ValueError("not a bucket of session records")
        self._buckets[bucket] = bytearray(records)

    def _begin(
        self, session: tuple[int, bytes], event: Event, state: tuple[int, int, int], now: int
    ) -> Progress | None:
        if event is _STOPPED:
            return None
        bucket, tag = session
        completed = event is _COMPLETED
        records = self._buckets[bucket]
        if records is None:
            records = self._buckets[bucket] = bytearray()
        _make_room(records, tag[:_OWNER_TAG_BYTES])
        records += _RECORD.pack(tag, *state, now, completed)
        self._dirty.add(bucket)
        return Progress(0, 0, completed, 0, True)


def _make_room(records: bytearray, owner_tag: bytes) -> None:
    """Forget the session that has been silent longest, if an owner has as many as it may."""
    found: list[tuple[int, int]] = []
    at = records.find(owner_tag)
    while at >= 0:
        if at % _RECORD_BYTES == 0:
            found.append((_STATE.unpack_from(records, at + _TAG_BYTES)[3], at))
        at = records.find(owner_tag, at + 1)
    if len(found) >= MOST_OF_OWNER:
        _remove(records, min(found)[1])


def _next(records: bytearray | None, tag: bytes, at: int) -> int:
    """Where `tag` is found after a place that is no record's beginning."""
    return -1 if records is None else records.find(tag, at + 1)


def _remove(records: bytearray, at: int) -> None:
    """Move the last record to the place of the one at `at`."""
    last = len(records) - _RECORD_BYTES
    if at != last:
        records[at : at + _RECORD_BYTES] = records[last:]
    del records[last:]


def _after_fall(before: tuple[int, int], now: tuple[int, int]) -> tuple[int, int]:
    """Bytes that two counters added of which one fell: by wrap-around, else by a restart."""
    added = [0, 0]
    for which, (old, new) in enumerate(zip(before, now, strict=True)):
        if new >= old:
            added[which] = new - old
        elif _WRAP - _WRAP_MARGIN <= old < _WRAP and new < _WRAP_MARGIN:
            added[which] = new + _WRAP - old
        else:
            return 0, 0
    return added[0], added[1]
