import datetime as dt
from typing import Any

import pytest

from licensing.books import events
from licensing.books.events import ApiKeyRevoked, LicenceRevoked, verify_chain
from licensing.books.sql import Value, from_ms, to_ms

NOW = dt.datetime(2026, 11, 21, 12, tzinfo=dt.UTC)


class Rows:
    """The events table as a list."""

    def __init__(self) -> None:
        self.table: list[tuple[Any, ...]] = []

    def rows(self, statement: str, *parameters: Value) -> list[tuple[Any, ...]]:
        if statement.startswith("SELECT"):
            return [(row[0], row[4]) for row in self.table[-1:]]
        self.table.append(parameters)
        return []

    @property
    def chain(self) -> list[tuple[int, int, str, bytes]]:
        return [(seq, at, body, hash_) for seq, at, _, body, hash_ in self.table]


def log() -> Rows:
    sql = Rows()
    for number in range(5):
        events.append(sql, LicenceRevoked(f"licence-{number}", "refund"), NOW)
    events.append(sql, ApiKeyRevoked("seeder-1"), NOW)
    return sql


def test_events_tell_their_kind_and_form_a_chain() -> None:
    sql = log()
    assert [row[2] for row in sql.table] == ["licence-revoked"] * 5 + ["api-key-revoked"]
    verify_chain(sql.chain)


@pytest.mark.parametrize("field", [0, 1, 2, 3])
def test_changed_event_breaks_the_chain(field: int) -> None:
    chain = log().chain
    row: list[Any] = list(chain[2])
    row[field] = {0: 9, 1: 1, 2: '{"kind":"licence-revoked"}', 3: bytes(32)}[field]
    chain[2] = (row[0], row[1], row[2], row[3])
    with pytest.raises(ValueError, match="event 3"):
        verify_chain(chain)


def test_removed_or_swapped_events_break_the_chain() -> None:
    chain = log().chain
    with pytest.raises(ValueError, match="event 2"):
        verify_chain(chain[:1] + chain[2:])
    with pytest.raises(ValueError, match="event 1"):
        verify_chain([chain[1], chain[0], *chain[2:]])


def test_times_survive_the_ledger_to_the_millisecond() -> None:
    for instant in (NOW, NOW.replace(microsecond=1_000), NOW.replace(microsecond=999_000)):
        assert from_ms(to_ms(instant)) == instant
