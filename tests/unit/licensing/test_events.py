import datetime as dt
from typing import Any

import pytest

from licensing.books import events
from licensing.books.events import GENESIS, ApiKeyRevoked, LicenceRevoked, link
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


def log() -> Rows:
    sql = Rows()
    for number in range(5):
        events.append(sql, LicenceRevoked(f"licence-{number}", "refund"), NOW)
    events.append(sql, ApiKeyRevoked("seeder-1"), NOW)
    return sql


def test_events_tell_their_kind_and_each_covers_the_one_before() -> None:
    rows = log().table
    assert [row[2] for row in rows] == ["licence-revoked"] * 5 + ["api-key-revoked"]
    previous = GENESIS
    for expected, (seq, at, _, body, hash_) in enumerate(rows, start=1):
        assert (seq, at) == (expected, to_ms(NOW))
        assert hash_ == link(previous, seq, at, body)
        previous = hash_


@pytest.mark.parametrize("field", ["previous", "seq", "at", "body"])
def test_link_covers_every_field(field: str) -> None:
    row = {"previous": GENESIS, "seq": 12, "at": 3, "body": "{}"}
    other = row | {field: {"previous": bytes(31) + b"1", "seq": 1, "at": 23, "body": ""}[field]}
    assert link(**row) != link(**other)  # type: ignore[arg-type]


def test_times_survive_the_ledger_to_the_millisecond() -> None:
    for instant in (NOW, NOW.replace(microsecond=1_000), NOW.replace(microsecond=999_000)):
        assert from_ms(to_ms(instant)) == instant
