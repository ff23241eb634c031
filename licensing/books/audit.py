"""The audit: is the log the one that was written, and does the state follow from it?"""

import hashlib
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

import msgspec

from client_lib.errors import AlbumswarmError
from client_lib.wire.release import Album
from client_lib.wire.rights import RightsHolder
from licensing.books import events, replay
from licensing.books.schema import EVENTS, Table, tables
from licensing.books.sql import Snapshot

SHOWN = 10
"""So many findings of each table are told by default, the others counted."""

_LONGEST_VALUE = 60
_Row = tuple[Any, ...]


@dataclass(frozen=True, slots=True)
class Audited:
    """What was audited. `head`: hash of the last event, which stands for all before it."""

    events: int
    head: str
    rows: int
    findings: int


@dataclass(slots=True)
class _Findings:
    tell: Callable[[str], None]
    shown: int
    counts: Counter[str] = field(default_factory=Counter)

    def add(self, table: str, finding: str) -> None:
        self.counts[table] += 1
        if self.counts[table] <= self.shown:
            self.tell(finding)

    def tell_rest(self) -> int:
        for table, number in self.counts.items():
            if number > self.shown:
                self.tell(f"{table}: {number - self.shown} more findings")
        return self.counts.total()


def audit(
    snapshot: Snapshot, scratch: Snapshot, *, tell: Callable[[str], None], shown: int = SHOWN
) -> Audited:
    """Check the hash chain, replay the events into `scratch`, compare every row of the state.

    `scratch` is an empty SQLite ledger. Each finding is told in one line. Needs memory for a few
    rows at a time only. Raises StorageError.
    """
    findings = _Findings(tell, shown)
    number, head = _check_events(snapshot, scratch, findings)
    rows = 0
    for table in tables(scratch):
        if table.name != EVENTS:
            rows += _compare(table, snapshot, scratch, findings)
    return Audited(number, head.hex(), rows, findings.tell_rest())


def _check_events(snapshot: Snapshot, scratch: Snapshot, findings: _Findings) -> tuple[int, bytes]:
    seq, previous = 0, events.GENESIS
    for found, at, kind, body, hash_ in snapshot.stream(
        "SELECT seq, at, kind, body, hash FROM events ORDER BY seq"
    ):
        if found != seq + 1:
            findings.add(EVENTS, f"event {seq + 1} is missing: event {found} follows {seq}")
        # From the hash that the row before it has, right or wrong: one changed row is one or
        # two findings, not one for every row after it.
        if events.link(previous, found, at, body) != hash_:
            findings.add(EVENTS, f"event {found} was changed, or does not follow event {seq}")
        seq, previous = found, hash_
        try:
            replay.apply(scratch, replay.parse(body, kind), at)
        except (ValueError, AlbumswarmError) as error:
            findings.add(EVENTS, f"event {found} ({kind}) cannot be replayed: {_short(error)}")
    return seq, previous


def _compare(table: Table, snapshot: Snapshot, scratch: Snapshot, findings: _Findings) -> int:
    """Walk both sides in the order of the key; count of the rows that are there."""
    rows = 0
    key_of = [table.columns.index(column) for column in table.key]

    def key(row: _Row) -> _Row:
        return tuple(row[index] for index in key_of)

    def name(row: _Row) -> str:
        pairs = zip(table.key, key(row), strict=True)
        return f"{table.name} " + " ".join(f"{column}={_short(value)}" for column, value in pairs)

    stored = _comparable(table, snapshot.stream(table.by_key))
    replayed = scratch.stream(table.by_key)
    there, said = next(stored, None), next(replayed, None)
    while there is not None or said is not None:
        if said is None or (there is not None and key(there) < key(said)):
            assert there is not None  # noqa: S101 - one of the two is
            findings.add(table.name, f"{name(there)}: no event accounts for this row")
            there, rows = next(stored, None), rows + 1
        elif there is None or key(said) < key(there):
            findings.add(table.name, f"{name(said)}: the row is missing")
            said = next(replayed, None)
        else:
            for column, value, expected in zip(table.columns, there, said, strict=True):
                if value != expected:
                    findings.add(
                        table.name,
                        f"{name(there)}: {column} is {_short(value)}, "
                        f"but {_short(expected)} by the events",
                    )
            there, said, rows = next(stored, None), next(replayed, None), rows + 1
    return rows


def _comparable(table: Table, rows: Iterator[_Row]) -> Iterator[_Row]:
    """The stored rows in the form that the replay gives them."""
    forms = [_FORMS.get((table.name, column)) for column in table.columns]
    if not any(forms):
        return rows
    return (
        tuple(form(value) if form else value for form, value in zip(forms, row, strict=True))
        for row in rows
    )


def _sha256(torrent: bytes) -> bytes:
    """Of a torrent, the events know the hash."""
    return hashlib.sha256(torrent).digest()


def _as_written_today(type_: type) -> Callable[[str], str]:
    """JSON of a record as this version writes it, which may know more fields than an older one."""
    decoder: msgspec.json.Decoder[object] = msgspec.json.Decoder(type_)

    def form(text: str) -> str:
        try:
            return msgspec.json.encode(decoder.decode(text)).decode()
        except (ValueError, AlbumswarmError):
            return text

    return form


_FORMS: Mapping[tuple[str, str], Callable[[Any], object]] = {
    ("torrents", "torrent"): _sha256,
    ("releases", "album"): _as_written_today(Album),
    ("rights", "holders"): _as_written_today(tuple[RightsHolder, ...]),
}


def _short(value: object) -> str:
    text = value.hex() if isinstance(value, bytes) else str(value)
    return text if len(text) <= _LONGEST_VALUE else text[:_LONGEST_VALUE] + "…"
