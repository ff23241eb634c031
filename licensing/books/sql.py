"""A transaction as the books see it, in the SQL that SQLite and PostgreSQL share."""

import datetime as dt
from collections.abc import Iterator
from typing import Any, Protocol

Value = str | int | bytes | None


class Sql(Protocol):
    """An open transaction. Parameters are `?` in the order given."""

    def rows(self, statement: str, *parameters: Value) -> list[tuple[Any, ...]]:
        """Run one statement and fetch all that it returns."""
        ...


class Snapshot(Sql, Protocol):
    """A read-only transaction on a consistent view, for what reads the whole ledger."""

    def stream(self, statement: str, *parameters: Value) -> Iterator[tuple[Any, ...]]:
        """Run one statement and fetch what it returns bit by bit: memory stays bounded."""
        ...


def probe(sql: Sql) -> None:
    """See `Ledger.probe`. A page is written and synced, though no row is left."""
    sql.rows("INSERT INTO counters (name, value) VALUES ('probe', 0) ON CONFLICT DO NOTHING")
    sql.rows("DELETE FROM counters WHERE name = 'probe'")


def to_ms(instant: dt.datetime) -> int:
    """Milliseconds since 1970, UTC: how the ledger keeps time. Exact, floats are not."""
    return (instant - _EPOCH) // dt.timedelta(milliseconds=1)


def from_ms(milliseconds: int) -> dt.datetime:
    """Undo `to_ms`; aware, UTC."""
    return _EPOCH + dt.timedelta(milliseconds=milliseconds)


_EPOCH = dt.datetime(1970, 1, 1, tzinfo=dt.UTC)
