"""The ledger's tables, as the migrations made them: the same in every store."""

from dataclasses import dataclass

from licensing.books.sql import Sql

EVENTS = "events"


@dataclass(frozen=True, slots=True)
class Table:
    """A table, its columns, and those of its primary key in the key's order."""

    name: str
    columns: tuple[str, ...]
    key: tuple[str, ...]

    @property
    def by_key(self) -> str:
        """The statement that reads all of it in the order of the key."""
        columns, key = ", ".join(self.columns), ", ".join(self.key)
        return f"SELECT {columns} FROM {self.name} ORDER BY {key}"  # noqa: S608


def tables(scratch: Sql) -> tuple[Table, ...]:
    """Every table of an SQLite database with our schema; each after those that it refers to."""
    names = scratch.rows(
        "SELECT name FROM sqlite_master WHERE type = 'table' AND name NOT LIKE '%sqlite\\_%'"
        " ESCAPE '\\' ORDER BY rowid"
    )
    return tuple(_table(scratch, name) for (name,) in names)


def _table(scratch: Sql, name: str) -> Table:
    columns = scratch.rows("SELECT name, pk FROM pragma_table_info(?) ORDER BY cid", name)
    key = sorted((position, column) for column, position in columns if position)
    return Table(name, tuple(column for column, _ in columns), tuple(column for _, column in key))
