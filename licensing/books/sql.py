"""A transaction as the books see it, in the SQL that SQLite and PostgreSQL share."""

import datetime as dt
from typing import Any, Protocol

Value = str | int | bytes | None


class Sql(Protocol):
    """An open transaction. Parameters are `?` in the order given."""

    def rows(self, statement: str, *parameters: Value) -> list[tuple[Any, ...]]:
        """Run one statement and fetch all that it returns."""
        ...


def to_ms(instant: dt.datetime) -> int:
    """Milliseconds since 1970, UTC: how the ledger keeps time. Exact, floats are not."""
    return (instant - _EPOCH) // dt.timedelta(milliseconds=1)


def from_ms(milliseconds: int) -> dt.datetime:
    """Undo `to_ms`; aware, UTC."""
    return _EPOCH + dt.timedelta(milliseconds=milliseconds)


_EPOCH = dt.datetime(1970, 1, 1, tzinfo=dt.UTC)
